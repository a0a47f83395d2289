"""Schema 0024: what a plugin learns of who the patient is, as the rule says and as it was at each attempt."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Attempts of before got the images as received; jobs that wait leave it to their plugin."""
    database.execute("ALTER TABLE jobs ADD COLUMN identity TEXT")
    database.execute("ALTER TABLE attempts ADD COLUMN identity TEXT")
    database.execute("UPDATE attempts SET identity='full' WHERE kind IS NOT NULL")
