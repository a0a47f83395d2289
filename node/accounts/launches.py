"""Launches: a PACS or RIS, which has logged the reader in, opens the page of one study for them (IHE IID, RAD-106).

It signs user, study, time and nonce with a key that both have (HMAC-SHA256, RFC 2104). A launch works once, within a
minute, for that study and that user, who has to be a reader of this node. docs/console-launch.md has the whole of it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from node.accounts import sessions, users
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.errors import PermanentError

_WITHIN = 60.0
"""Seconds that a launch may be old, or that its clock may be ahead of ours."""
_SHORTEST_KEY = 32
"""Bytes (RFC 2104, section 3: as long as the digest)."""
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_TIME = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")


class LaunchRefusedError(PermanentError):
    """Nobody is let in by it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a PACS or RIS asks for, as its address says it."""

    user: str
    accession: str
    study_uid: str
    time: str
    """Seconds since 1970."""
    nonce: str
    signature: str
    """In hexadecimal digits."""

    @property
    def signed(self) -> bytes:
        """What the signature is of: a line for each value, absent ones empty, without a line feed at the end."""
        values = {
            "user": self.user,
            "requestType": "STUDY",
            "accessionNumber": self.accession,
            "studyUID": self.study_uid,
            "time": self.time,
            "nonce": self.nonce,
        }
        return "\n".join(["pacsnode-launch", *(f"{name}={value}" for name, value in values.items())]).encode()


def read_key(path: Path) -> bytes:
    """The key that signs launches: the content of the file, without white space around it. OSError, PermanentError."""
    key = path.read_bytes().strip()
    if len(key) < _SHORTEST_KEY:
        raise PermanentError(f"{path}: a launch key has at least {_SHORTEST_KEY} characters: openssl rand -hex 32")
    return key


def enter(accounts: Accounts, key: bytes, asked: Launch, now: float, address: str) -> str:
    """The token of a new session of the reader; LaunchRefusedError. The session may what readers may, never more."""
    _check_signature(key, asked)
    if abs(now - int(asked.time)) > _WITHIN:
        raise LaunchRefusedError("this launch is too old, or the clocks differ: open the study again from the PACS")
    user = users.get(accounts, asked.user)
    if user is None or user.disabled or user.role is not Role.READER:
        raise LaunchRefusedError("the user of this launch is not a reader here: an admin of this node adds one")
    with accounts.transaction():
        accounts.query("DELETE FROM launches WHERE at<?", [now - 3 * _WITHIN])
        if accounts.query("SELECT 1 FROM launches WHERE nonce=?", [asked.nonce]):
            raise LaunchRefusedError("this launch was used already: open the study again from the PACS")
        accounts.query("INSERT INTO launches VALUES (?, ?)", [asked.nonce, now])
    sessions.sweep(accounts, now)
    return sessions.begin(accounts, user.name, now, address)


def _check_signature(key: bytes, asked: Launch) -> None:
    """Of its form first: what is signed has one reading, and what is not signed is not looked at."""
    well_formed = (
        _TIME.fullmatch(asked.time)
        and _NONCE.fullmatch(asked.nonce)
        and _SIGNATURE.fullmatch(asked.signature)
        and (asked.user + asked.accession + asked.study_uid).isprintable()
    )
    expected = hmac.new(key, asked.signed, hashlib.sha256).hexdigest()
    if not well_formed or not hmac.compare_digest(expected, asked.signature.lower()):
        raise LaunchRefusedError("this launch is not signed as it should be")
