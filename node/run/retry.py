"""What follows a failed attempt: a value, decided by a pure function of the failure and the attempts.

Four kinds of failure, by whose they are:

- **The run's** (crash, deadline, a limit exceeded): the same plugin may well succeed on a quieter
  machine, so it is tried again, with growing pauses, as often as the site allows (`attempts`).
- **An image's** (its file is damaged): nobody's fault that trying again could mend. Not tried again.
- **The answer's** (it breaks the contract): plugins are meant to be deterministic, and so is this.
  Not tried again.
- **The node's** (a full disk, a sandbox that does not come up): the plugin is not to blame, so the
  attempt is not counted; tried again with growing pauses for about two hours, an alert each time.
  Then the job fails after all: silence must not look like a negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class FailureKind(StrEnum):
    """Why an attempt failed."""

    CRASH = "crash"
    """The process ended with an error or by a signal."""
    DEADLINE = "deadline"
    MEMORY = "memory"
    RESOURCES = "resources"
    """Too many processes, too much on disk."""
    NODE_DIED = "node_died"
    """The node ended, not on purpose, while it ran: perhaps because of it."""
    CONTRACT = "contract"
    """What it returned cannot be accepted."""
    INPUT = "input"
    """What it should be given is not there (any more), or the plugin is not."""
    DAMAGED = "damaged"
    """An image that it should be given is not what was received."""
    NODE = "node"
    """The node or the machine could not do its part."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt; `detail` is for the admin."""

    kind: FailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay`."""

    delay: timedelta
    counted: bool
    """Whether the attempt counts against the plugin."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job ends as failed."""


_OF_THE_RUN = {FailureKind.CRASH, FailureKind.DEADLINE, FailureKind.MEMORY, FailureKind.RESOURCES}
_FIRST, _FACTOR, _LONGEST = timedelta(seconds=30), 4, timedelta(minutes=15)
_FIRST_OF_NODE, _LONGEST_OF_NODE = timedelta(seconds=10), timedelta(minutes=10)
POSTPONEMENTS = 16  # 10 s, 20 s, … 320 s, then ten times 10 minutes: about two hours


def after(kind: FailureKind, attempts: int, allowed: int, postponements: int) -> Again | GiveUp:
    """What follows the failed attempt number `attempts` of `allowed`, postponed that often before."""
    if kind is FailureKind.NODE:
        if postponements >= POSTPONEMENTS:
            return GiveUp()
        return Again(min(_FIRST_OF_NODE * 2**postponements, _LONGEST_OF_NODE), counted=False)
    if kind is FailureKind.NODE_DIED and attempts < allowed:
        return Again(timedelta(0), counted=True)
    if kind in _OF_THE_RUN and attempts < allowed:
        return Again(min(_FIRST * _FACTOR ** (attempts - 1), _LONGEST), counted=True)
    return GiveUp()
