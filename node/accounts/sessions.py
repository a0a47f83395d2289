"""Sessions: a random token in the browser's cookie, of which the file has the digest alone."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from node.accounts import users
from node.accounts.database import Accounts
from node.accounts.users import User

_LONGEST = timedelta(hours=12)
"""After which somebody logs in again, however busy."""
_SEEN_EVERY = 15.0
"""Seconds between two notes that a session is used."""


@dataclass(frozen=True, slots=True)
class UserSession:
    """Somebody who is logged in."""

    digest: str
    user: User
    csrf: str
    """What each form sends along (OWASP: synchronizer token)."""
    confirmed_at: float
    """Seconds since 1970 when the password was last given."""


def begin(accounts: Accounts, user: str, now: float, address: str) -> str:
    """A session of this user; returns the token."""
    token = secrets.token_urlsafe(32)
    accounts.query(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)",
        [_digest(token), user.casefold(), secrets.token_urlsafe(32), now, now, now, address],
    )
    return token


def find(accounts: Accounts, token: str, now: float, idle: timedelta) -> UserSession | None:
    """The session of a token; None where there is none, where it was idle for too long, or where it is too old."""
    sql = "SELECT digest, user, csrf, began_at, seen_at, confirmed_at FROM sessions WHERE digest=?"
    rows = accounts.query(sql, [_digest(token)])
    if not rows:
        return None
    digest, name, csrf, began_at, seen_at, confirmed_at = rows[0]
    user = users.get(accounts, name)
    over = now - seen_at > idle.total_seconds() or now - began_at > _LONGEST.total_seconds()
    if user is None or user.disabled or over:
        end(accounts, digest)
        return None
    return UserSession(digest, user, csrf, confirmed_at)


def seen(accounts: Accounts, digest: str, now: float) -> None:
    """It is used: called where a person did something, not where a page refreshes itself."""
    accounts.query("UPDATE sessions SET seen_at=? WHERE digest=? AND seen_at<?", [now, digest, now - _SEEN_EVERY])


def confirmed(accounts: Accounts, digest: str, now: float) -> None:
    """The password was given again."""
    accounts.query("UPDATE sessions SET confirmed_at=? WHERE digest=?", [now, digest])


def end(accounts: Accounts, digest: str) -> None:
    """Log out."""
    accounts.query("DELETE FROM sessions WHERE digest=?", [digest])


def end_all(accounts: Accounts, user: str) -> None:
    """Log this user out everywhere."""
    accounts.query("DELETE FROM sessions WHERE user=?", [user.casefold()])


def sweep(accounts: Accounts, now: float) -> None:
    """Forget those that nobody can use any more."""
    accounts.query("DELETE FROM sessions WHERE began_at<?", [now - _LONGEST.total_seconds()])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
