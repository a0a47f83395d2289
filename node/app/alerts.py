"""Closing alerts: every few seconds each open one is asked whether its condition still holds."""

from __future__ import annotations

from typing import Any

import structlog

from node.ledger import alerts
from node.ledger.alert_kinds import AlertKind
from node.stage import Node, NodeStage

log = structlog.get_logger(__name__)

_SECONDS = 5.0


class AlertSweep(NodeStage):
    """See `node.ledger.alerts`; whoever mended what was wrong, nobody has to remember the alert."""

    def __init__(self, node: Node) -> None:
        self._ledger = node.ledger
        self._clock = node.clock

    def run_once(self) -> float:
        """Open what was noted of rows, close what is over, each in a transaction; seconds until the next look."""
        now = self._clock.now()
        while (note := self._ledger.row_notes.first()) is not None:
            detail: dict[str, Any] = {"row": note.place, "digest": note.digest}
            log.error("app.row-unreadable", row=note.place)
            with self._ledger.transaction() as database:
                alerts.raised(database, now, AlertKind.LEDGER_ROW_UNREADABLE, note.place, study=note.study, **detail)
            self._ledger.row_notes.said(note)
        for number in alerts.over(self._ledger.database):
            with self._ledger.transaction() as database:
                alerts.close(database, now, number)
            log.info("app.alert-closed", alert=number)
        return _SECONDS
