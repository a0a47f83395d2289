"""An indexer over a fresh data folder, with a clock that the test moves and one real child process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.index.children import HeaderReader
from node.index.stage import Index
from node.ledger.database import Ledger
from node.signal import Signal
from node.spool import Spool
from tests.support.clocks import HandClock
from tests.support.index_room import Room, configuration


@pytest.fixture(scope="session")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def room(tmp_path: Path, reader: HeaderReader) -> Room:
    spool, clock, signal, settings = Spool(tmp_path), HandClock(), Signal(), configuration()
    ledger = Ledger(tmp_path / "ledger.db")
    index = Index(ledger, spool, clock, signal, settings, reader)
    return Room(tmp_path, spool, ledger, clock, signal, reader, settings, index)
