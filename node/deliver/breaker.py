"""The circuit breaker of a destination: while it is not reached, one try at growing intervals, not one an object.

What is sent next is the try: there is no message that an archive answers more truly. While the breaker is open, one
association at most is opened; an answer closes it, and the others follow. Its state is a row (`node.ledger.outages`).
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import structlog

from node.config.retrying import Retry
from node.deliver.policy import SLOW
from node.deliver.ways.archive import NotReachedError
from node.errors import NodeError, PermanentError
from node.ledger import outages, turns
from node.ledger.outages import Outage, OutageScope
from node.stage import Node

log = structlog.get_logger(__name__)

FOR_URGENT = timedelta(minutes=1)
"""Longest pause between two tries while something urgent waits."""


class Breaker:
    """One scope of one destination; shared by the threads that deliver there."""

    def __init__(self, name: str, node: Node, scope: OutageScope = OutageScope.DESTINATION) -> None:
        self._name = name
        self._scope = scope
        self._ledger = node.ledger
        self._clock = node.clock
        self._lock = threading.Lock()
        self._outage: Outage | None = None
        self.has_failed = False
        """Whether a try has failed since its row was read."""
        self.refresh()

    def refresh(self) -> None:
        """Read its row: a person may have had it tried, or tested the destination."""
        self._outage = outages.get(self._ledger.database, self._name, self._scope)
        self.has_failed = False

    @property
    def is_open(self) -> bool:
        """Whether the destination is known not to be reached."""
        return self._outage is not None

    def next_try(self) -> datetime | None:
        """When it may be tried: at once where it is None."""
        found, now = self._outage, self._clock.now()
        if found is None or found.is_due(now):
            return None
        at = min(found.not_before, found.put_off_at + FOR_URGENT)
        if at < found.not_before and turns.is_urgent_waiting(self._ledger.database, self._name):
            return at if at > now else None
        return found.not_before

    def failed(self, error: NodeError, retry: Retry, *, stores_nothing: bool = False) -> None:
        """It was not reached: nothing that waits there is tried until its pause is over."""
        rejected = isinstance(error, PermanentError)
        with self._lock:
            now, before = self._clock.now(), self._outage
            pause = retry.pause(before.waited if before is not None else timedelta())
            pause = max(pause, error.again_after) if isinstance(error, NotReachedError) else pause
            again = now + (max(pause, SLOW) if rejected else pause)
            with self._ledger.transaction() as database:
                outages.failed(
                    database,
                    now,
                    self._name,
                    str(error),
                    again,
                    scope=self._scope,
                    stores_nothing=stores_nothing,
                    rejected=rejected,
                )
                self._outage = outages.get(database, self._name, self._scope)
            self.has_failed = True
        log.warning("deliver.unreachable", destination=self._name, scope=self._scope, error=str(error))

    def answered(self, *, stored: bool) -> None:
        """It answered; `stored`: it has taken an object, or said for good what it thinks of it."""
        found = self._outage
        if found is not None and (stored or not found.stores_nothing):
            self.close()

    def close(self) -> None:
        """The outage is over."""
        with self._lock:
            if self._outage is None:
                return
            with self._ledger.transaction() as database:
                outages.ended(database, self._clock.now(), self._name, self._scope)
            self._outage = None
        log.info("deliver.reached", destination=self._name, scope=self._scope)
