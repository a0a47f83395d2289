"""Between rows and values: the conversions that all aggregates share, and what is done alike to rows with a status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from node.clock import from_text
from node.errors import NotFoundError, PermanentError
from node.ledger import tallies
from node.ledger.connection import Database

Row = TypeVar("Row")
Status = TypeVar("Status", bound=StrEnum)


def query(database: Database, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
    """Rows as dictionaries, all of them."""
    return database.query(sql, parameters)


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


@dataclass(frozen=True)
class Table(Generic[Row, Status]):
    """Rows with an `id` and a `status`."""

    name: str
    called: str
    """What one row is, in messages: "job"."""
    statuses: type[Status]
    from_row: Callable[[dict[str, Any]], Row]
    columns: str = "*"
    """What `from_row` needs of a row."""

    def get(self, database: Database, key: str | int) -> Row:
        """The row of this id; NotFoundError where there is none."""
        return self.from_row(self._get(database, key))

    def transition(self, database: Database, key: str | int, allowed: Sequence[Status], to: Status) -> Row:
        """Bring it there; the row as it was. The event is the caller's.

        Raises PermanentError where it is in none of the `allowed`, NotFoundError where there is none.
        """
        row = self._get(database, key)
        if row["status"] not in allowed:
            raise PermanentError(f"{self.called} {key} is {row['status']}: it cannot become {to}")
        database.execute(f"UPDATE {self.name} SET status=? WHERE id=?", [to, key])  # noqa: S608 - our own name
        return self.from_row(row)

    def counts(self, database: Database) -> dict[Status, int]:
        """How many rows are in which status; those that no row is in are left out."""
        return {self.statuses(status): n for status, n in tallies.of(database, self.name).items()}

    def _get(self, database: Database, key: str | int) -> dict[str, Any]:
        row = one(database, f"SELECT {self.columns} FROM {self.name} WHERE id=?", [key])  # noqa: S608 - our own name
        if row is None:
            raise NotFoundError(f"there is no {self.called} {key}")
        return row
