"""What pages and figures are made from: the configuration in force and the ledger, read by one thread.

A hundred callers are one reader: what they ask is done one after the other. What takes longer than a few seconds, on a
disk that hangs, is given up; the thread goes on when the disk does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from node.config import in_force
from node.config.models import Configuration
from node.errors import NodeError
from node.ledger.database import FILE, Ledger

T = TypeVar("T")
_LONGEST = 5.0
"""Seconds that anything may take."""


class Reader:
    """Reads for the console."""

    def __init__(self, in_force_file: Path) -> None:
        self._file = in_force_file
        self._seen: tuple[int, int] | None = None
        self._configuration: Configuration | None = None
        self._ledger: Ledger | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")

    async def read(self, what: Callable[[Configuration, Ledger | None], T]) -> T:
        """Have it done by the reading thread. Raises TimeoutError, and whatever it raises.

        It gets no ledger where that cannot be opened.
        """
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._do, what)
        return await asyncio.wait_for(work, _LONGEST)

    def _do(self, what: Callable[[Configuration, Ledger | None], T]) -> T:
        configuration = self._in_force()
        return what(configuration, self._open_ledger(configuration))

    def _in_force(self) -> Configuration:
        """What is in force now; read again where the file is another one."""
        state = self._file.stat()
        seen = state.st_ino, state.st_mtime_ns
        if self._configuration is None or seen != self._seen:
            self._configuration, self._seen = in_force.read(self._file).configuration, seen
        return self._configuration

    def _open_ledger(self, configuration: Configuration) -> Ledger | None:
        if self._ledger is None:
            try:
                self._ledger = Ledger.existing(configuration.node.data / FILE)
            except NodeError:  # tried again with the next question
                return None
        return self._ledger
