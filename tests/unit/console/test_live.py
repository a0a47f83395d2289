"""What keeps pages up to date: who is told, when, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from node.accounts.roles import Role
from node.console import live
from node.console.live import Changes, SharedReads
from node.console.reader import Reader
from node.ledger import events
from node.ledger.event_kinds import EventKind
from tests.support.sites.console_site import ConsoleSite
from tests.support.sites.past import NOW


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConsoleSite:
    """A site whose console looks often."""
    for name in ("_LOOKS", "_AT_MOST_EACH"):
        monkeypatch.setattr(live, name, 0.01)
    monkeypatch.setattr(live, "_SIGN_OF_LIFE", 0.1)
    return ConsoleSite(tmp_path)


def write(site: ConsoleSite) -> None:
    """Something is written by somebody else."""
    with site.ledger.transaction() as database:
        events.record(database, NOW, EventKind.FILES_CHECKED)


async def heard(stream: object, wanted: str) -> None:
    """Wait for this event, whatever comes before it."""
    async with asyncio.timeout(10):
        while wanted not in await anext(stream):  # type: ignore[call-overload]
            pass


def test_a_page_hears_of_what_it_does_not_show(site: ConsoleSite) -> None:
    """A write is told to every page, what was read before it is forgotten, and what a new page shows is not told."""

    async def scene() -> None:
        shared = SharedReads()
        changes = Changes(Reader(site.data / "in-force.json"), shared)
        first = changes.events("a", "", lambda: True)
        await heard(first, "event: changed")
        await heard(first, "event: changed")  # the first look
        reads: list[int] = []
        for _ in range(3):
            await shared.get("x", lambda: _read(reads))
        assert len(reads) == 1
        second = changes.events("b", changes.seen, lambda: True)
        await heard(second, "listening")
        await heard(second, "still here")
        write(site)
        await asyncio.gather(heard(first, "event: changed"), heard(second, "event: changed"))
        await shared.get("x", lambda: _read(reads))
        assert len(reads) == 2, "what was read before the write is not shown after it"
        await first.aclose()
        await second.aclose()

    asyncio.run(scene())


async def _read(reads: list[int]) -> int:
    reads.append(1)
    return len(reads)


def test_the_end_of_a_session_is_told(site: ConsoleSite) -> None:
    """A page whose session is over hears so, and asks for the login: what it shows does not stay for others."""

    async def scene(is_welcome: Callable[[], bool]) -> None:
        stream = Changes(Reader(site.data / "in-force.json"), SharedReads()).events("a", "", is_welcome)
        await heard(stream, "event: over")
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    answers = iter([True, True, False])
    asyncio.run(scene(lambda: next(answers)))


def test_a_browser_keeps_connections_for_its_pages(site: ConsoleSite) -> None:
    """Of one session four pages are live; a fifth is told not to ask (204), for a browser has six connections."""

    async def scene() -> None:
        changes = Changes(Reader(site.data / "in-force.json"), SharedReads())
        streams = [changes.events("a", "", lambda: True) for _ in range(4)]
        for each in streams:
            assert changes.has_room("a")
            await heard(each, "listening")
        assert not changes.has_room("a")
        assert changes.has_room("b")
        for each in streams:
            await each.aclose()
        assert changes.has_room("a")

    asyncio.run(scene())


def test_a_page_that_refreshes_itself_keeps_no_session(site: ConsoleSite) -> None:
    """Only what a person does counts against the idle time-out; an open page ends with it."""
    visitor = site.visitor()
    visitor.log_in(Role.VIEWER)
    long_ago = NOW.timestamp()

    def seen_at() -> float:
        ((at,),) = visitor.accounts.query("SELECT seen_at FROM sessions")
        return float(at)

    recently = seen_at() - 60
    visitor.accounts.query("UPDATE sessions SET seen_at=?", [recently])
    assert visitor.get("/", **{"X-Refresh": "1"}).status_code == 200
    assert seen_at() == recently
    assert visitor.get("/").status_code == 200
    assert seen_at() > recently
    visitor.accounts.query("UPDATE sessions SET seen_at=?", [long_ago])
    answer = visitor.get("/studies?modality=CT", **{"HX-Request": "true", "X-Refresh": "1"})
    assert (answer.status_code, answer.headers["hx-refresh"]) == (204, "true")
    assert visitor.accounts.query("SELECT digest FROM sessions") == [], "it is over, and forgotten"
