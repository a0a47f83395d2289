"""Runs of retention: one row each time that what is old enough goes, by the calendar or because a person asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one, to_json


@dataclass(frozen=True, slots=True)
class RetentionRun:
    """One row of `retention_runs`."""

    id: int
    asked_by: str
    """An actor; the node, where the calendar did."""
    began_at: datetime
    ended_at: datetime | None
    """None while it is under way: the next start goes on with it."""
    done: Mapping[str, Any]
    """What went, by class: how many studies, jobs, files or rows, and `bytes`; `stopped` where its time was over."""


LONGEST_PAUSE = timedelta(days=45)
"""Between two runs of the calendar, which come each night. A clock that is set to another year makes a longer one."""
PLACE = "data"
"""Of the alert."""


def begin(database: Database, at: datetime, asked_by: str = events.NODE) -> bool:
    """Begin one, unless one is under way; whether it began.

    The calendar's does not begin where the clock says that the last one was longer ago than a night in six weeks: by a
    clock that is wrong all would be old enough. A person who asks (`pacsnode retention`) says that the clock is right.
    """
    before = last(database)
    if asked_by == events.NODE and before is not None and at - before.began_at > LONGEST_PAUSE:
        days = (at - before.began_at).days
        alerts.raised(database, at, AlertKind.RETENTION_CLOCK, PLACE, days=days, last_run=to_text(before.began_at))
        return False
    sql = "INSERT OR IGNORE INTO retention_runs (asked_by, began_at) VALUES (?,?)"
    return bool(database.execute(sql, [asked_by, to_text(at)]).rowcount)


def end(database: Database, at: datetime, run: int, done: Mapping[str, Any]) -> None:
    """All that was old enough is gone, or its time is over."""
    database.execute("UPDATE retention_runs SET ended_at=?, done=? WHERE id=?", [to_text(at), to_json(done), run])
    events.record(database, at, EventKind.RETENTION_RAN, **done)


def under_way(database: Database) -> RetentionRun | None:
    """The one that has not ended."""
    return _run(one(database, "SELECT * FROM retention_runs WHERE ended_at IS NULL"))


def last(database: Database) -> RetentionRun | None:
    """The newest one."""
    return _run(one(database, "SELECT * FROM retention_runs ORDER BY id DESC LIMIT 1"))


def _run(row: dict[str, Any] | None) -> RetentionRun | None:
    if row is None:
        return None
    return RetentionRun(
        row["id"], row["asked_by"], from_text(row["began_at"]), moment(row["ended_at"]), json.loads(row["done"])
    )
