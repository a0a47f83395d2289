"""Schema 0046: images that are to be listed for withdrawal and are not yet. Of before, there are none."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table and its index."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE withdrawal_parts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        reason TEXT NOT NULL,
        listed_at TEXT NOT NULL,
        deliveries TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX withdrawal_parts_by_study ON withdrawal_parts (study_instance_uid)",
)
