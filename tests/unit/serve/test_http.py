"""How much one caller of an HTTP process may take: slow heads, slow bodies, and many connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from node.serve import http
from node.serve.http import ImpatientProtocol

_PATIENCE = 0.15


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(http, "_PATIENCE", _PATIENCE)
    monkeypatch.setattr(http, "_OF_ONE_ADDRESS", 3)


async def _app(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answers when it has the whole request."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def _with_server(scene: Callable[[int], Awaitable[None]], many_from: frozenset[str] = frozenset()) -> None:
    async def run() -> None:
        config = Config(_app, lifespan="off", log_config=None, ws="none")
        config.load()
        state = ServerState()
        kind = type("TestedProtocol", (ImpatientProtocol,), {"many_from": many_from})
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1", 0)
        try:
            await asyncio.wait_for(scene(server.sockets[0].getsockname()[1]), 20)
        finally:
            server.close()

    asyncio.run(run())


def test_a_body_that_trickles_is_not_waited_for() -> None:
    """Whoever sends a byte of a form now and then loses the connection; one in time gets the answer."""

    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        end = asyncio.ensure_future(reader.read(1))
        while not end.done():
            writer.write(b"x")
            await asyncio.wait({end}, timeout=_PATIENCE / 3)
        assert end.exception() is not None or end.result() == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
        writer.write(b"abc")
        assert b"200 OK" in await reader.readline()
        writer.close()

    _with_server(scene)


def test_a_head_that_does_not_end_is_not_waited_for() -> None:
    """Neither an empty connection nor half a head stays open."""

    async def scene(port: int) -> None:
        for begun in (b"", b"GET / HTTP/1.1\r\nHost:"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            assert await reader.read() == b""
            writer.close()

    _with_server(scene)


@pytest.mark.parametrize("many_from", [frozenset(), frozenset({"127.0.0.1"})])
def test_one_address_cannot_have_all_connections(many_from: frozenset[str]) -> None:
    """Beyond its share a connection is closed at once; a proxy comes for many."""

    async def scene(port: int) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        reader, writer = opened[-1]
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            line = await reader.readline()
        except ConnectionError:
            line = b""
        assert (b"200 OK" in line) is bool(many_from)
        for _, each in opened:
            each.close()

    _with_server(scene, many_from)
