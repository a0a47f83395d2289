"""The upper layer's timers (ARTIM, idle) on the clock that nobody sets."""

from __future__ import annotations

import time

from pynetdicom.timer import Timer


class SteadyTimer(Timer):
    """As pynetdicom's Timer, measured on the monotonic clock.

    pynetdicom reads the wall clock: set forward by an hour, it would end every association at once, and set
    back it would keep a silent one for an hour (case 57).
    """

    @property
    def remaining(self) -> float:
        """Seconds left, negative once it has expired; the whole time-out where it does not run, 1 without one."""
        if self.timeout is None:
            return 1
        if self._start_time is None:
            return self.timeout
        end = time.monotonic() if self._end_time is None else self._end_time
        return self.timeout - (end - self._start_time)

    def start(self) -> None:
        """Begin, or begin again."""
        self._start_time = time.monotonic()
        self._end_time = None

    def stop(self) -> None:
        """Stop; what is left stays."""
        self._end_time = time.monotonic()
