"""Refused callers on their way from the receivers' journal into the ledger."""

from __future__ import annotations

import structlog

from node.ledger import refused_callers
from node.stage import Node, NodeStage
from node.store.journal import Journal

log = structlog.get_logger(__name__)
_LOOK = 10.0
"""Seconds between two looks: nobody waits for a count."""


class RefusedCallerIntake(NodeStage):
    """Takes what receivers wrote down; one thread calls `run_once`."""

    def __init__(self, node: Node, journal: Journal) -> None:
        self._journal = journal
        self._ledger = node.ledger
        self._clock = node.clock

    def run_once(self) -> float:
        """Take all there is; seconds until the next look. One that cannot be read is dropped."""
        for path in self._journal.refused():
            try:
                callers = self._journal.read_refused(path)
            except (ValueError, KeyError, TypeError) as error:
                log.warning("app.refused-unreadable", file=path.name, reason=str(error))
                callers = []
            with self._ledger.transaction() as database:
                refused_callers.add(database, self._clock.now(), callers)
            path.unlink(missing_ok=True)
        return _LOOK
