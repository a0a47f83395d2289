"""Pages that are up to date: one look at the ledger for everybody, and an event to each page after a write."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from node.console.reader import Reader
from node.desk import changes
from node.errors import NodeError

_LOOKS = 0.5
"""Seconds between two looks at whether anything was written."""
_AT_MOST_EACH = 2.0
"""Seconds between two events."""
_FOR_A_PAGE = 0.1
"""Seconds for each page that will be asked for after an event: many consoles hear of writes less often."""
_SIGN_OF_LIFE = 15.0
"""Seconds after which a silent connection says something, so that proxies keep it."""
_FRESH = 2.0
"""Seconds for which what many look at is not read again."""
_FOR_EACH = 4
"""Connections of one session that wait for events; its further pages are not live."""


class SharedReads:
    """What many look at: read once for all who ask within two seconds, and again after a write that pages hear of."""

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

    def forget(self) -> None:
        """It may be another one by now."""
        self._kept.clear()


class Changes:
    """Looks whether anything was written while somebody waits for it."""

    def __init__(self, reader: Reader, shared: SharedReads) -> None:
        self._reader = reader
        self._shared = shared
        self._waiting: dict[asyncio.Event, str] = {}
        self._looking: asyncio.Task[None] | None = None
        self._process = secrets.token_hex(4)
        self._version = -1

    @property
    def seen(self) -> str:
        """A name for what pages show that are made now; another one after each write that was seen."""
        return f"{self._process}-{self._version}"

    def has_room(self, listener: str) -> bool:
        """Whether this listener may open one more connection: a browser has six for all of its pages."""
        return list(self._waiting.values()).count(listener) < _FOR_EACH

    async def events(self, listener: str, seen: str, is_welcome: Callable[[], bool]) -> AsyncGenerator[str, None]:
        """`changed`, each time that something was written that a page does not show which has `seen`.

        It ends with `over` where the one who listens is not welcome any more.
        """
        changed = asyncio.Event()
        if seen != self.seen:
            changed.set()
        self._waiting[changed] = listener
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield ": listening\n\n"
            while is_welcome():
                try:
                    await asyncio.wait_for(changed.wait(), _SIGN_OF_LIFE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                changed.clear()
                yield "event: changed\ndata: \n\n"
            yield "event: over\ndata: \n\n"
        finally:
            self._waiting.pop(changed, None)

    async def _look(self) -> None:
        """What was read before a write is forgotten before pages hear of the write: they get what is new."""
        while self._waiting:
            try:
                version = await self._reader.look(lambda _, ledger: changes.version(ledger))
            except (OSError, NodeError):  # pages say so themselves
                version = -1
            if version == self._version:
                await asyncio.sleep(_LOOKS)
                continue
            self._version = version
            self._shared.forget()
            for each in self._waiting:
                each.set()
            await asyncio.sleep(max(_AT_MOST_EACH, len(self._waiting) * _FOR_A_PAGE))
