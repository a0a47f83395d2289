"""Schema 0018: callers whose associations were refused, counted by the hour."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table."""
    database.execute(_TABLE)


_TABLE = """
    CREATE TABLE refused_callers (
        hour TEXT NOT NULL,
        calling_ae_title TEXT NOT NULL,
        called_ae_title TEXT NOT NULL,
        address TEXT NOT NULL,
        reason TEXT NOT NULL,
        times INTEGER NOT NULL,
        last_at TEXT NOT NULL,
        PRIMARY KEY (hour, calling_ae_title, called_ae_title, address, reason)
    ) STRICT
"""
