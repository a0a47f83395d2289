"""Logging in: how often somebody may fail, for each user and for each address."""

from __future__ import annotations

from node.accounts import sessions, users
from node.accounts.database import Accounts
from node.errors import PermanentError

_WINDOW = 15 * 60.0
"""Seconds in which failures count."""
_OF_BOTH, _OF_USER, _OF_ADDRESS = 5, 30, 50
"""Failures in that time after which nobody is let in. One place alone cannot lock out a user everywhere."""


class LoginRefusedError(PermanentError):
    """Not let in."""


class TooManyLoginsError(LoginRefusedError):
    """Nor is the password looked at: too many were wrong of late."""


def log_in(accounts: Accounts, name: str, password: str, now: float, address: str) -> str:
    """The token of a new session; LoginRefusedError, which says the same for a wrong name and a wrong password."""
    check_not_too_many(accounts, name, address, now)
    if not users.password_is_right(accounts, name, password):
        failed(accounts, name, address, now)
        raise LoginRefusedError("the name or the password is wrong")
    mine, *_ = _places(name, address)
    accounts.query("DELETE FROM failed_logins WHERE place=?", [mine])
    sessions.sweep(accounts, now)
    return sessions.begin(accounts, name, now, address)


def check_not_too_many(accounts: Accounts, name: str, address: str, now: float) -> None:
    """LoginRefusedError where too many attempts failed of late."""
    for place, most in _places(name, address).items():
        if _failures(accounts, place, now) >= most:
            raise TooManyLoginsError("too many failed logins: try again in a quarter of an hour")


def failed(accounts: Accounts, name: str, address: str, now: float) -> None:
    """One more failure."""
    with accounts.transaction():
        accounts.query("DELETE FROM failed_logins WHERE at<?", [now - _WINDOW])
        for place in _places(name, address):
            accounts.query("INSERT INTO failed_logins VALUES (?, ?)", [place, now])


def _places(name: str, address: str) -> dict[str, int]:
    """Where a failure counts, and how many are too many there."""
    user = name.casefold()[:64]
    return {f"{user} from {address}": _OF_BOTH, f"user {user}": _OF_USER, f"address {address}": _OF_ADDRESS}


def _failures(accounts: Accounts, place: str, now: float) -> int:
    sql = "SELECT count(*) FROM failed_logins WHERE place=? AND at>?"
    ((number,),) = accounts.query(sql, [place, now - _WINDOW])
    return int(number)
