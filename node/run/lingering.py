"""Whether a process goes on although its result is there: a thread that never ends, a child that nobody waits for."""

from __future__ import annotations

import os


class GraceTime:
    """Watches the file that a result is in once it is whole; one that still changes is being written."""

    def __init__(self, result: str, grace_seconds: float) -> None:
        self._result = result
        self._grace = grace_seconds
        self._seen: tuple[int, int, int] | None = None
        self._since = 0.0

    def is_over(self, now: float) -> bool:
        """Whether the result has been there, unchanged, for as long as a process may take to end; `now`: seconds."""
        try:
            status = os.lstat(self._result)
        except OSError:
            self._seen = None
            return False
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since >= self._grace
