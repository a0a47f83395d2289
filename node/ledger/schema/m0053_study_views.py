"""Schema 0053: who has just looked at which study, so that ten minutes of reading are one line of history."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table; who looked before is not known."""
    database.execute(_TABLE)


_TABLE = """
CREATE TABLE study_views (
    study_instance_uid TEXT NOT NULL,
    actor TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (study_instance_uid, actor)
) STRICT, WITHOUT ROWID
"""
