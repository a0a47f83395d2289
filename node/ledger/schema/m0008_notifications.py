"""Schema 0008: notifications, one row a person and occasion."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table and what finds its rows."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE notifications (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        job TEXT REFERENCES jobs,
        rule TEXT NOT NULL,
        occasion TEXT NOT NULL,
        person TEXT NOT NULL,
        text TEXT NOT NULL,
        status TEXT NOT NULL,
        sent_by TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        not_before TEXT NOT NULL,
        error TEXT,
        enqueued_at TEXT NOT NULL,
        sent_at TEXT
    ) STRICT
    """,
    "CREATE INDEX notifications_by_status ON notifications (status, not_before)",
    "CREATE INDEX notifications_by_study ON notifications (study_instance_uid)",
)
