"""What may be sent to a destination now: nothing while it is paused, outside of its hours nothing or what is urgent."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from node.config.hours import DestinationHours
from node.ledger import pauses
from node.ledger.job import URGENT
from node.ledger.pauses import Pausable
from node.stage import Node


class DestinationGate:
    """That of one destination; shared by the threads that deliver there."""

    def __init__(self, name: str, node: Node) -> None:
        self._name = name
        self._ledger = node.ledger
        self._clock = node.clock
        self._seen: tuple[datetime, datetime | None] | None = None

    def use(self, hours: DestinationHours | None, zone: ZoneInfo) -> None:
        """From now on."""
        self._hours, self._zone, self._seen = hours, zone, None

    def least_priority(self) -> int | None:
        """The least priority that may be sent now; None where nothing may."""
        if pauses.get(self._ledger.database, Pausable.DESTINATION, self._name) is not None:
            return None
        if self._hours is None or self.opens_at() is None:
            return 0
        return URGENT if self._hours.urgent == "at once" else None

    def opens_at(self) -> datetime | None:
        """When its hours begin, as `DestinationHours.opens_at` says it."""
        if self._hours is None:
            return None
        now = self._clock.now().replace(microsecond=0)
        if self._seen is None or self._seen[0] != now:  # asked between any two objects
            self._seen = now, self._hours.opens_at(now, self._zone)
        return self._seen[1]
