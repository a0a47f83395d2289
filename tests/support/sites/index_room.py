"""An indexer over a data folder of a test's own, and what a test asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.config.models import Configuration
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.ledger import instances
from node.ledger.database import Ledger
from node.ledger.events import Event
from node.ledger.instances import InstanceStatus
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.images.receipts import STUDY


def configuration(**sections: Any) -> Configuration:
    node = {"time_zone": "Asia/Seoul", "completion": {"quiet": "60s", "max_wait": "10m"}} | sections.pop("node", {})
    return Configuration.model_validate({"node": node, **sections})


@dataclass
class Room:
    """Everything around one indexer."""

    data: Path
    data_folder: DataFolder
    ledger: Ledger
    clock: HandClock
    signal: Wakes
    reader: HeaderReader
    configuration: Configuration
    index: IndexStage

    @property
    def node(self) -> Node:
        """What the stages share."""
        return Node(self.ledger, self.data_folder, self.clock, self.signal)

    def restart(self) -> None:
        """A new process on the same data folder: nothing in memory is left."""
        self.ledger = Ledger(self.data / "ledger.db")
        self.index = IndexStage(self.node, self.configuration, self.reader)

    def quiet(self, seconds: float = 61) -> None:
        self.index.run_once()
        self.clock.pass_(seconds=seconds)
        self.index.run_once()

    def statuses(self, study: str = STUDY) -> list[str]:
        return [str(one.status) for one in instances.of_study(self.ledger.database, study, list(InstanceStatus))]

    def events(self, kind: str) -> list[Event]:
        return [event for event in reversed(history.latest(self.ledger.database, 10_000)) if event.kind == kind]


def room_of(data_folder: DataFolder, reader: HeaderReader) -> Room:
    """An indexer over a data folder that something else fills."""
    clock, signal, settings = HandClock(), Wakes(), configuration()
    ledger = Ledger(data_folder.data / "ledger.db")
    index = IndexStage(Node(ledger, data_folder, clock, signal), settings, reader)
    return Room(data_folder.data, data_folder, ledger, clock, signal, reader, settings, index)
