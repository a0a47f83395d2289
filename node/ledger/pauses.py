"""What is paused until a person resumes it.

A person pauses a plugin, a rule or a destination: it waits, and nothing of it is lost. A stop rule suspends a rule for
a scanner (`node.ledger.suspensions`): its studies are reported as not analysed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError, PermanentError
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query


class Pausable(StrEnum):
    """What can be paused."""

    PLUGIN = "plugin"
    """Its jobs stay queued."""
    RULE = "rule"
    """It decides as before, and its jobs stay queued."""
    DESTINATION = "destination"
    """Nothing is sent there."""
    SUSPENSION = "suspension"
    """By a stop rule: studies of a rule and scanner are not analysed. Its name is a number."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One row of `pauses`."""

    what: Pausable
    name: str
    by: str
    """Who paused it, as an actor: `os:USER`; the node, for a stop rule."""
    since: datetime
    why: str


_PAUSED = {
    Pausable.PLUGIN: EventKind.PLUGIN_PAUSED,
    Pausable.RULE: EventKind.RULE_PAUSED,
    Pausable.DESTINATION: EventKind.DESTINATION_PAUSED,
    Pausable.SUSPENSION: EventKind.SUSPENSION_PAUSED,
}
_RESUMED = {
    Pausable.PLUGIN: EventKind.PLUGIN_RESUMED,
    Pausable.RULE: EventKind.RULE_RESUMED,
    Pausable.DESTINATION: EventKind.DESTINATION_RESUMED,
    Pausable.SUSPENSION: EventKind.SUSPENSION_RESUMED,
}


def begin(database: Database, at: datetime, pause: Pause) -> None:
    """From now on; what runs or is being sent just now is finished. PermanentError where it is paused already."""
    earlier = get(database, pause.what, pause.name)
    if earlier is not None:
        raise PermanentError(f"{pause.what} {pause.name} is paused already, by {earlier.by}: {earlier.why}")
    values = [pause.what, pause.name, pause.by, to_text(pause.since), pause.why]
    database.execute("INSERT INTO pauses (what, name, by, since, why) VALUES (?,?,?,?,?)", values)
    events.record(database, at, _PAUSED[pause.what], actor=pause.by, name=pause.name, why=pause.why)


def end(database: Database, at: datetime, what: Pausable, name: str, by: str, why: str | None = None) -> None:
    """It goes on, for the reason that a person gives. NotFoundError where it is not paused."""
    if get(database, what, name) is None:
        raise NotFoundError(f"{what} {name} is not paused")
    database.execute("DELETE FROM pauses WHERE what=? AND name=?", [what, name])
    events.record(database, at, _RESUMED[what], actor=by, name=name, why=why)


def get(database: Database, what: Pausable, name: str) -> Pause | None:
    """The pause of this one, where it is paused."""
    row = one(database, "SELECT * FROM pauses WHERE what=? AND name=?", [what, name])
    return _pause(row) if row else None


def every(database: Database) -> list[Pause]:
    """All that is paused, by kind and name."""
    return [_pause(row) for row in query(database, "SELECT * FROM pauses ORDER BY what, name")]


def _pause(row: dict[str, Any]) -> Pause:
    return Pause(Pausable(row["what"]), row["name"], row["by"], from_text(row["since"]), row["why"])
