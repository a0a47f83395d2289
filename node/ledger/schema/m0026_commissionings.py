"""Schema 0026: what came of the commissioning examples of plugins, for each digest of what runs."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table."""
    database.execute(_TABLE)
    database.execute("CREATE INDEX commissionings_by_plugin ON commissionings (plugin, digest)")


_TABLE = """
    CREATE TABLE commissionings (
        id INTEGER PRIMARY KEY,
        plugin TEXT NOT NULL,
        digest TEXT NOT NULL,
        passed INTEGER NOT NULL,
        detail TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT
"""
