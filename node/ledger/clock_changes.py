"""What waits, kept right where the clock was set (`node.ledger.due_times`); apart, because commands need no log."""

from __future__ import annotations

import structlog

from node.clock import Clock, Jumps
from node.ledger.database import Ledger
from node.ledger.due_times import bound

log = structlog.get_logger(__name__)


class DueTimes:
    """Those of a table; for the thread of one stage."""

    def __init__(self, ledger: Ledger, clock: Clock, table: str, destination: str | None = None) -> None:
        """`destination`: only what goes there."""
        self._ledger = ledger
        self._clock = clock
        self._table = table
        self._destination = destination
        self._jumps = Jumps(clock)
        self._was_set = False

    def keep(self) -> None:
        """At the first call, and where the clock was set since the last: no row waits longer than it was meant to."""
        self._was_set |= self._jumps.noticed()
        if not self._was_set:
            return
        moved = 0
        last: int | None = 0
        while last is not None:
            with self._ledger.transaction() as database:
                those, last = bound(database, self._table, self._clock.now(), self._destination, after=last)
            moved += those
        self._was_set = False  # not before: a ledger that could not be written would have it forgotten
        if moved:
            log.warning("ledger.clock-was-set", table=self._table, destination=self._destination, rows=moved)
