"""Who asks for a page: a session's cookie, or what the site's proxy says."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from starlette.requests import Request

from node.accounts import sessions, users
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.config.console import ConsoleProxy, ConsoleSettings
from node.desk.actor import Actor, ActorKind
from node.desk.rights import Right, may

REFRESH = "X-Refresh"
"""The header of a request that a page makes by itself: nobody did anything."""
_CONFIRMED_FOR = 300.0
"""Seconds for which a password that was given again counts."""
_PROXY_KEY = secrets.token_bytes(32)


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


def cookie_name(settings: ConsoleSettings) -> str:
    """Of the session's cookie; the prefix keeps other hosts of the domain from setting it (RFC 6265bis 4.1.3.2)."""
    return "__Host-pacsnode" if settings.tls is not None else "pacsnode"


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else "unknown"


def visitor_of(request: Request, accounts: Accounts, settings: ConsoleSettings) -> Visitor | None:
    """Who it is; None where nobody is logged in."""
    if settings.proxy is not None and (found := _by_proxy(request, accounts, settings.proxy)) is not None:
        return found
    token = request.cookies.get(cookie_name(settings))
    session = sessions.find(accounts, token, time.time(), settings.idle) if token else None
    if session is None:
        return None
    if REFRESH not in request.headers:
        sessions.seen(accounts, session.digest, time.time())
    user = session.user
    return Visitor(user.name, user.role, session.csrf, session.digest, user.must_change, session.confirmed_at)


def _by_proxy(request: Request, accounts: Accounts, proxy: ConsoleProxy) -> Visitor | None:
    names = request.headers.getlist(proxy.user_header)
    if address_of(request) not in proxy.addresses or len(names) != 1 or not names[0].strip():
        return None
    name = names[0].strip().casefold()
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
    said = {each.strip() for each in request.headers.get(proxy.groups_header, "").split(",")}
    return next((role for role, groups in proxy.groups.items() if said & set(groups)), None)
