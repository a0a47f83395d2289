"""Who asks for a page: a session's cookie, or what the site's proxy says."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from node.accounts import sessions, users
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.config.console import ConsoleProxy, ConsoleSettings, is_loopback
from node.desk.actor import Actor, ActorKind
from node.desk.rights import Right, may

REFRESH = "X-Refresh"
"""The header of a request that a page makes by itself: nobody did anything."""
_CONFIRMED_FOR = 300.0
"""Seconds for which a password that was given again counts."""
_PROXY_KEY = secrets.token_bytes(32)
_LONGEST_NAME = 128
"""Characters of a name that a proxy may say."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is known."""

    name: str
    role: Role
    csrf: str
    """What forms send along."""
    session: str | None = None
    """The digest of the session; None for those whom the proxy logged in."""
    must_change: bool = False
    """Nothing but a new password is accepted."""
    confirmed_at: float = 0.0

    @property
    def actor(self) -> Actor:
        """As events name it."""
        return Actor(ActorKind.USER, self.name, self.role)

    @property
    def is_confirmed(self) -> bool:
        """Whether the password was given a moment ago; the proxy alone knows that of its users."""
        return self.session is None or time.time() - self.confirmed_at < _CONFIRMED_FOR

    def may(self, right: Right) -> bool:
        """Whether the role includes it."""
        return may(self.actor, right)


def is_encrypted(request: Request, settings: ConsoleSettings) -> bool:
    """Whether the browser speaks HTTPS: with us, or with the site's proxy, which says so."""
    if settings.tls is not None:
        return True
    said = request.headers.getlist("X-Forwarded-Proto")
    return is_from_proxy(request, settings) and said == ["https"]


def cookie_name(request: Request, settings: ConsoleSettings) -> str:
    """Of the session's cookie; the prefix keeps other hosts of the domain from setting it (RFC 6265bis 4.1.3.2)."""
    return "__Host-pacsnode" if is_encrypted(request, settings) else "pacsnode"


def put_cookie(answer: Response, request: Request, settings: ConsoleSettings, token: str) -> None:
    """Give the browser its session; no script reads it, no other site sends it along with a form."""
    secure = is_encrypted(request, settings)
    name = cookie_name(request, settings)
    answer.set_cookie(name, token, httponly=True, samesite="lax", secure=secure, path="/")


def drop_cookie(answer: Response, request: Request, settings: ConsoleSettings) -> None:
    """Have the browser forget its session."""
    name = cookie_name(request, settings)
    answer.delete_cookie(name, path="/", secure=is_encrypted(request, settings), httponly=True, samesite="lax")


def address_of(request: Request) -> str:
    """Where a request comes from; an IPv4 address as such, on a socket for both, too."""
    return request.client.host.removeprefix("::ffff:") if request.client else "unknown"


def is_from_proxy(request: Request, settings: ConsoleSettings) -> bool:
    """Whether the site's proxy asks, whose headers are believed."""
    return settings.proxy is not None and address_of(request) in settings.proxy.addresses


def may_come(request: Request, settings: ConsoleSettings) -> bool:
    """Whether pages are shown over this connection: over HTTPS, from this machine, or through the proxy.

    Whoever reaches a port without TLS past the proxy would send a password that everybody on the network can read.
    """
    if settings.is_private or is_from_proxy(request, settings):
        return True
    return is_loopback(address_of(request))


def visitor_of(request: Request, accounts: Accounts, settings: ConsoleSettings) -> Visitor | None:
    """Who it is; None where nobody is logged in. Nothing is changed by it."""
    if settings.proxy is not None and (found := _by_proxy(request, accounts, settings)) is not None:
        return found
    token = request.cookies.get(cookie_name(request, settings))
    session = sessions.find(accounts, token, time.time(), settings.idle) if token else None
    if session is None:
        return None
    user = session.user
    return Visitor(user.name, user.role, session.csrf, session.digest, user.must_change, session.confirmed_at)


def did_something(request: Request, accounts: Accounts, visitor: Visitor) -> None:
    """The session is not idle, unless a page only refreshes itself."""
    if visitor.session is not None and REFRESH not in request.headers:
        sessions.seen(accounts, visitor.session, time.time())


def _by_proxy(request: Request, accounts: Accounts, settings: ConsoleSettings) -> Visitor | None:
    """Whom the proxy has logged in; nobody where a header is there twice: one of them may be the browser's."""
    proxy = settings.proxy
    if proxy is None or not is_from_proxy(request, settings):
        return None
    names = request.headers.getlist(proxy.user_header)
    name = _text(names[0]).strip().casefold() if len(names) == 1 else ""
    if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
        return None
    user = users.get(accounts, name)
    if user is not None and user.disabled:
        return None
    role = _role_of_groups(request, proxy) or (user.role if user is not None else None)
    csrf = hmac.new(_PROXY_KEY, name.encode(), hashlib.sha256).hexdigest()
    return Visitor(name, role, csrf) if role is not None else None


def _role_of_groups(request: Request, proxy: ConsoleProxy) -> Role | None:
    """The first role that one of the user's groups has."""
    if proxy.groups_header is None:
        return None
    given = request.headers.getlist(proxy.groups_header)
    if len(given) != 1:
        return None
    said = {each.strip() for each in _text(given[0]).split(",")}
    return next((role for role, groups in proxy.groups.items() if said & set(groups)), None)


def _text(header: str) -> str:
    """What a proxy meant: names are UTF-8 by now, and HTTP's header fields are read as Latin-1."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header
