"""Pages that are up to date: one look at the ledger for everybody, and an event to each page after a write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from node.console.reader import Reader
from node.desk import changes
from node.errors import NodeError

_LOOKS = 0.5
"""Seconds between two looks at whether anything was written."""
_AT_MOST_EACH = 2.0
"""Seconds between two events of one page."""
_SIGN_OF_LIFE = 15.0
"""Seconds after which a silent connection says something, so that proxies keep it."""
_FRESH = 2.0
"""Seconds for which what many look at is not read again."""


class Changes:
    """Looks whether anything was written while somebody waits for it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._waiting: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._version = -1

    async def events(self, is_welcome: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        """`changed`, each time that something was written; ends where the one who listens is not welcome any more."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield ": listening\n\n"
            while await is_welcome():
                try:
                    await asyncio.wait_for(changed.wait(), _SIGN_OF_LIFE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                changed.clear()
                yield "event: changed\ndata: \n\n"
                await asyncio.sleep(_AT_MOST_EACH)
        finally:
            self._waiting.discard(changed)

    async def _look(self) -> None:
        while self._waiting:
            try:
                version = await self._reader.look(lambda _, ledger: changes.version(ledger))
            except (OSError, NodeError):  # pages say so themselves
                version = -1
            if version != self._version:
                self._version = version
                for each in self._waiting:
                    each.set()
            await asyncio.sleep(_LOOKS)


class SharedReads:
    """What many look at: read once for all who ask within two seconds."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, asyncio.Future[Any]]] = {}

    async def get(self, name: str, read: Callable[[], Awaitable[Any]]) -> Any:
        """What `read` gave for this name a moment ago, or gives now."""
        at, kept = self._kept.get(name, (0.0, None))
        now = time.monotonic()
        if kept is None or now - at > _FRESH or (kept.done() and (kept.cancelled() or kept.exception())):
            kept = asyncio.ensure_future(read())
            self._kept[name] = (now, kept)
        return await asyncio.shield(kept)
