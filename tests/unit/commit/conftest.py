"""An indexer and the stage for storage commitment over one fresh data folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.index.children import HeaderReader
from node.store.layout import DataFolder
from tests.support.sites.commit_room import CommitRoom
from tests.support.sites.index_room import room_of


@pytest.fixture(scope="session")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def room(tmp_path: Path, reader: HeaderReader) -> CommitRoom:
    return CommitRoom(room_of(DataFolder(tmp_path), reader))
