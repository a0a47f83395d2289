"""Schema 0007: earlier studies that rules want fetched from an archive."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table and what finds its rows."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE fetches (
        id INTEGER PRIMARY KEY,
        decision INTEGER NOT NULL UNIQUE REFERENCES decisions,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        rule TEXT NOT NULL,
        source TEXT NOT NULL,
        wanted TEXT NOT NULL,
        status TEXT NOT NULL,
        prior_study TEXT,
        attempts INTEGER NOT NULL,
        not_before TEXT NOT NULL,
        deadline TEXT NOT NULL,
        error TEXT,
        asked_at TEXT NOT NULL,
        requested_at TEXT,
        expected INTEGER,
        ended_at TEXT,
        followed_up INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "CREATE INDEX fetches_by_status ON fetches (status, not_before)",
    "CREATE INDEX fetches_by_study ON fetches (study_instance_uid)",
    "CREATE INDEX fetches_by_prior ON fetches (prior_study) WHERE prior_study IS NOT NULL",
)
