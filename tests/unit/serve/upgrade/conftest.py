"""Folders on the disk: the plugins that run here are confined, and what is confined has a /dev of its own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of /dev/shm."""
    return tmp_path_factory.mktemp("upgrade")
