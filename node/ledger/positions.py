"""How far each reader of the history has read, and the events that may go: those that all of them have behind them.

    positions.moved(database, "audit", event)      # in the transaction in which it has dealt with the event

The trigger of `events` refuses to let go of anything above the lowest position. Retention is one of the readers: its
position is the last event that is old enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from node.clock import to_text
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.rows import one, query

RETENTION = "retention"
_SLICE = 500


def moved(database: Database, name: str, event: int) -> None:
    """This reader has dealt with all events up to this one; it never goes back."""
    database.execute(
        "INSERT INTO positions VALUES (?,?) ON CONFLICT (name) DO UPDATE SET event=max(event, excluded.event)",
        [name, event],
    )


def of(database: Database, name: str) -> int:
    """The last event that this reader has dealt with; 0 before the first."""
    row = one(database, "SELECT event FROM positions WHERE name=?", [name])
    return int(row["event"]) if row else 0


def let_go(ledger: Ledger, before: datetime, now: datetime) -> Iterator[int]:
    """Remove the events of before `before` that every reader has behind it, a slice at a time; yields how many.

    Those of a study that is held or pinned stay.
    """
    with ledger.reading() as database:
        last = _last_old(database, before)
    if not last:
        return
    with ledger.transaction() as database:
        moved(database, RETENTION, last)
        lowest = one(database, "SELECT min(event) AS event FROM positions")
    assert lowest is not None, "a minimum is one row"
    after = 0
    while True:
        with ledger.reading() as database:
            keys = _may_go(database, after, lowest["event"], now)
        if not keys:
            return
        with ledger.transaction() as database:
            database.conn.executemany("DELETE FROM events WHERE id=?", [(key,) for key in keys])
        after = keys[-1]
        yield len(keys)


def old(database: Database, before: datetime) -> int:
    """About how many events are older than that."""
    first = one(database, "SELECT min(id) AS id FROM events")
    return max(0, _last_old(database, before) - int(first["id"]) + 1) if first and first["id"] else 0


def _last_old(database: Database, before: datetime) -> int:
    """The event before the first young one; the newest one where all are old; 0 where none is."""
    first = one(database, "SELECT id FROM events WHERE at>=? ORDER BY id LIMIT 1", [to_text(before)])
    if first is not None:
        return int(first["id"]) - 1
    newest = one(database, "SELECT max(id) AS id FROM events")
    return int(newest["id"] or 0) - 1 if newest else 0


def _may_go(database: Database, after: int, up_to: int, now: datetime) -> list[int]:
    rows = query(
        database,
        "SELECT id FROM events WHERE id>:after AND id<=:up_to AND NOT EXISTS (SELECT 1 FROM studies"  # noqa: S608 - our own text
        " WHERE studies.study_instance_uid=events.study_instance_uid AND hold IS NOT NULL)"
        " AND NOT EXISTS (SELECT 1 FROM pins WHERE pins.study_instance_uid=events.study_instance_uid"
        f" AND (until IS NULL OR until>:now)) ORDER BY id LIMIT {_SLICE}",
        {"after": after, "up_to": up_to, "now": to_text(now)},
    )
    return [row["id"] for row in rows]
