"""Passwords: hashed by Argon2id (RFC 9106), with the library's present parameters."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from node.errors import UsageError

SHORTEST = 12
"""Characters (NIST SP 800-63B asks for 8, and for 15 where there is no second factor)."""
_LONGEST = 256
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that look alike."""


def one_time() -> str:
    """A password that is to be changed at the first login: 80 bits, easy to type."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def hashed(password: str) -> str:
    """What is kept of it."""
    return _hasher().hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Whether it is the one; takes as long for a user who does not exist (`kept` None)."""
    try:
        _hasher().verify(kept or _nobody(), password[:_LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def check_new(password: str, user: str) -> None:
    """Whether somebody may choose it; UsageError with what is wrong."""
    if len(password) < SHORTEST:
        raise UsageError(f"a password has at least {SHORTEST} characters")
    if len(password) > _LONGEST:
        raise UsageError(f"a password has at most {_LONGEST} characters")
    if len(set(password)) < 5 or user.casefold() in password.casefold():
        raise UsageError("this password is too easy to guess: choose one without your name and with more variety")


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobody() -> str:
    return hashed(secrets.token_urlsafe())
