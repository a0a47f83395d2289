"""Who does something, for the record."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from enum import StrEnum

from node.accounts.roles import Role


class ActorKind(StrEnum):
    """What kind of name an actor's is."""

    OS = "os"
    """A login of this machine."""
    USER = "user"
    """A user of the console."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person who acts; `os:alice` as text."""

    kind: ActorKind
    name: str
    role: Role | None = None
    """Of a user of the console."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def who_types() -> Actor:
    """The login of this process; behind sudo, the one who called it."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        name = f"uid {os.getuid()}"
    return Actor(ActorKind.OS, name)
