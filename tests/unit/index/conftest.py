"""An indexer over a fresh data folder, with a clock that the test moves and one real child process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.index.children import HeaderReader
from node.store.layout import DataFolder
from tests.support.sites.index_room import Room, room_of


@pytest.fixture(scope="session")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def room(tmp_path: Path, reader: HeaderReader) -> Room:
    return room_of(DataFolder(tmp_path), reader)
