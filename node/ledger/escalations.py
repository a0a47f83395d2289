"""Notifications that somebody has to acknowledge, and who is notified where nobody does.

The time counts from when the person's channels took the message; where none takes it, from when it was to be sent.
A clock that was ahead moves it nowhere (case 57): the row says when the time was set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from node.clock import from_text, to_text
from node.ledger.connection import Database
from node.ledger.rows import one, query, to_json

_DUE = (
    " FROM notifications LEFT JOIN jobs ON jobs.id=notifications.job"
    " LEFT JOIN studies ON studies.study_instance_uid=coalesce(notifications.study, jobs.study_instance_uid)"
    " WHERE escalate_at IS NOT NULL AND studies.hold IS NULL"
    " AND (notifications.status='sent' OR notifications.attempts>0 OR sent_by<>'[]')"
)
"""One that was never tried, because its study is held, has nobody to be late."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """Whom to notify next, one after the other."""

    within: timedelta
    """How long each has to acknowledge."""
    then: tuple[str, ...]
    """People of the configuration; the first of them is the next."""


def first(at: datetime, due_at: datetime, escalation: Escalation | None) -> dict[str, Any]:
    """The columns of a row that is enqueued at `at`, to be sent at `due_at`."""
    if escalation is None:
        return {}
    kept = {"within": escalation.within.total_seconds(), "then": list(escalation.then)}
    until = due_at + escalation.within
    return {"escalation": to_json(kept), "escalate_at": to_text(until), "escalate_set_at": to_text(at)}


def from_kept(kept: str | None) -> Escalation | None:
    """The inverse, of the column alone."""
    if kept is None:
        return None
    plain = json.loads(kept)
    return Escalation(timedelta(seconds=plain["within"]), tuple(plain["then"]))


def begin(database: Database, at: datetime, number: int, within: timedelta) -> None:
    """The person has it now: the time counts from here, unless it is over already."""
    database.execute(
        "UPDATE notifications SET escalate_at=?, escalate_set_at=? WHERE id=? AND escalate_at IS NOT NULL",
        [to_text(at + within), to_text(at), number],
    )


def stop(database: Database, number: int) -> None:
    """It has no ground any more: nobody else is notified."""
    database.execute("UPDATE notifications SET escalate_at=NULL WHERE id=?", [number])


def due(database: Database, at: datetime) -> list[int]:
    """Numbers of those that nobody has acknowledged in time; none of a held study."""
    sql = f"SELECT notifications.id AS id{_DUE} AND escalate_at<=? ORDER BY escalate_at"
    return [int(row["id"]) for row in query(database, sql, [to_text(at)])]


def next_due_at(database: Database) -> datetime | None:
    """When the time of the next one is over."""
    row = one(database, f"SELECT min(escalate_at) AS t{_DUE}")
    return from_text(row["t"]) if row and row["t"] else None


def bound(database: Database, at: datetime) -> int:
    """Times that were set by a clock that was ahead: each is over as long after `at` as was meant; how many."""
    sql = "SELECT id, escalate_at, escalate_set_at FROM notifications WHERE escalate_at>? AND escalate_set_at>?"
    rows = query(database, sql, [to_text(at), to_text(at)])
    for row in rows:
        meant = from_text(row["escalate_at"]) - from_text(row["escalate_set_at"])
        database.execute(
            "UPDATE notifications SET escalate_at=?, escalate_set_at=? WHERE id=?",
            [to_text(at + meant), to_text(at), row["id"]],
        )
    return len(rows)
