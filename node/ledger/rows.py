"""Between rows and values: the few conversions that all aggregates share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from node.clock import from_text


def query(database: Database, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
    """Rows as dictionaries, all of them: no cursor outlives its transaction."""
    return list(database.query(sql, parameters))  # type: ignore[arg-type]  # its stubs miss Sequence, sqlite3 takes it


def one(database: Database, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> dict[str, Any] | None:
    """The first row, or None."""
    rows = query(database, sql, parameters)
    return rows[0] if rows else None


def moment(text: str | None) -> datetime | None:
    """A column that may be empty, as an aware datetime."""
    return from_text(text) if text is not None else None


def to_json(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, so that equal values are equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def placeholders(values: Iterable[Any]) -> str:
    """`?,?,?` for an IN clause."""
    return ",".join("?" for _ in values)
