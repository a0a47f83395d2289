"""Time, as a thing that can be handed in: no stage reads the system's clock on its own.

The wall clock says when something happened, and may jump. Periods are measured on the monotonic
clock, which does not (case 57).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What a stage may ask about time."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards; comparable within one process only."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


class SteadyClock:
    """Wall time that never runs backwards while the process runs (case 57): which due moments are compared with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = (clock.now(), clock.monotonic())

    def now(self) -> datetime:
        """Wall time, aware, UTC; where the clock was set back, as if it had not been."""
        wall, monotonic = self._started
        return max(self._clock.now(), wall + timedelta(seconds=self._clock.monotonic() - monotonic))


class Jumps:
    """Notices that the wall clock was set; periods on the monotonic clock say by how much it should have moved."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._distance: float | None = None

    def by(self) -> timedelta | None:
        """By how much it was set since this was asked before, a second at least, else nothing; None the first time."""
        distance = self._clock.now().timestamp() - self._clock.monotonic()
        before, self._distance = self._distance, distance
        if before is None:
            return None
        return timedelta(seconds=distance - before) if abs(distance - before) > _SET else timedelta()

    def noticed(self) -> bool:
        """Whether it was set since this was asked before; true the first time, too."""
        return self.by() != timedelta()


_SET = 1.0
"""Seconds; time servers move a clock that is nearly right by less."""


def to_text(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`: sorts as text in the order of time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """The inverse of `to_text`; aware, UTC."""
    return datetime.fromisoformat(text)
