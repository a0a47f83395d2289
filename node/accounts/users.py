"""Users of the console: a name, a role, a password that is known as its hash alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.accounts import passwords
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.clock import from_text, to_text
from node.errors import NotFoundError, PermanentError, UsageError

_NAME = re.compile(r"[\w][\w.@+-]{0,63}")
_COLUMNS = "name, role, must_change, disabled, created_at, created_by, password IS NOT NULL"


@dataclass(frozen=True, slots=True)
class User:
    """One user."""

    name: str
    role: Role
    must_change: bool
    """The password was given by somebody else: nothing but a new one is accepted."""
    disabled: bool
    created_at: datetime
    created_by: str
    has_password: bool
    """False for those who come by the site's single sign-on alone."""


def every(accounts: Accounts) -> list[User]:
    """All, by name."""
    return [_of_row(row) for row in accounts.query(f"SELECT {_COLUMNS} FROM users ORDER BY name")]  # noqa: S608 - our own text


def get(accounts: Accounts, name: str) -> User | None:
    """The user of this name; names differ in more than capital letters."""
    rows = accounts.query(f"SELECT {_COLUMNS} FROM users WHERE name=?", [_folded(name)])  # noqa: S608 - our own text
    return _of_row(rows[0]) if rows else None


def add(accounts: Accounts, name: str, role: Role, at: datetime, by: str, *, password: bool = True) -> str:
    """A new user; returns the one-time password, empty where there is to be none.

    Raises UsageError for a name that cannot be one, PermanentError where there is such a user.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f'"{name}" cannot be the name of a user: letters, digits and . _ @ + - , at most 64')
    secret = passwords.one_time() if password else ""
    kept = passwords.hashed(secret) if password else None
    with accounts.transaction():
        if get(accounts, name) is not None:
            raise PermanentError(f"there is a user {_folded(name)} already")
        accounts.query(
            "INSERT INTO users VALUES (?, ?, ?, ?, 0, ?, ?)",
            [_folded(name), role, kept, int(password), to_text(at), by],
        )
    return secret


def reset_password(accounts: Accounts, name: str) -> str:
    """A new one-time password; whoever is logged in as this user is logged out. NotFoundError."""
    secret = passwords.one_time()
    _keep_password(accounts, name, secret, must_change=True)
    return secret


def choose_password(accounts: Accounts, name: str, password: str) -> None:
    """The user's own password from now on; all sessions of the user end. UsageError, NotFoundError."""
    passwords.check_new(password, name)
    rows = accounts.query("SELECT password FROM users WHERE name=?", [_folded(name)])
    if rows and passwords.is_right(password, rows[0][0]):
        raise UsageError("this is the password that is to be changed: choose another one")
    _keep_password(accounts, name, password, must_change=False)


def change(accounts: Accounts, name: str, *, role: Role | None = None, disabled: bool | None = None) -> None:
    """Give another role, or lock out; sessions of the user end. NotFoundError; PermanentError for the last admin."""
    with accounts.transaction():
        user = _known(accounts, name)
        role, disabled = role or user.role, user.disabled if disabled is None else disabled
        if user.role is Role.ADMIN and (disabled or role is not Role.ADMIN):
            _check_not_the_last(accounts, user)
        accounts.query("UPDATE users SET role=?, disabled=? WHERE name=?", [role, int(disabled), user.name])
        accounts.query("DELETE FROM sessions WHERE user=?", [user.name])


def remove(accounts: Accounts, name: str) -> None:
    """Forget a user. NotFoundError; PermanentError for the last admin."""
    with accounts.transaction():
        user = _known(accounts, name)
        if user.role is Role.ADMIN:
            _check_not_the_last(accounts, user)
        accounts.query("DELETE FROM users WHERE name=?", [user.name])


def password_is_right(accounts: Accounts, name: str, password: str) -> bool:
    """Whether this is the password of a user who may log in."""
    rows = accounts.query("SELECT password FROM users WHERE name=? AND disabled=0", [_folded(name)])
    return passwords.is_right(password, rows[0][0] if rows else None)


def _keep_password(accounts: Accounts, name: str, password: str, *, must_change: bool) -> None:
    kept = passwords.hashed(password)
    with accounts.transaction():
        user = _known(accounts, name)
        accounts.query("UPDATE users SET password=?, must_change=? WHERE name=?", [kept, int(must_change), user.name])
        accounts.query("DELETE FROM sessions WHERE user=?", [user.name])


def _known(accounts: Accounts, name: str) -> User:
    user = get(accounts, name)
    if user is None:
        raise NotFoundError(f'there is no user "{name}"')
    return user


def _check_not_the_last(accounts: Accounts, user: User) -> None:
    others = [each for each in every(accounts) if each.role is Role.ADMIN and not each.disabled]
    if [each.name for each in others] == [user.name]:
        raise PermanentError(f"{user.name} is the last admin: make another user admin first")


def _folded(name: str) -> str:
    return name.casefold()


def _of_row(row: tuple[Any, ...]) -> User:
    name, role, must_change, disabled, created_at, created_by, has_password = row
    return User(
        name=name,
        role=Role(role),
        must_change=bool(must_change),
        disabled=bool(disabled),
        created_at=from_text(created_at),
        created_by=created_by,
        has_password=bool(has_password),
    )
