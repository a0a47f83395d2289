"""Waiting on conditions: the only way a test here waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], deadline_seconds: float = 240.0, what: str = "the condition") -> T:
    """Poll `condition` until it returns something true and return that; fail the test at the deadline.

    That is long: it costs nothing where the condition comes, and a busy machine takes its time.
    """
    end = time.monotonic() + deadline_seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_seconds:g} s for {what}; last saw {value!r}")
        time.sleep(0.02)  # a poll interval, not a wait for something to have happened
