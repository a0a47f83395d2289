"""Schema 0019: when the store held images that the ledger did not know, and until they were indexed again."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table."""
    database.execute(_TABLE)


_TABLE = """
    CREATE TABLE reindexings (
        id INTEGER PRIMARY KEY,
        began_at TEXT NOT NULL,
        newest_known TEXT NOT NULL,
        up_to TEXT NOT NULL,
        ended_at TEXT
    ) STRICT
"""
