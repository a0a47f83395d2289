"""What pages and figures are made from: the configuration in force and the ledger, read by one thread.

A hundred callers are one reader: what they ask is done one after the other. What takes longer than a few seconds, on a
disk that hangs, is given up; the thread goes on when the disk does. What people do has a thread of its own, so that it
does not wait for what others look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from node import wake_socket
from node.config import in_force
from node.config.in_force import InForce
from node.config.models import Configuration
from node.errors import NodeError, TransientError
from node.ledger.database import FILE
from node.ledger.database import Ledger as Ledger

T = TypeVar("T")
_LONGEST = 5.0
"""Seconds that anything may take to be read."""
_LONGEST_ACTION = 30.0
"""Seconds that an action may take: writers queue."""


def why_not(error: Exception) -> str:
    """Why nothing could be read, for people."""
    if isinstance(error, TimeoutError):
        return "the data folder or the ledger does not answer"
    return str(error)


class Reader:
    """Reads for the console, and does what people ask for."""

    def __init__(self, in_force_file: Path) -> None:
        self._file = in_force_file
        self._seen: tuple[int, int] | None = None
        self._in_force: InForce | None = None
        self._ledger: Ledger | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._hands = ThreadPoolExecutor(1, thread_name_prefix="actions")

    async def read(self, what: Callable[[Configuration, Ledger | None], T]) -> T:
        """Have it done by the reading thread. Raises TimeoutError, and whatever it raises.

        It gets no ledger where that cannot be opened.
        """
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._do, what)
        return await asyncio.wait_for(work, _LONGEST)

    async def look(self, what: Callable[[InForce, Ledger], T]) -> T:
        """Have it read for a page. TransientError where there is no ledger, TimeoutError, and whatever it raises."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._look, what)
        return await asyncio.wait_for(work, _LONGEST)

    async def act(self, what: Callable[[InForce, Ledger], T]) -> T:
        """Have a person's action done. Raises as `look`; where it takes too long it may still be done."""
        work = asyncio.get_running_loop().run_in_executor(self._hands, self._look, what)
        return await asyncio.wait_for(work, _LONGEST_ACTION)

    async def in_force(self) -> InForce:
        """What is in force. Raises TimeoutError, OSError, and ConfigurationError."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._read_in_force)
        return await asyncio.wait_for(work, _LONGEST)

    def _do(self, what: Callable[[Configuration, Ledger | None], T]) -> T:
        configuration = self._read_in_force().configuration
        return what(configuration, self._open_ledger(configuration))

    def _look(self, what: Callable[[InForce, Ledger], T]) -> T:
        found = self._read_in_force()
        ledger = self._open_ledger(found.configuration)
        if ledger is None:
            raise TransientError("the ledger cannot be opened")
        return what(found, ledger)

    def _read_in_force(self) -> InForce:
        """What is in force now; read again where the file is another one."""
        state = self._file.stat()
        seen = state.st_ino, state.st_mtime_ns
        known = self._in_force
        if known is None or seen != self._seen:
            known = in_force.read(self._file)
            self._in_force, self._seen = known, seen
        return known

    def _open_ledger(self, configuration: Configuration) -> Ledger | None:
        if self._ledger is None:
            data = configuration.node.data
            try:
                self._ledger = Ledger.existing(data / FILE, partial(wake_socket.ring, data))
            except NodeError:  # tried again with the next question
                return None
        return self._ledger
