"""Schema 0038: what vendors' boxes were sent, and what they sent back."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the tables; nothing that was there is about a box."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE box_attempts (
        attempt TEXT PRIMARY KEY REFERENCES attempts,
        box TEXT NOT NULL,
        calling_ae_title TEXT NOT NULL,
        sent_patient_id TEXT NOT NULL,
        series_before TEXT,
        sent_at TEXT,
        tries INTEGER NOT NULL DEFAULT 0,
        error TEXT
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX box_attempts_by_box ON box_attempts (box, sent_at)",
    """
    CREATE TABLE box_instances (
        attempt TEXT NOT NULL REFERENCES attempts,
        number INTEGER NOT NULL,
        sop_instance_uid TEXT NOT NULL,
        status TEXT NOT NULL,
        answer TEXT,
        PRIMARY KEY (attempt, number)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX box_instances_by_uid ON box_instances (sop_instance_uid)",
    """
    CREATE TABLE box_answers (
        receipt TEXT PRIMARY KEY,
        box TEXT NOT NULL,
        sop_instance_uid TEXT NOT NULL,
        sop_class_uid TEXT NOT NULL,
        study_instance_uid TEXT NOT NULL,
        called_ae_title TEXT NOT NULL,
        association TEXT NOT NULL,
        received_at TEXT NOT NULL,
        status TEXT NOT NULL,
        attempt TEXT REFERENCES attempts,
        why TEXT,
        by TEXT
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX box_answers_by_status ON box_answers (status, box, study_instance_uid)",
    "CREATE INDEX box_answers_by_attempt ON box_answers (attempt)",
    "CREATE INDEX box_answers_by_uid ON box_answers (sop_instance_uid)",
    """
    CREATE TABLE box_series (
        series_instance_uid TEXT NOT NULL,
        attempt TEXT NOT NULL REFERENCES attempts,
        box TEXT NOT NULL,
        source TEXT NOT NULL,
        PRIMARY KEY (series_instance_uid, attempt)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX box_series_by_attempt ON box_series (attempt)",
    """
    CREATE TABLE box_contacts (
        box TEXT PRIMARY KEY,
        asked_at TEXT NOT NULL,
        answered_at TEXT,
        down_since TEXT,
        error TEXT
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX attempts_open_elsewhere ON attempts (place) WHERE ended_at IS NULL AND place<>'local'",
)
