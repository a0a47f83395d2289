"""Whose turn it is to write to the ledger: a queue for the threads of all processes.

SQLite's busy handler is no queue. Who waits tries again after ever longer pauses, and a writer without a gap between
its transactions gets in first nearly every time. Here nobody gets a second turn before those who waited meanwhile:

- Within a process, threads take turns in the order in which they came.
- Between processes there are two locks (flock(2)). Who wants to write takes `ledger.next`, then waits for
  `ledger.turn`, then lets go of `ledger.next`. Whoever had the turn before needs `ledger.next` again, and that is held
  by the one who waits.

A process that dies lets go of both. The locks are polled, because flock(2) has no deadline. That is fair still: only
the holder of `ledger.next` asks for the turn.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.001


class Turnstile:
    """One for each opened ledger; safe to share between threads."""

    def __init__(self, ledger: Path) -> None:
        """The locks are files beside the ledger's. They are opened when the first turn is taken."""
        self._next = _Lock(ledger.with_suffix(".next"))
        self._turn = _Lock(ledger.with_suffix(".turn"))
        self._waiting: deque[object] = deque()
        """Threads of this process in the order in which they came; the first is at the locks, or has the turn."""
        self._moved = threading.Condition()

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Nobody else has a turn before the block ends. Does not nest.

        Raises OSError where the locks cannot be opened; TimeoutError (an OSError, too) where the turn does not come in
        that time.
        """
        deadline = time.monotonic() + seconds
        with self._first_in_line(deadline):
            with self._next.held(deadline):
                self._turn.take(deadline)
            try:
                yield
            finally:
                self._turn.let_go()

    @contextmanager
    def _first_in_line(self, deadline: float) -> Iterator[None]:
        me = object()
        with self._moved:
            self._waiting.append(me)
        try:
            with self._moved:
                left = deadline - time.monotonic()
                if not self._moved.wait_for(lambda: self._waiting[0] is me, left):
                    raise TimeoutError
            yield
        finally:
            with self._moved:
                self._waiting.remove(me)
                self._moved.notify_all()


class _Lock:
    """An flock(2) of one process, in a file that is never removed: a lock on a removed file keeps nobody out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self, deadline: float) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o644)
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError from None
                time.sleep(_PAUSE)
            else:
                return

    def let_go(self) -> None:
        assert self._file is not None, "it was taken"
        fcntl.flock(self._file, fcntl.LOCK_UN)  # not by closing: a forked child may have the file open as well

    @contextmanager
    def held(self, deadline: float) -> Iterator[None]:
        self.take(deadline)
        try:
            yield
        finally:
            self.let_go()

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)
