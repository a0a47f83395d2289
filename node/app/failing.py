"""Stages that fail as a whole, again and again: an alert in the ledger, and a file for `status` while that lasts.

The file is there because what makes a stage fail is often the ledger itself: locked, or on a full disk.
"""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from node.clock import Clock
from node.errors import NodeError
from node.items import place_of
from node.ledger import events
from node.ledger.database import Ledger
from node.ledger.events import Severity
from node.store.health import Trouble, note_failing

log = structlog.get_logger(__name__)


class FailingStages:
    """See `node.app.workers.Failing`; called by the threads of all stages."""

    def __init__(self, ledger: Ledger, clock: Clock, data: Path) -> None:
        self._ledger = ledger
        self._clock = clock
        self._data = data
        self._lock = threading.Lock()
        self._failing: dict[str, Trouble] = {}
        self._alerted: set[str] = set()
        note_failing(data, {})  # of a process that ended

    def fails(self, stage: str, why: str) -> None:
        """It fails since the first time that this was said; one alert, as soon as the ledger takes it."""
        with self._lock:
            since = self._failing[stage].at if stage in self._failing else self._clock.now()
            self._failing[stage] = Trouble(since, why)
            note_failing(self._data, self._failing)
            alerted = stage in self._alerted
        if not alerted and self._record("stage.failing", Severity.ALERT, stage, why):
            with self._lock:
                self._alerted.add(stage)

    def works(self, stage: str) -> None:
        """It works again, or is no more."""
        with self._lock:
            self._failing.pop(stage, None)
            note_failing(self._data, self._failing)
            alerted = stage in self._alerted
            self._alerted.discard(stage)
        if alerted:
            self._record("stage.fails-no-more", Severity.INFO, stage, None)

    def _record(self, kind: str, severity: Severity, stage: str, why: str | None) -> bool:
        try:
            with self._ledger.transaction() as database:
                events.record(database, self._clock.now(), kind, severity=severity, stage=stage, error=why)
        except Exception as error:  # noqa: BLE001 - said again at the next failure; the file says it now
            reason = str(error) if isinstance(error, NodeError) else place_of(error)
            log.warning("app.stage-failure-not-recorded", stage=stage, reason=reason)
            return False
        return True
