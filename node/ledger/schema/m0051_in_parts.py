"""Schema 0051: what is changed part by part and is under way; studies by arrival in the whole order of a search.

`exchanges`: studies of which corrected instances take the place of those that count. `hold_parts`: deliveries that are
to be held and are not yet. Of before, there are none.
"""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the tables and indexes."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE exchanges (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        study_instance_uid TEXT NOT NULL UNIQUE REFERENCES studies,
        receipts TEXT NOT NULL,
        instances INTEGER NOT NULL,
        by TEXT NOT NULL,
        releases TEXT
    ) STRICT
    """,
    """
    CREATE TABLE hold_parts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        reason TEXT NOT NULL,
        deliveries TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX hold_parts_by_study ON hold_parts (study_instance_uid)",
    "DROP INDEX studies_by_arrival",
    "CREATE INDEX studies_by_arrival ON studies (last_received_at, study_instance_uid, study_date)",
)
