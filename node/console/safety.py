"""What each answer and each request of the console is held to, before and after a page's own code.

Headers after OWASP's secure headers: nothing is loaded from elsewhere, no page is shown inside another one, no script
is part of a page. A request that changes something has to come from a page of ours.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
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


def is_from_elsewhere(request: Request) -> bool:
    """Whether a request that changes something comes from a page of another site (Fetch Metadata, else Origin)."""
    if request.method in _SAFE_METHODS:
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("Host")


def is_same_secret(given: object, expected: str) -> bool:
    """Compares in a time that tells nothing."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def local_path(text: object, otherwise: str = "/") -> str:
    """A place of this console to go to; `otherwise` for whatever a browser could take for another host."""
    if not isinstance(text, str) or not text.startswith("/") or text.startswith(("//", "/\\")):
        return otherwise
    if any(character in text for character in "\\\r\n\t\0") or urlsplit(text).netloc:
        return otherwise
    return text
