"""Alerts: conditions that need a person, one row each while they last.

A transition that meets such a condition raises the alert in its own transaction. It closes when its condition has not
held for a while (`node.ledger.alert_conditions`), whoever mended it: `node.app.alerts` looks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError
from node.ledger import events
from node.ledger.alert_conditions import still_true
from node.ledger.alert_kinds import AlertKind, AlertSeverity
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one, query, to_json
from node.ledger.unreadable import readable


@dataclass(frozen=True, slots=True)
class Alert:
    """One row of `alerts`."""

    id: int
    kind: AlertKind
    place: str
    """What it is about: one place has one open alert of a kind."""
    severity: AlertSeverity
    study: str | None
    detail: Mapping[str, Any]
    """What was known when it was last met; names no patient."""
    opened_at: datetime
    last_at: datetime
    times: int
    """How often the condition was met."""
    closed_at: datetime | None
    closed_by: str | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    owner: str | None
    note: str | None
    begun_at: datetime | None
    """When it had lasted for as long as the site wants (`alerts.for`); None where it has not yet."""
    gone_since: datetime | None
    """Since when its condition does not hold; the alert closes when that has lasted."""
    told_at: datetime | None
    """When people were notified of its beginning."""
    last_told_at: datetime | None
    """When they were notified of it last."""
    end_told_at: datetime | None
    """When they were notified of its end, or it was clear that they never will be."""


def raised(
    database: Database,
    at: datetime,
    kind: AlertKind,
    place: str,
    *,
    study: str | None = None,
    job: str | None = None,
    delivery: int | None = None,
    event: EventKind | None = None,
    actor: str = events.NODE,
    **detail: Any,
) -> None:
    """The condition is met: open an alert, or count it where one is open; and record the event of the same name.

    `event`: the transition's own event, where it has another name.
    """
    what = event or EventKind(kind)
    events.record(database, at, what, study=study, job=job, delivery=delivery, actor=actor, **detail)
    met(database, at, kind, place, study=study, **detail)


def met(
    database: Database, at: datetime, kind: AlertKind, place: str, *, study: str | None = None, **detail: Any
) -> None:
    """The same without an event: where the transition has recorded its own, or there is nothing new to say."""
    database.execute(
        "INSERT INTO alerts (kind, place, severity, study, detail, opened_at, last_at, times) VALUES (?,?,?,?,?,?,?,1)"
        " ON CONFLICT (kind, place) WHERE closed_at IS NULL DO UPDATE SET last_at=excluded.last_at, times=times+1,"
        " gone_since=NULL, detail=excluded.detail, study=coalesce(excluded.study, study)",
        [kind, place, kind.severity, study, to_json(detail), to_text(at), to_text(at)],
    )


def over(database: Database) -> list[int]:
    """Ids of the open ones whose condition does not hold any more."""
    rows = query(database, "SELECT * FROM alerts WHERE closed_at IS NULL ORDER BY id")
    known = readable(database, "alerts", rows, lambda row: (int(row["id"]), _holds(database, row)))
    return [number for number, holds in known if not holds]


def begin(database: Database, at: datetime, number: int) -> None:
    """It has lasted for as long as the site wants: people may be notified of it."""
    database.execute("UPDATE alerts SET begun_at=? WHERE id=? AND begun_at IS NULL", [to_text(at), number])


def gone(database: Database, at: datetime, number: int) -> None:
    """Its condition does not hold, since now."""
    database.execute("UPDATE alerts SET gone_since=? WHERE id=? AND gone_since IS NULL", [to_text(at), number])


def back(database: Database, number: int) -> None:
    """Its condition holds again: it was not over."""
    database.execute("UPDATE alerts SET gone_since=NULL WHERE id=?", [number])


def close(database: Database, at: datetime, number: int) -> bool:
    """It is over, unless its condition holds again; whether it closed."""
    row = one(database, "SELECT * FROM alerts WHERE id=? AND closed_at IS NULL", [number])
    if row is None or _holds(database, row):
        return False
    database.execute("UPDATE alerts SET closed_at=?, closed_by=? WHERE id=?", [to_text(at), events.NODE, number])
    events.record(database, at, EventKind.ALERT_CLOSED, study=row["study"], alert=row["kind"], place=row["place"])
    return True


def _holds(database: Database, row: Mapping[str, Any]) -> bool:
    return still_true(database, AlertKind(row["kind"]), row["place"], detail=row["detail"], last=row["last_at"])


def get(database: Database, number: int) -> Alert:
    """The alert of this number; NotFoundError."""
    row = one(database, "SELECT * FROM alerts WHERE id=?", [number])
    if row is None:
        raise NotFoundError(f"there is no alert {number}")
    return of_row(row)


def every(database: Database, *, closed: bool) -> list[Alert]:
    """All open alerts, critical ones first, then the oldest; or all that are closed, the one that closed last first."""
    where = "IS NOT NULL ORDER BY closed_at DESC, id DESC" if closed else "IS NULL ORDER BY severity, opened_at, id"
    return readable(database, "alerts", query(database, f"SELECT * FROM alerts WHERE closed_at {where}"), of_row)  # noqa: S608 - our own text


def is_open(database: Database, kind: AlertKind, place: str) -> bool:
    """Whether one of this kind is open at this place."""
    sql = "SELECT 1 FROM alerts WHERE kind=? AND place=? AND closed_at IS NULL"
    return one(database, sql, [kind, place]) is not None


def open_ones(database: Database, limit: int) -> list[Alert]:
    """Open alerts whose condition holds, those of which people have to know first at the top.

    Critical ones, then the one that was met last; but one of each kind before the second of any, so that many of one
    kind push out no other.
    """
    rows = query(
        database,
        "SELECT id, kind, severity FROM alerts WHERE closed_at IS NULL AND gone_since IS NULL"
        " ORDER BY last_at DESC, id DESC",
    )
    first = {row["kind"]: row["id"] for row in reversed(rows)}
    rows.sort(key=lambda row: (first[row["kind"]] != row["id"], row["severity"]))
    shown = [one(database, "SELECT * FROM alerts WHERE id=?", [row["id"]]) for row in rows[:limit]]
    return readable(database, "alerts", [row for row in shown if row is not None], of_row)


def count_open(database: Database) -> dict[AlertSeverity, int]:
    """How many are open whose condition holds, and that nobody has acknowledged, by severity."""
    sql = (
        "SELECT severity, count(*) AS n FROM alerts WHERE closed_at IS NULL AND gone_since IS NULL"
        " AND acknowledged_at IS NULL GROUP BY severity"
    )
    return {AlertSeverity(row["severity"]): row["n"] for row in query(database, sql)}


def of_study(database: Database, study: str) -> list[Alert]:
    """Open alerts about a study, the oldest first."""
    sql = "SELECT * FROM alerts WHERE study=? AND closed_at IS NULL AND gone_since IS NULL ORDER BY id"
    return readable(database, "alerts", query(database, sql, [study]), of_row)


_MOMENTS = (
    "closed_at",
    "acknowledged_at",
    "begun_at",
    "gone_since",
    "told_at",
    "last_told_at",
    "end_told_at",
)
"""Columns that may be empty."""


def of_row(row: Mapping[str, Any]) -> Alert:
    """What a row of `alerts` says; further columns are left out."""
    return Alert(
        **{
            **{name: row[name] for name in Alert.__slots__},
            "kind": AlertKind(row["kind"]),
            "severity": AlertSeverity(row["severity"]),
            "detail": json.loads(row["detail"]),
            "opened_at": from_text(row["opened_at"]),
            "last_at": from_text(row["last_at"]),
            **{name: moment(row[name]) for name in _MOMENTS},
        }
    )
