"""Schema 0044: what a box may have from before a restore and what a person says of it; looks at what boxes answered."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table and the column; nobody was asked before."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "ALTER TABLE looks ADD COLUMN answer TEXT REFERENCES jobs",
    "CREATE INDEX looks_by_answer ON looks (answer) WHERE answer IS NOT NULL",
    """
    CREATE TABLE box_doubts (
        job TEXT PRIMARY KEY REFERENCES jobs,
        box TEXT NOT NULL,
        study_instance_uid TEXT NOT NULL,
        asked_at TEXT NOT NULL,
        answer TEXT,
        answered_by TEXT
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX box_doubts_open ON box_doubts (study_instance_uid, box) WHERE answer IS NULL",
)
