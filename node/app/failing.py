"""Stages that fail as a whole, again and again: an alert in the ledger, and a file for `status` while that lasts.

The file is there because what makes a stage fail is often the ledger itself: locked, or on a full disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog

from node.errors import NodeError
from node.items import place_of
from node.ledger import failing_stages
from node.ledger.database import Database
from node.stage import Node
from node.store.health import Trouble, note_failing

log = structlog.get_logger(__name__)


class FailingStages:
    """See `node.app.workers.FailureObserver`; called by the threads of all stages."""

    def __init__(self, node: Node) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._data = node.store.data
        self._lock = threading.Lock()
        self._failing: dict[str, Trouble] = {}
        self._alerted: set[str] = set()
        note_failing(self._data, {})  # of a process that ended
        with self._ledger.transaction() as database:
            failing_stages.forget(database)

    def fails(self, stage: str, why: str) -> None:
        """It fails since the first time that this was said; one alert, as soon as the ledger takes it."""
        with self._lock:
            since = self._failing[stage].at if stage in self._failing else self._clock.now()
            self._failing[stage] = Trouble(since, why)
            note_failing(self._data, self._failing)
            alerted = stage in self._alerted
        if not alerted and self._record(partial(failing_stages.fails, stage=stage, since=since, why=why), stage):
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
            self._record(partial(failing_stages.works, stage=stage), stage)

    def _record(self, transition: Callable[[Database, datetime], None], stage: str) -> bool:
        try:
            with self._ledger.transaction() as database:
                transition(database, self._clock.now())
        except Exception as error:  # noqa: BLE001 - said again at the next failure; the file says it now
            reason = str(error) if isinstance(error, NodeError) else place_of(error)
            log.warning("app.stage-failure-not-recorded", stage=stage, reason=reason)
            return False
        return True
