"""Fetches whose time is over, whatever their archive does meanwhile: a rule's study never waits for one that hangs."""

from __future__ import annotations

from datetime import timedelta

from node.clock import Jumps
from node.config.destinations import dicom_destinations
from node.config.models import Configuration
from node.ledger import fetches
from node.ledger.fetches import FetchStatus
from node.stage import Node, NodeStage
from node.wake import Stage

_LOOK = 15.0
"""Seconds between two looks."""


class Deadlines(NodeStage):
    """Ends fetches whose deadline has passed, and those from archives that the configuration does not have."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self._ledger = node.ledger
        self._clock = node.clock
        self._wakes = node.wakes
        self._jumps = Jumps(node.clock)
        self._was_set, self._set_by = False, timedelta()
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Its destinations that can be asked, each by a thread of its own (`FetchStage`)."""
        self._archives = dicom_destinations(configuration.destinations).keys()

    def run_once(self) -> float:
        """End what is to be ended; seconds until the next look."""
        self._keep_time()
        now = self._clock.now()
        over = {each.id: (each, each.error or "the archive did not send it in time") for each in self._overdue()}
        for fetch in fetches.due(self._ledger.database, now):
            if fetch.source not in self._archives:
                over[fetch.id] = fetch, f"destination {fetch.source!r} is no longer in the configuration"
        for fetch, why in over.values():
            with self._ledger.transaction() as database:
                fetches.ended(database, now, fetch, FetchStatus.FAILED, why)
        for stage in {Stage.RUN if fetch.job else Stage.ROUTE for fetch, _ in over.values()}:
            self._wakes.wake(stage)
        return _LOOK

    def _keep_time(self) -> None:
        """A clock that was set neither ends a fetch nor prolongs it: it has as long as it had before."""
        by = self._jumps.by()
        self._was_set |= by != timedelta()
        self._set_by += by or timedelta()
        if not self._was_set:
            return
        with self._ledger.transaction() as database:
            fetches.clock_was_set(database, self._clock.now(), self._set_by)
        self._was_set, self._set_by = False, timedelta()  # not before: a ledger may be locked

    def _overdue(self) -> list[fetches.Fetch]:
        return fetches.overdue(self._ledger.database, self._clock.now())
