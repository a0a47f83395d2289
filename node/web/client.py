"""The one client of the node for HTTP (httpx): what every request has in common.

No proxy and no login of the environment count, a certificate is verified, a redirect is not followed unless somebody
says so, and the whole conversation has one deadline. What the other side says is never quoted in an error: a server may
answer with the message itself.
"""

from __future__ import annotations

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
_NOT_HTTP = "its answer is not HTTP"
_UNANSWERED = "no answer in time"


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


@contextmanager
def answer(
    exchange: Exchange,
    request: WebRequest,
    context: ssl.SSLContext,
    *,
    silence: float | None = None,
    follows_redirects: bool = False,
) -> Iterator[WebAnswer]:
    """The answer, whose body has not been read; it is over at the end of the block.

    `silence`: the longest, in seconds; the conversation's deadline where it is not given. TransientError where there is
    no whole answer, in words to be put after the name of the service.
    """
    import httpx  # with the first request: many nodes never make one, and it brings much that is for terminals

    content = request.content() if callable(request.content) else request.content
    headers = {"User-Agent": ourselves.MODEL_NAME, **request.headers}
    try:
        left = exchange.left
        with (
            httpx.Client(
                verify=context,
                trust_env=False,
                follow_redirects=follows_redirects,
                timeout=min(left, silence or left),
            ) as client,
            client.stream(
                request.method, request.url, content=content, headers=headers, extensions={"trace": _watching(exchange)}
            ) as found,
        ):
            yield found
    except TimeoutError:
        raise TransientError(f"cannot be reached: {_UNANSWERED}") from None
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        raise TransientError(_why(error)) from error


def _watching(exchange: Exchange) -> Callable[[str, Mapping[str, Any]], None]:
    """Have each connection end with the conversation."""

    def trace(event: str, told: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            exchange.watch(told["return_value"].get_extra_info("socket"))

    return trace


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
