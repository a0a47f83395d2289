"""Rows that cannot be read into a value: edited by hand, or written by a program that is not this one.

Whoever lists rows leaves such a one out and notes it, so that it costs no other. The note becomes an alert
(`node.app.alerts`), which is open until the row is changed or removed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from node.ledger.connection import Connection, Database
from node.ledger.row_notes import RowNote
from node.ledger.rows import moment, one

Row = TypeVar("Row")

_KEYS = {
    "studies": ("study_instance_uid",),
    "instances": ("receipt",),
    "looks": ("study_instance_uid", "revision", "look"),
    "timers": ("study_instance_uid", "kind", "rule"),
}
"""Columns that identify a row, the one that may have blanks last; `id` where a table is not named here."""
_REASONS = (ValueError, TypeError, KeyError, IndexError, AttributeError)


def readable(
    database: Database, table: str, rows: Iterable[dict[str, Any]], from_row: Callable[[dict[str, Any]], Row]
) -> list[Row]:
    """The rows that can be read, in their order; the others are noted."""
    found = []
    for row in rows:
        try:
            found.append(from_row(row))
        except _REASONS:  # its text may hold what is in the row
            _note(database, table, row)
    return found


def soonest(text: str | None) -> datetime | None:
    """The moment in a column, None where it is empty or cannot be read."""
    try:
        return moment(text)
    except ValueError:
        return None


def digest(database: Database, place: str) -> str | None:
    """Of the row at this place, as it is now; None where there is none."""
    table, _, key = place.partition(" ")
    if one(database, "SELECT 1 FROM sqlite_schema WHERE type='table' AND name=?", [table]) is None:
        return None
    columns = _KEYS.get(table, ("id",))
    where = " AND ".join(f"{column}=?" for column in columns)
    row = one(database, f"SELECT * FROM {table} WHERE {where}", key.split(" ", len(columns) - 1))  # noqa: S608 - a table of ours
    return None if row is None else hashlib.sha256(json.dumps(row, default=repr).encode()).hexdigest()


def _note(database: Database, table: str, row: Mapping[str, Any]) -> None:
    place = " ".join([table, *(str(row[column]) for column in _KEYS.get(table, ("id",)))])
    assert isinstance(database.conn, Connection), "the ledger opens no others"
    note = RowNote(place, row.get("study_instance_uid"), digest(database, place) or "")
    database.conn.row_notes.add(note)
