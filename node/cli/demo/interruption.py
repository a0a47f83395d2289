"""Ctrl-C, SIGTERM and SIGHUP at any moment: what runs is ended first, and a second one does not prevent that."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While it is open the first of these signals is a KeyboardInterrupt, later ones are nothing."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._asked = False
        self._deferred = 0

    def __enter__(self) -> Interruption:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        if first and not self._deferred:
            raise KeyboardInterrupt

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Nothing is interrupted here: something is begun that has to be ended, or is being ended."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    def check(self) -> None:
        """KeyboardInterrupt where a signal came while it was deferred."""
        if self._asked:
            raise KeyboardInterrupt
