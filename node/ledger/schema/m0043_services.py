"""Schema 0043: what web services were asked."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the tables; nothing that was there is about a web service."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE service_attempts (
        attempt TEXT PRIMARY KEY REFERENCES attempts,
        service TEXT NOT NULL,
        key TEXT NOT NULL,
        location TEXT,
        sent_at TEXT,
        tries INTEGER NOT NULL DEFAULT 0,
        error TEXT
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX service_attempts_by_service ON service_attempts (service, sent_at)",
    """
    CREATE TABLE service_contacts (
        service TEXT PRIMARY KEY,
        asked_at TEXT NOT NULL,
        answered_at TEXT,
        down_since TEXT,
        error TEXT
    ) STRICT, WITHOUT ROWID
    """,
)
