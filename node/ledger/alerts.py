"""Alerts: conditions that need a person, one row each while they last.

A transition that meets such a condition raises the alert in its own transaction. It closes when its condition does not
hold any more (`node.ledger.alert_conditions`), whoever mended it: `node.app.alerts` looks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
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
        " detail=excluded.detail, study=coalesce(excluded.study, study)",
        [kind, place, kind.severity, study, to_json(detail), to_text(at), to_text(at)],
    )


def over(database: Database) -> list[int]:
    """Ids of the open ones whose condition does not hold any more."""
    rows = query(database, "SELECT * FROM alerts WHERE closed_at IS NULL ORDER BY id")
    known = readable(database, "alerts", rows, lambda row: (int(row["id"]), _holds(database, row)))
    return [number for number, holds in known if not holds]


def close(database: Database, at: datetime, number: int) -> None:
    """It is over, unless its condition holds again."""
    row = one(database, "SELECT * FROM alerts WHERE id=? AND closed_at IS NULL", [number])
    if row is None or _holds(database, row):
        return
    database.execute("UPDATE alerts SET closed_at=?, closed_by=? WHERE id=?", [to_text(at), events.NODE, number])
    events.record(database, at, EventKind.ALERT_CLOSED, study=row["study"], alert=row["kind"], place=row["place"])


def _holds(database: Database, row: Mapping[str, Any]) -> bool:
    return still_true(database, AlertKind(row["kind"]), row["place"], detail=row["detail"], last=row["last_at"])


def open_ones(database: Database, limit: int) -> list[Alert]:
    """Open alerts, the one that was met last first."""
    sql = "SELECT * FROM alerts WHERE closed_at IS NULL ORDER BY last_at DESC, id DESC LIMIT ?"
    return readable(database, "alerts", query(database, sql, [limit]), _alert)


def of_study(database: Database, study: str) -> list[Alert]:
    """Open alerts about a study, the oldest first."""
    sql = "SELECT * FROM alerts WHERE study=? AND closed_at IS NULL ORDER BY id"
    return readable(database, "alerts", query(database, sql, [study]), _alert)


def _alert(row: dict[str, Any]) -> Alert:
    return Alert(
        **{
            **row,
            "kind": AlertKind(row["kind"]),
            "severity": AlertSeverity(row["severity"]),
            "detail": json.loads(row["detail"]),
            "opened_at": from_text(row["opened_at"]),
            "last_at": from_text(row["last_at"]),
            "closed_at": moment(row["closed_at"]),
            "acknowledged_at": moment(row["acknowledged_at"]),
        }
    )
