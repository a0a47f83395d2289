"""Schema 0006: deliveries of received images, forwarded by a rule."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """A delivery may be of a received image."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "ALTER TABLE deliveries ADD COLUMN receipt TEXT REFERENCES instances",
    "ALTER TABLE deliveries ADD COLUMN decision INTEGER REFERENCES decisions",
    "ALTER TABLE deliveries ADD COLUMN coerce TEXT",
    "CREATE INDEX deliveries_of_images ON deliveries (destination, study_instance_uid, status)"
    " WHERE receipt IS NOT NULL",
)
