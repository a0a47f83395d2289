"""History: append-only, one row a transition, written in the transition's own transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlite_utils import Database

from node.clock import from_text, to_text
from node.ledger.rows import query, to_json


class Severity(StrEnum):
    """Who should read an event."""

    INFO = "info"
    """Part of the record."""
    WARNING = "warning"
    """Worth a look."""
    ALERT = "alert"
    """A person has to do something."""


FILES_CHECKED, FILES_MISSING = "files.checked", "files.missing"
"""Kinds of the events that every file which a row names was there after an upgrade, or was not (`serve.upgrade`)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of history."""

    id: int
    at: datetime
    kind: str
    severity: Severity
    study_instance_uid: str | None
    job: str | None
    delivery: int | None
    detail: Mapping[str, Any]


def record(
    database: Database,
    at: datetime,
    kind: str,
    *,
    study: str | None = None,
    job: str | None = None,
    delivery: int | None = None,
    severity: Severity = Severity.INFO,
    **detail: Any,
) -> None:
    """Append one event; `kind` is `aggregate.what-happened`, `detail` is JSON-able and names no patient."""
    database.execute(
        "INSERT INTO events (at, kind, severity, study_instance_uid, job, delivery, detail) VALUES (?,?,?,?,?,?,?)",
        [to_text(at), kind, severity, study, job, delivery, to_json(detail)],
    )


def of_study(database: Database, study: str) -> list[Event]:
    """All that happened to one study, oldest first."""
    return [
        _event(row) for row in query(database, "SELECT * FROM events WHERE study_instance_uid=? ORDER BY id", [study])
    ]


def of_job(database: Database, job: str, kind: str) -> list[Event]:
    """The events of a kind about one job, oldest first."""
    sql = (
        "SELECT * FROM events WHERE kind=? AND job=?"
        " AND study_instance_uid=(SELECT study_instance_uid FROM jobs WHERE id=?) ORDER BY id"
    )
    return [_event(row) for row in query(database, sql, [kind, job, job])]


def last_of(database: Database, study: str, kind: str) -> Event | None:
    """The newest event of this kind about a study."""
    sql = "SELECT * FROM events WHERE study_instance_uid=? AND kind=? ORDER BY id DESC LIMIT 1"
    rows = query(database, sql, [study, kind])
    return _event(rows[0]) if rows else None


def of_kind_and_study(database: Database, study: str, kind: str) -> list[Event]:
    """All events of this kind about a study, oldest first."""
    sql = "SELECT * FROM events WHERE study_instance_uid=? AND kind=? ORDER BY id"
    return [_event(row) for row in query(database, sql, [study, kind])]


def latest(database: Database, limit: int, severities: tuple[Severity, ...] = tuple(Severity)) -> list[Event]:
    """The newest events of these severities, newest first."""
    marks = ",".join("?" for _ in severities)
    sql = f"SELECT * FROM events WHERE severity IN ({marks}) ORDER BY id DESC LIMIT ?"  # noqa: S608 - only question marks
    return [_event(row) for row in query(database, sql, [*severities, limit])]


def of_kind(database: Database, kind: str) -> list[Event]:
    """All events of a kind that is about no study, newest first."""
    sql = "SELECT * FROM events WHERE study_instance_uid IS NULL AND kind=? ORDER BY id DESC"
    return [_event(row) for row in query(database, sql, [kind])]


def latest_of(database: Database, kinds: tuple[str, ...]) -> Event | None:
    """The newest event of these kinds that is about no study."""
    marks = ",".join("?" for _ in kinds)
    sql = f"SELECT * FROM events WHERE study_instance_uid IS NULL AND kind IN ({marks}) ORDER BY id DESC LIMIT 1"  # noqa: S608 - only question marks
    return next((_event(row) for row in query(database, sql, list(kinds))), None)


def _event(row: dict[str, Any]) -> Event:
    return Event(
        id=row["id"],
        at=from_text(row["at"]),
        kind=row["kind"],
        severity=Severity(row["severity"]),
        study_instance_uid=row["study_instance_uid"],
        job=row["job"],
        delivery=row["delivery"],
        detail=json.loads(row["detail"]),
    )
