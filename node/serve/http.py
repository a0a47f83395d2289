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

_CONNECTIONS = 64
"""At the same time; further requests are answered with 503."""
_LONGEST_HEAD = 16 * 1024
"""Bytes of the head of a request."""
_PATIENCE = 10.0
"""Seconds that a connection may be open without a request that is being answered."""
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


class ImpatientProtocol(H11Protocol):
    """Closes a connection on which no request comes, or only a part of one."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def _wait(self) -> None:
        self._patience = self.loop.call_later(_PATIENCE, self._look)

    def _look(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
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
        http=ImpatientProtocol,
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
