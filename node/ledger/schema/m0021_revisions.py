"""Schema 0021: of which revision a set of objects is, and what it replaces."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Sets of before have none: their series are called as ever when one of their reports is re-encoded."""
    database.execute("ALTER TABLE encodings ADD COLUMN revision TEXT NOT NULL DEFAULT ''")
