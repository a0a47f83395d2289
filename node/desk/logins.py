"""Who came to the console and who was refused, on record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from node.accounts import users
from node.accounts.database import Accounts
from node.desk.actor import Actor, ActorKind
from node.ledger import events
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind

_MOST, _REFILLED = 60, 10.0
"""Events of refused logins in a row, and seconds for one more: who guesses passwords does not fill the ledger."""


def logged_in(ledger: Ledger, by: Actor, at: datetime, address: str) -> None:
    """This user came from this address; TransientError, LedgerError."""
    _record(ledger, EventKind.USER_LOGGED_IN, by, at, address=address)


def logged_out(ledger: Ledger, by: Actor, at: datetime, *, everywhere: bool = False) -> None:
    """This user left; TransientError, LedgerError."""
    _record(ledger, EventKind.USER_LOGGED_OUT, by, at, **({"everywhere": True} if everywhere else {}))


def password_chosen(ledger: Ledger, by: Actor, at: datetime) -> None:
    """This user has another password now; TransientError, LedgerError."""
    _record(ledger, EventKind.USER_PASSWORD, by, at, user=by.name, given="by the user")


def _record(ledger: Ledger, kind: EventKind, by: Actor, at: datetime, **detail: Any) -> None:
    with ledger.transaction() as database:
        events.record(database, at, kind, actor=str(by), **detail)


class RefusedLogins:
    """Records refused logins, as many as a ledger can bear; the next event says how many it has left out."""

    def __init__(self) -> None:
        self._left = float(_MOST)
        self._at: datetime | None = None
        self._omitted = 0

    def record(self, ledger: Ledger, accounts: Accounts, name: str, at: datetime, address: str) -> None:
        """Somebody gave this name; TransientError, LedgerError.

        A name that nobody has is not written down: it may be a password, typed into the wrong field.
        """
        if self._at is not None:
            self._left = min(float(_MOST), self._left + (at - self._at).total_seconds() / _REFILLED)
        self._at = at
        if self._left < 1:
            self._omitted += 1
            return
        self._left -= 1
        known = users.get(accounts, name)
        detail: dict[str, Any] = {"user": known.name if known else "unknown", "address": address}
        if self._omitted:
            detail["omitted"] = self._omitted
        actor = str(Actor(ActorKind.USER, known.name)) if known else events.NODE
        with ledger.transaction() as database:
            events.record(database, at, EventKind.USER_REFUSED, actor=actor, **detail)
        self._omitted = 0
