"""Schema 0010: how each set of objects was encoded, and reports that took the place of a refused one."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Objects say from which encoding they are; deliveries, what takes their place."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "CREATE TABLE encodings ("
    "job TEXT NOT NULL REFERENCES jobs, name TEXT NOT NULL, profile TEXT NOT NULL, supersedes TEXT NOT NULL,"
    " says_why INTEGER NOT NULL, PRIMARY KEY (job, name)) STRICT",
    "ALTER TABLE objects ADD COLUMN encoding TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE deliveries ADD COLUMN fallback TEXT",
    "ALTER TABLE deliveries ADD COLUMN successor INTEGER REFERENCES deliveries",
    "CREATE INDEX deliveries_refused ON deliveries (id) WHERE status='refused'",
    "CREATE INDEX results_by_class ON deliveries (destination, sop_class_uid, status) WHERE receipt IS NULL",
    "CREATE INDEX deliveries_by_successor ON deliveries (successor) WHERE successor IS NOT NULL",
)
