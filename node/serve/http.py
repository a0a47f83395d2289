"""HTTP for the processes that answer it: listening, TLS, and how much one caller may take.

Nothing else of the node knows the server. An application is a plain ASGI application.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from node.dimse.tls import server_context
from node.serve.listening import ListenError, listen_on

_CONNECTIONS = 512
"""At the same time; further requests are answered with 503. A hundred consoles keep one each, and ask by others."""
_REFUSED_ABOVE = 576
"""Connections beyond which a further one is closed at once, so that files can still be opened."""
_OF_ONE_ADDRESS = 256
"""Connections of one address, so that it cannot have them all; many people may come from one terminal server."""
_LONGEST_HEAD = 16 * 1024
"""Bytes of the head of a request."""
_PATIENCE = 10.0
"""Seconds that a connection may be open without a request that is being answered."""
_LEAST = 10 * 1024
"""Bytes of a request that have to come in that time, until it is complete; twice in a row, less is too slow."""
_LAST_ANSWERS = 3
"""Seconds to finish answers after the order to end."""


@dataclass(frozen=True, slots=True)
class HttpPlace:
    """Where to answer."""

    section: str
    """Of the configuration that says so, for messages."""
    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    """HTTPS, where both are there."""
    many_from: frozenset[str] = frozenset()
    """Addresses of proxies, who come for many."""


class ImpatientProtocol(H11Protocol):
    """Closes a connection on which no request comes, or only a part of one, or one that comes too slowly."""

    many_from: frozenset[str] = frozenset()

    def connection_made(self, transport: Any) -> None:
        """Begin to wait; what is too much is closed at once."""
        super().connection_made(transport)
        self._received, self._slow_looks = 0, 0
        self._wait()
        if len(self.connections) > _REFUSED_ABOVE or self._has_enough():
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Count it."""
        self._received += len(data)
        super().data_received(data)

    def _has_enough(self) -> bool:
        address = self.client[0] if self.client else ""
        if address in self.many_from or len(self.connections) <= _OF_ONE_ADDRESS:
            return False
        clients = [each.client for each in self.connections if isinstance(each, H11Protocol)]
        return sum(client is not None and client[0] == address for client in clients) > _OF_ONE_ADDRESS

    def _wait(self) -> None:
        self._patience = self.loop.call_later(_PATIENCE, self._look)

    def _look(self) -> None:
        received, self._received = self._received, 0
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
            return
        waits_for_more = self.cycle.more_body and not self.cycle.body  # else the page is what is slow
        self._slow_looks = self._slow_looks + 1 if waits_for_more and received < _LEAST else 0
        if self._slow_looks > 1:
            self.transport.close()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        self._patience.cancel()
        super().connection_lost(exc)


def answer(app: ASGIApp, place: HttpPlace) -> None:
    """Answer requests until SIGTERM. Raises ListenError where it cannot be listened on or a file cannot be used."""
    config = Config(
        app,
        http=type("PlaceProtocol", (ImpatientProtocol,), {"many_from": place.many_from}),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )
    config.load()
    if place.certificate is not None and place.key is not None:
        try:
            config.ssl = server_context(place.certificate, place.key, "none", None)
        except OSError as error:  # ssl.SSLError is one
            raise ListenError(
                f"{place.section}.tls: {place.certificate} and its key cannot be used: {error}"
            ) from error
    listening = listen_on(place.host, place.port, place.section)
    asyncio.run(Server(config).serve(sockets=[listening]))
