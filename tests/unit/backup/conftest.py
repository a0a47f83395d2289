"""A data folder with received images and a result, and what tests of backups do with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.index.children import HeaderReader
from tests.support.sites.job_site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A node that has stored three images of a study, with a key and a serial number of its own."""
    made = Site(tmp_path / "site")
    made.receive(3)
    keys = made.data_folder.data / "keys"
    keys.mkdir(mode=0o700)
    (keys / "pseudonyms.key").write_bytes(b"k" * 64)
    (keys / "pseudonyms.key").chmod(0o600)
    return made


@pytest.fixture(scope="session")
def reader() -> Iterator[HeaderReader]:
    """One header reader for all tests of this room."""
    made = HeaderReader(children=1)
    yield made
    made.close()
