"""Schema 0036: the DICOM objects that plugins returned, by their own UIDs, so that copies of them are known again."""

from __future__ import annotations

from sqlite_utils import Database

_STATEMENTS = (
    """
    CREATE TABLE returned_objects (
        job TEXT NOT NULL REFERENCES jobs,
        number INTEGER NOT NULL,
        sop_instance_uid TEXT NOT NULL,
        sop_class_uid TEXT NOT NULL,
        series_instance_uid TEXT NOT NULL,
        modality TEXT NOT NULL,
        maker TEXT NOT NULL,
        marked INTEGER NOT NULL,
        of_image INTEGER NOT NULL,
        PRIMARY KEY (job, number)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX returned_objects_by_instance ON returned_objects (sop_instance_uid)",
)


def migrate(database: Database) -> None:
    """Make the table; what plugins returned before is in no ledger."""
    for statement in _STATEMENTS:
        database.execute(statement)
