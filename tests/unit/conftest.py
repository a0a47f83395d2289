"""What unit tests share: folders in memory, because a unit test says nothing of disks and should not wait for one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")  # Linux's tmpfs: an fsync there costs nothing, a ledger's as little as ours
_ENOUGH_BYTES = 1 << 30


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the test's own, in memory where there is enough; a confined plugin cannot see it there."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ENOUGH_BYTES:
        yield tmp_path_factory.mktemp("unit")
        return
    with tempfile.TemporaryDirectory(prefix="pacsnode-unit-", dir=_MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
