"""When rows are tried again: due times that a wrong clock moves nowhere, and ages that it does not change (case 57).

A row says until when it waits (`not_before`) and when that was written (`put_off_at`). Written by a clock that was
ahead, both are in the future once the clock is right: then the row waits for as long as was meant, and no longer. The
age of a row (`waited`) is the sum of its pauses, never a difference of two times of the wall clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from node.clock import to_text
from node.ledger.connection import Database
from node.ledger.rows import query
from node.ledger.unreadable import soonest

NEXT = "not_before=?, put_off_at=?"
"""What a row says that is due at a time; its values are those of `at_next`."""
PUT_OFF = f"{NEXT}, waited=waited+?"
"""What a row says that was tried and is to be tried later; its values are those of `until`."""
MANY = 250
"""Rows that are changed in one transaction."""
_WAITING = {
    "deliveries": "status='waiting'",
    "jobs": "status='queued'",
    "notifications": "status='waiting'",
    "commitments": "status IN ('decided', 'at_archive')",
    "commit_batches": "ended_at IS NULL",
}


def at_next(at: datetime, not_before: datetime) -> tuple[str, str]:
    """The values of `NEXT`, said at `at`."""
    return to_text(not_before), to_text(at)


def until(at: datetime, not_before: datetime) -> tuple[str, str, float]:
    """The values of `PUT_OFF`: a pause from `at` to `not_before`."""
    return *at_next(at, not_before), max(0.0, (not_before - at).total_seconds())


def tried_for(waited: timedelta, not_before: datetime, put_off_at: datetime | None, now: datetime) -> timedelta:
    """`waited`, without what is still to come of the last pause; a clock that was set changes nothing of it."""
    if put_off_at is None:
        return waited
    pause = max(timedelta(), not_before - put_off_at)
    return max(timedelta(), waited - min(pause, max(timedelta(), not_before - now)))


def bound(
    database: Database, table: str, at: datetime, destination: str | None = None, *, after: int = 0
) -> tuple[int, int | None]:
    """Move some of what was put off in the future: how many that were, and behind which row the next ones are, if any.

    The time of each comes as long after `at` as it was to come after it was put off.
    """
    ahead = to_text(at)
    which, there = (" AND destination=?", [destination]) if destination else ("", [])
    rows = query(
        database,
        f"SELECT rowid AS place, not_before, put_off_at FROM {table} WHERE {_WAITING[table]}{which}"  # noqa: S608 - texts of ours
        f" AND not_before>? AND put_off_at>? AND rowid>? ORDER BY rowid LIMIT {MANY}",
        [*there, ahead, ahead, after],
    )
    times = [(row["place"], soonest(row["not_before"]), soonest(row["put_off_at"])) for row in rows]
    moved = [(*at_next(at, at + (due - begun)), number) for number, due, begun in times if due and begun]
    database.conn.executemany(f"UPDATE {table} SET {NEXT} WHERE rowid=?", moved)  # noqa: S608 - texts of ours
    return len(moved), rows[-1]["place"] if len(rows) == MANY else None
