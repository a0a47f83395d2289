"""Recalls: a version of a plugin was withdrawn by a person, and runs no more until somebody takes that back.

A row is of one version, whatever the configuration says: with a new configuration the same version does not run, and
another version does. What becomes of its jobs and results is `node.ledger.recalled_results`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError, PermanentError
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.plugin_names import key_of
from node.ledger.rows import moment, one, query

PER_MINUTE = 60
"""Rejection notes a minute, at most, where nobody says another number."""


class RecallReason(StrEnum):
    """Why a version is withdrawn."""

    QUALITY = "quality"
    """What it says is not good enough."""
    SAFETY = "safety"
    """What it says may harm a patient."""
    WRONG_PATIENT = "wrong-patient"
    """What it says may be of another patient."""

    @property
    def note_title(self) -> str:
        """Code value of the title of rejection notes (PS3.16 CID 7010; IHE transaction RAD-66)."""
        return "113001" if self is RecallReason.QUALITY else "113037"


@dataclass(frozen=True, slots=True)
class NewRecall:
    """What a person decides."""

    plugin: str
    version: str
    reason: RecallReason
    why: str
    """In the person's words."""
    by: str
    """As an actor: `os:USER`."""
    per_minute: int
    """Rejection notes a minute, at most."""


@dataclass(frozen=True, slots=True)
class Recall:
    """One row of `recalls`."""

    id: int
    plugin: str
    version: str
    reason: RecallReason
    why: str
    by: str
    at: datetime
    per_minute: int
    listed_at: datetime | None
    """When all that there was had been stopped and listed; None while that goes on."""
    ended_at: datetime | None
    ended_by: str | None
    ended_why: str | None

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.plugin} {self.version}"

    @property
    def not_analysed(self) -> str:
        """What ends a job that it kept from running."""
        return f"not analysed: {self.name} was withdrawn"

    @property
    def sentence(self) -> str:
        """Why its results do not stand, for people who were notified of them."""
        return f"{self.name} was withdrawn ({self.reason})" + (f": {self.why}" if self.why else "")


def begin(database: Database, at: datetime, new: NewRecall) -> Recall:
    """From now on it does not run; PermanentError where it is withdrawn already."""
    if (earlier := find(database, new.plugin, new.version)) is not None:
        raise PermanentError(f"{earlier.name} is withdrawn already, by {earlier.by}")
    plugin = key_of(new.plugin)
    values = [plugin, new.version, new.reason, new.why, new.by, to_text(at), new.per_minute]
    database.execute(
        "INSERT INTO recalls (plugin, version, reason, why, by, at, per_minute) VALUES (?,?,?,?,?,?,?)",
        values,
    )
    found = find(database, plugin, new.version)
    assert found is not None, "it was just made"
    alerts.raised(
        database,
        at,
        AlertKind.PLUGIN_WITHDRAWN,
        str(found.id),
        actor=new.by,
        plugin=plugin,
        version=new.version,
        reason=new.reason,
        why=new.why,
    )
    return found


def end(database: Database, at: datetime, recall: Recall, by: str, why: str) -> None:
    """It may run again. What was stopped stays so until a person has it done again."""
    changed = database.execute(
        "UPDATE recalls SET ended_at=?, ended_by=?, ended_why=? WHERE id=? AND ended_at IS NULL",
        [to_text(at), by, why, recall.id],
    ).rowcount
    if not changed:
        raise NotFoundError(f"{recall.name} is not withdrawn")
    events.record(
        database,
        at,
        EventKind.PLUGIN_REINSTATED,
        actor=by,
        plugin=recall.plugin,
        version=recall.version,
        withdrawn_by=recall.by,
        reason=recall.reason,
        why=why,
    )


def change_rate(database: Database, recall: Recall, per_minute: int) -> None:
    """At most this many rejection notes a minute from now on."""
    database.execute("UPDATE recalls SET per_minute=? WHERE id=?", [per_minute, recall.id])


def all_listed(database: Database, at: datetime, recall: Recall) -> None:
    """All that there was has been stopped and listed."""
    database.execute("UPDATE recalls SET listed_at=? WHERE id=? AND listed_at IS NULL", [to_text(at), recall.id])


def find(database: Database, plugin: str, version: str) -> Recall | None:
    """The recall of this version that is in force; None where it may run."""
    sql = "SELECT * FROM recalls WHERE plugin=? AND version=? AND ended_at IS NULL"
    row = one(database, sql, [key_of(plugin), version])
    return _recall(row) if row else None


def get(database: Database, recall: int) -> Recall:
    """The recall of this number; NotFoundError where there is none."""
    row = one(database, "SELECT * FROM recalls WHERE id=?", [recall])
    if row is None:
        raise NotFoundError(f"there is no withdrawal {recall}")
    return _recall(row)


def last_of(database: Database, plugin: str, version: str) -> Recall | None:
    """The newest recall of this version, in force or taken back; None where there was none."""
    sql = "SELECT * FROM recalls WHERE plugin=? AND version=? ORDER BY id DESC LIMIT 1"
    row = one(database, sql, [key_of(plugin), version])
    return _recall(row) if row else None


def in_force(database: Database) -> list[Recall]:
    """Versions that must not run, the newest withdrawal first."""
    return [_recall(row) for row in query(database, "SELECT * FROM recalls WHERE ended_at IS NULL ORDER BY id DESC")]


def of_job(database: Database, job: str) -> Recall | None:
    """The recall in force that the result of this job fell under; None where it stands."""
    row = one(
        database,
        "SELECT recalls.* FROM recalled_jobs JOIN recalls ON recalls.id=recall WHERE job=? AND rests=0"
        " AND ended_at IS NULL LIMIT 1",
        [job],
    )
    return _recall(row) if row else None


def _recall(row: dict[str, Any]) -> Recall:
    values = {**row, "reason": RecallReason(row["reason"])}
    values["at"] = from_text(row["at"])
    values["listed_at"], values["ended_at"] = moment(row["listed_at"]), moment(row["ended_at"])
    return Recall(**values)
