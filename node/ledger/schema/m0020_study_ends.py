"""Schema 0020: studies of which a person said that nothing more comes."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table."""
    database.execute(_TABLE)


_TABLE = """
    CREATE TABLE study_ends (
        study_instance_uid TEXT PRIMARY KEY REFERENCES studies,
        by TEXT NOT NULL,
        asked_at TEXT NOT NULL
    ) STRICT
"""
