"""Schema 0027: what retention has removed, and how far the history has been read.

Images of a study and files of a job are here, being removed, or gone (`studies.images`, `jobs.files`). Of images that
are gone there is a row in `purges`, with a line in `gone_series` for each series. Rejections outlive the note that they
came with: a rejected image that is sent again is still rejected.
"""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make tables, columns and indexes; the rejections keep their rows, the events the trigger's name."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE purges (
        id INTEGER PRIMARY KEY,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        revision INTEGER NOT NULL,
        kind TEXT NOT NULL,
        why TEXT NOT NULL,
        up_to TEXT NOT NULL,
        began_at TEXT NOT NULL,
        ended_at TEXT,
        instances INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "CREATE UNIQUE INDEX purges_open ON purges (study_instance_uid) WHERE ended_at IS NULL",
    "CREATE INDEX purges_by_study ON purges (study_instance_uid)",
    """
    CREATE TABLE gone_series (
        purge INTEGER NOT NULL REFERENCES purges,
        series_instance_uid TEXT NOT NULL,
        instances INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        digest TEXT NOT NULL,
        delivered TEXT NOT NULL,
        committed INTEGER NOT NULL,
        PRIMARY KEY (purge, series_instance_uid)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX studies_with_images ON studies (images, last_received_at) WHERE images<>'gone'",
    "ALTER TABLE jobs ADD COLUMN files TEXT NOT NULL DEFAULT 'here'",
    "CREATE INDEX jobs_with_files ON jobs (files, finished_at) WHERE files<>'gone'",
    "ALTER TABLE commitments ADD COLUMN keep_seconds INTEGER",
    "CREATE TABLE positions (name TEXT PRIMARY KEY, event INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE retention_runs (
        id INTEGER PRIMARY KEY,
        asked_by TEXT NOT NULL,
        began_at TEXT NOT NULL,
        ended_at TEXT,
        done TEXT NOT NULL DEFAULT '{}'
    ) STRICT
    """,
    "CREATE UNIQUE INDEX retention_runs_open ON retention_runs (ended_at IS NULL) WHERE ended_at IS NULL",
    "DROP TRIGGER events_are_kept",
    """
    CREATE TRIGGER events_are_kept BEFORE DELETE ON events
    WHEN OLD.id > coalesce((SELECT min(event) FROM positions), 0)
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END
    """,
    "ALTER TABLE rejections RENAME TO rejections_before",
    """
    CREATE TABLE rejections (
        sop_instance_uid TEXT NOT NULL,
        study_instance_uid TEXT NOT NULL,
        note TEXT NOT NULL,
        title TEXT NOT NULL,
        PRIMARY KEY (sop_instance_uid, note)
    ) STRICT
    """,
    "INSERT INTO rejections SELECT * FROM rejections_before",
    "DROP TABLE rejections_before",
)
