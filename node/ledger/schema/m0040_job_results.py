"""Schema 0040: which results of earlier steps a job works on, and what an object set says it was computed from."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table and the column; no job of an earlier release works on another's result."""
    database.execute(
        "CREATE TABLE job_results (job TEXT NOT NULL REFERENCES jobs, name TEXT NOT NULL,"
        " source TEXT NOT NULL REFERENCES jobs, digest TEXT NOT NULL, PRIMARY KEY (job, name)) STRICT"
    )
    database.execute("CREATE INDEX job_results_by_source ON job_results (source)")
    database.execute("ALTER TABLE encodings ADD COLUMN computed_from TEXT NOT NULL DEFAULT ''")
