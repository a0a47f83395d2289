"""The one client of the node for HTTP (httpx): what every request has in common.

No proxy and no login of the environment count, a certificate is verified, a redirect is not followed unless somebody
says so, and the whole conversation has one deadline. What the other side says is never quoted in an error: a server may
answer with the message itself.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from node import ourselves
from node.errors import TransientError
from node.web.exchange import Exchange

if TYPE_CHECKING:
    import httpx

WebAnswer: TypeAlias = "httpx.Response"
"""An answer: status, headers, and a body that may still be on its way."""
_AT_REST = 0.5
"""Seconds after which a connection is not used again: some servers end it after a second, just when it is."""
_NOT_HTTP = "its answer is not HTTP"
_UNANSWERED = "no answer in time"


class NotConnectedError(TransientError):
    """There was no connection, so that nothing of a request is there."""


@dataclass(frozen=True, slots=True)
class WebRequest:
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: Callable[[], Iterator[bytes]] | bytes | None = None
    """Its body, whose Content-Length is among `headers` where it comes in pieces."""


def tls_context(authorities: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """What connections are verified by; `authorities`: a PEM file, None: those of the system. OSError."""
    context = ssl.create_default_context(cafile=str(authorities) if authorities else None)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


class WebSession:
    """Requests one after the other, over one connection as far as the other side keeps it; for one thread."""

    def __init__(
        self, context: ssl.SSLContext, *, silence: float | None = None, follows_redirects: bool = False
    ) -> None:
        """`silence`: the longest, in seconds; the deadline of a conversation where it is not given."""
        import httpx  # with the first request: many nodes never make one, and it brings much that is for terminals

        self._silence = silence
        self._connection: socket.socket | None = None
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_AT_REST)
        self._client = httpx.Client(verify=context, trust_env=False, follow_redirects=follows_redirects, limits=limits)

    def __enter__(self) -> WebSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._forget()

    @contextmanager
    def answer(self, exchange: Exchange, request: WebRequest) -> Iterator[WebAnswer]:
        """The answer, whose body has not been read; it is over at the end of the block.

        TransientError where there is no whole answer, in words to be put after the name of the service;
        NotConnectedError where that is because nobody is there.
        """
        import httpx

        content = request.content() if callable(request.content) else request.content
        headers = {"User-Agent": ourselves.MODEL_NAME, **request.headers}
        try:
            left = exchange.left
            if self._connection is not None:
                exchange.watch(self._connection)
            with self._client.stream(
                request.method,
                request.url,
                content=content,
                headers=headers,
                timeout=min(left, self._silence or left),
                extensions={"trace": self._watching(exchange)},
            ) as found:
                yield found
        except TimeoutError:
            raise TransientError(f"cannot be reached: {_UNANSWERED}") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotConnectedError(_why(error)) from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise TransientError(_why(error)) from error

    def _watching(self, exchange: Exchange) -> Callable[[str, Mapping[str, Any]], None]:
        """Have each connection end with the conversation."""

        def trace(event: str, told: Mapping[str, Any]) -> None:
            if event == "connection.connect_tcp.complete":
                self._forget()
                opened = told["return_value"].get_extra_info("socket")
                self._connection = socket.socket(fileno=socket.dup(opened.fileno()))  # TLS takes the first one over
                exchange.watch(self._connection)

        return trace

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def answer(
    exchange: Exchange,
    request: WebRequest,
    context: ssl.SSLContext,
    *,
    silence: float | None = None,
    follows_redirects: bool = False,
) -> Iterator[WebAnswer]:
    """The answer to one request, over a connection of its own; as `WebSession.answer`."""
    with (
        WebSession(context, silence=silence, follows_redirects=follows_redirects) as session,
        session.answer(exchange, request) as found,
    ):
        yield found


def body_of(found: WebAnswer, most: int) -> bytes | None:
    """The body of an answer; None where it has more bytes than that, or is compressed, which nobody asked for."""
    if found.headers.get("content-encoding", "identity") != "identity":
        return None
    pieces, size = [], 0
    for piece in found.iter_raw():
        size += len(piece)
        if size > most:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _why(error: Exception) -> str:
    """Without what the other side may have said."""
    import httpx

    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        assert isinstance(cause, Exception), "an error has errors as causes"
        causes.append(cause)
    for each in causes:
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"cannot be reached: its certificate is not accepted ({each.verify_message})"
    if isinstance(error, httpx.TimeoutException):
        return f"cannot be reached: {_UNANSWERED}"
    if isinstance(error, httpx.TooManyRedirects):
        return "cannot be reached: it redirects without an end"
    if isinstance(error, httpx.NetworkError):
        told = next((each.strerror for each in causes if isinstance(each, OSError) and each.strerror), None)
        return f"cannot be reached: {told or 'the connection failed'}"
    return f"cannot be reached: {_NOT_HTTP}"
