"""Images in the store that the ledger does not know are indexed again, beside what arrives (`serve.lost_ledger`).

A folder of the store at a time goes back to `incoming/`, when little waits there: reception goes on meanwhile. Their
studies are held, because nobody knows what was done about them before: their results may be in the archive already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import structlog

from node.ledger import instances, reindexings, studies
from node.ledger.database import Database
from node.stage import Node

log = structlog.get_logger(__name__)

FEW = 1000
"""Receipts in incoming/ beside which more are taken back."""


class ReindexBacklog:
    """What is still to be indexed again; used by the indexer's thread alone."""

    def __init__(self, node: Node) -> None:
        self._ledger = node.ledger
        self._data_folder = node.store
        self._clock = node.clock
        self._up_to = ""
        self._folders: Iterator[list[str]] = iter(())

    def _look(self) -> None:
        """Whether one was begun, at the start or by `pacsnode verify` since."""
        begun = reindexings.under_way(self._ledger.database)
        if begun is not None:
            self._up_to, self._folders = begun.up_to, self._data_folder.stored_by_folder()

    def feed(self, waiting: Sequence[str]) -> list[str]:
        """Take back what comes next, where little waits; what waits then."""
        if not self._up_to:
            self._look()
        if not self._up_to or len(waiting) > FEW:
            return [*waiting]
        for folder in self._folders:
            known = instances.known(self._ledger.database, folder)
            if unknown := [receipt for receipt in folder if receipt not in known]:
                self._data_folder.take_back(unknown)
                log.info("index.taken-back", receipts=len(unknown))
                return sorted([*waiting, *unknown])
        if not any(map(self._concerns, waiting)):
            with self._ledger.transaction() as database:
                reindexings.end(database, self._clock.now(), self._up_to)
            self._up_to = ""
        return [*waiting]

    def hold(self, database: Database, now: datetime, recorded: Iterable[tuple[str, str]]) -> None:
        """Hold the studies of those that were taken back; `recorded`: (receipt, Study Instance UID)."""
        for study in sorted({study for receipt, study in recorded if self._concerns(receipt)}):
            row = studies.get(database, study)
            if row is not None and row.hold is None:
                studies.hold(database, now, study, reindexings.HOLD, alert=False)

    def _concerns(self, receipt: str) -> bool:
        return bool(self._up_to) and receipt <= self._up_to
