"""Schema 0013: items of stages whose handling raised an unexpected exception."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table and what finds its rows."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE defects (
        id INTEGER PRIMARY KEY,
        stage TEXT NOT NULL,
        item TEXT NOT NULL,
        study_instance_uid TEXT,
        job TEXT,
        delivery INTEGER,
        times INTEGER NOT NULL,
        first_at TEXT NOT NULL,
        last_at TEXT NOT NULL,
        not_before TEXT,
        error TEXT NOT NULL,
        parked INTEGER NOT NULL,
        UNIQUE (stage, item)
    ) STRICT
    """,
    "CREATE INDEX defects_by_item ON defects (item)",
    "CREATE INDEX defects_by_study ON defects (study_instance_uid)",
)
