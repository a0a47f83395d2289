"""Users of the console as admins manage them, by the command or on a page; each change is an event.

Accounts and ledger are two files: an account is changed first. Where that cannot be put on record, the one who did it
gets an error that says so.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from node.accounts import users
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.accounts.users import User
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.errors import NodeError, TransientError
from node.ledger import events
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind


def listed(accounts: Accounts, by: Actor) -> list[User]:
    """All users, by name; NotAllowedError."""
    require(by, Right.MANAGE_USERS)
    return users.every(accounts)


def state_of(user: User) -> str:
    """What is to be known of an account, in words; empty where it is as usual."""
    if user.disabled:
        return "disabled"
    if not user.has_password:
        return "by single sign-on alone"
    return "has to choose a password" if user.must_change else ""


class UserDesk:
    """What one actor does to accounts."""

    def __init__(self, accounts: Accounts, ledger: Ledger | None, by: Actor, at: datetime) -> None:
        """`ledger`: None before the first start of the node, which makes it. NotAllowedError."""
        require(by, Right.MANAGE_USERS)
        self._accounts = accounts
        self._ledger = ledger
        self._by = by
        self._at = at

    def add(self, name: str, role: Role, *, password: bool = True) -> ActionOutcome:
        """A new user, with a password for the first login. UsageError, PermanentError where there is such a user."""
        secret = users.add(self._accounts, name, role, self._at, str(self._by), password=password)
        user = name.casefold()
        self._record(EventKind.USER_ADDED, user, role=role)
        said = f"user {user} is added with the role {role}"
        if secret:
            said += f"\npassword for the first login: {secret}"
        return ActionOutcome(said, {"user": user, "role": role, "password": secret})

    def give_password(self, name: str) -> ActionOutcome:
        """A new password for one login; the user is logged out everywhere. NotFoundError."""
        secret = users.reset_password(self._accounts, name)
        self._record(EventKind.USER_PASSWORD, name, given="for one login")
        said = f"password for the next login of {name.casefold()}: {secret}"
        return ActionOutcome(said, {"user": name.casefold(), "password": secret})

    def give_role(self, name: str, role: Role) -> ActionOutcome:
        """Another role. NotFoundError; PermanentError for the last admin."""
        users.change(self._accounts, name, role=role)
        self._record(EventKind.USER_CHANGED, name, role=role)
        return ActionOutcome(f"user {name.casefold()} has the role {role} now", {"user": name.casefold(), "role": role})

    def disable(self, name: str) -> ActionOutcome:
        """Let the user in no more. NotFoundError; PermanentError for the last admin."""
        users.change(self._accounts, name, disabled=True)
        self._record(EventKind.USER_CHANGED, name, disabled=True)
        return ActionOutcome(f"user {name.casefold()} is disabled", {"user": name.casefold(), "disabled": True})

    def enable(self, name: str) -> ActionOutcome:
        """Let a disabled user in again. NotFoundError."""
        users.change(self._accounts, name, disabled=False)
        self._record(EventKind.USER_CHANGED, name, disabled=False)
        return ActionOutcome(f"user {name.casefold()} is enabled", {"user": name.casefold(), "disabled": False})

    def remove(self, name: str) -> ActionOutcome:
        """Forget the user; events keep the name. NotFoundError; PermanentError for the last admin."""
        users.remove(self._accounts, name)
        self._record(EventKind.USER_REMOVED, name)
        return ActionOutcome(f"user {name.casefold()} is removed", {"user": name.casefold()})

    def _record(self, kind: EventKind, name: str, **detail: Any) -> None:
        if self._ledger is None:
            return
        try:
            with self._ledger.transaction() as database:
                events.record(database, self._at, kind, actor=str(self._by), user=name.casefold(), **detail)
        except NodeError as error:
            raise TransientError(f"user {name.casefold()}: it is done, but it is not on record: {error}") from error
