"""What each answer and each request of the console is held to, before and after a page's own code.

Headers after OWASP's secure headers: nothing is loaded from elsewhere, no page is shown inside another one, no script
is part of a page. A request that changes something has to come from a page of ours.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_BAD_REQUEST = 400
LOGIN = "/login"


class SafeHeaders:
    """Puts the headers on each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if "Cache-Control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class KnownHosts:
    """Refuses requests to other names than the site's (DNS rebinding), whatever their port."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        """`names`: of hosts, IPv6 addresses in brackets."""
        self._app = app
        self._names = {name.casefold() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and not self._knows(Headers(scope=scope).getlist("host")):
            answer = PlainTextResponse("this name is not one of this node's (console.names)\n", _BAD_REQUEST)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, given: list[str]) -> bool:
        if len(given) != 1:
            return False
        name, colon, port = given[0].rpartition(":")
        has_port = bool(colon) and port.isdecimal()
        return (name if has_port else given[0]).casefold() in self._names


def is_from_elsewhere(request: Request) -> bool:
    """Whether a request that changes something comes from a page of another site (Fetch Metadata, else Origin)."""
    if request.method in _SAFE_METHODS:
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("Host")


def is_same_secret(given: object, expected: str) -> bool:
    """Compares in a time that tells nothing."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def local_path(text: object, otherwise: str = "/") -> str:
    """A place of this console to go to; `otherwise` for whatever a browser could take for another host."""
    if not isinstance(text, str) or not text.startswith("/") or text.startswith(("//", "/\\")):
        return otherwise
    return text if text.isprintable() and "\\" not in text else otherwise
