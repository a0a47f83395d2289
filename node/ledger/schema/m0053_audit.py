"""Schema 0053: who has just looked at which study, so that ten minutes of reading are one line of history; and what is
known of the files of the audit trail.
"""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the tables; who looked before is not known."""
    for statement in _TABLES:
        database.execute(statement)


_TABLES = (
    """
    CREATE TABLE study_views (
        study_instance_uid TEXT NOT NULL,
        actor TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (study_instance_uid, actor)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE audit_marks (
        name TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        digest TEXT NOT NULL,
        trouble TEXT,
        since TEXT
    ) STRICT, WITHOUT ROWID
    """,
)
