"""A clock that a test moves by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class HandClock:
    """Wall and monotonic time, moved together by `pass_`, apart by `jump`."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def pass_(self, **duration: float) -> None:
        """Time passes: `pass_(minutes=5)`."""
        delta = timedelta(**duration)
        self._now += delta
        self._monotonic += delta.total_seconds()

    def jump(self, **duration: float) -> None:
        """Somebody sets the wall clock; no time passes."""
        self._now += timedelta(**duration)
