"""Sets the wall clock of one process: Python imports this where a test puts this folder on its path.

`PACSNODE_TEST_JUMP` names a file; once it is there, `time.time`, `time.time_ns` and `datetime.now` are
its number of seconds ahead.
"""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

_FILE = Path(os.environ["PACSNODE_TEST_JUMP"])
_TIME_NS = time.time_ns


def _time_ns() -> int:
    try:
        return _TIME_NS() + int(_FILE.read_text() or 0) * 10**9
    except FileNotFoundError:
        return _TIME_NS()


time.time_ns = _time_ns
time.time = lambda: _time_ns() / 1e9


class _Datetime(datetime.datetime):
    """Reads the clock above; the usual one asks the machine behind Python's back."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _Datetime:
        return cls.fromtimestamp(time.time(), tz)


datetime.datetime = _Datetime
