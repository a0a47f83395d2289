"""Schema 0042: windows of jobs that stop rules watch. Jobs of before are in none: nobody had asked for it."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table, and the mark of jobs that are still to be counted."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "ALTER TABLE jobs ADD COLUMN watched INTEGER NOT NULL DEFAULT 0",
    "UPDATE jobs SET watched=1 WHERE outcome IS NOT NULL",
    "CREATE INDEX jobs_to_watch ON jobs (finished_at) WHERE watched=0 AND outcome IS NOT NULL",
    """
    CREATE TABLE stop_windows (
        id INTEGER PRIMARY KEY,
        stop_rule TEXT NOT NULL,
        terms TEXT NOT NULL,
        plugin TEXT NOT NULL,
        rule TEXT NOT NULL,
        scanner TEXT NOT NULL,
        digest TEXT NOT NULL,
        jobs INTEGER NOT NULL,
        hits INTEGER NOT NULL,
        begun_at TEXT NOT NULL,
        ended_at TEXT,
        verdict TEXT,
        first_job TEXT NOT NULL,
        last_job TEXT NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX stop_windows_open ON stop_windows (stop_rule, rule, scanner) WHERE ended_at IS NULL",
    "CREATE INDEX stop_windows_of_place ON stop_windows (stop_rule, rule, scanner, id)",
)
