"""What follows a failed attempt: a value, decided by a pure function of the failure and the attempts.

Six kinds of failure, by whose they are:

- **The run's** (crash, deadline, a limit exceeded, or the plugin asks for it): the same plugin may well succeed on a
  quieter machine, so it is tried again, with growing pauses, as often as the site allows (`attempts`).
- **An image's** (its file is damaged): nobody's fault that trying again could mend. Not tried again.
- **The answer's** (it breaks the contract) and **the program's** (it gives up with an error): plugins are meant to be
  deterministic, and so is this. Not tried again.
- **The node's** (a full disk, a sandbox that does not come up) and **the site's** (somebody replaced the program while
  it ran, so that nobody can say which one answered): the plugin is not to blame, so the
  attempt is not counted; tried again with growing pauses for about two hours, an alert each time.
  Then the job fails after all: silence must not look like a negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from node.ledger.attempts import AttemptFailureKind


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """One failed attempt; `detail` is for the admin."""

    kind: AttemptFailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class AttemptAgain:
    """Try again after `delay`."""

    delay: timedelta
    counted: bool
    """Whether the attempt counts against the plugin."""


@dataclass(frozen=True, slots=True)
class FailJob:
    """The job ends as failed."""


_OF_THE_RUN = {
    AttemptFailureKind.CRASH,
    AttemptFailureKind.RETRYABLE,
    AttemptFailureKind.DEADLINE,
    AttemptFailureKind.LOADING,
    AttemptFailureKind.MEMORY,
    AttemptFailureKind.RESOURCES,
}
_NOT_THE_PLUGINS = {AttemptFailureKind.NODE, AttemptFailureKind.CHANGED}
_FIRST, _FACTOR, _LONGEST = timedelta(seconds=30), 4, timedelta(minutes=15)
_FIRST_OF_NODE, _LONGEST_OF_NODE = timedelta(seconds=10), timedelta(minutes=10)
POSTPONEMENTS = 16  # 10 s, 20 s, … 320 s, then ten times 10 minutes: about two hours


def after(kind: AttemptFailureKind, attempts: int, allowed: int, postponements: int) -> AttemptAgain | FailJob:
    """What follows the failed attempt number `attempts` of `allowed`, postponed that often before."""
    if kind in _NOT_THE_PLUGINS:
        if postponements >= POSTPONEMENTS:
            return FailJob()
        return AttemptAgain(min(_FIRST_OF_NODE * 2**postponements, _LONGEST_OF_NODE), counted=False)
    if kind is AttemptFailureKind.NODE_DIED and attempts < allowed:
        return AttemptAgain(timedelta(0), counted=True)
    if kind in _OF_THE_RUN and attempts < allowed:
        return AttemptAgain(min(_FIRST * _FACTOR ** (attempts - 1), _LONGEST), counted=True)
    return FailJob()
