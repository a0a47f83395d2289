"""Schema 0031: notifications that are acknowledged or escalate, alerts that people are notified of, and conditions
outside of the ledger that alerts are about.
"""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Add the columns and the table."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "ALTER TABLE notifications ADD COLUMN detail TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE notifications ADD COLUMN escalation TEXT",
    "ALTER TABLE notifications ADD COLUMN escalate_at TEXT",
    "ALTER TABLE notifications ADD COLUMN escalate_set_at TEXT",
    "ALTER TABLE notifications ADD COLUMN escalated_from INTEGER REFERENCES notifications",
    "ALTER TABLE notifications ADD COLUMN acknowledged_by TEXT",
    "ALTER TABLE notifications ADD COLUMN acknowledged_at TEXT",
    "CREATE INDEX notifications_to_escalate ON notifications (escalate_at) WHERE escalate_at IS NOT NULL",
    "CREATE INDEX notifications_by_escalation ON notifications (escalated_from) WHERE escalated_from IS NOT NULL",
    "ALTER TABLE alerts ADD COLUMN begun_at TEXT",
    "ALTER TABLE alerts ADD COLUMN gone_since TEXT",
    "ALTER TABLE alerts ADD COLUMN told_at TEXT",
    "ALTER TABLE alerts ADD COLUMN last_told_at TEXT",
    "ALTER TABLE alerts ADD COLUMN end_told_at TEXT",
    "CREATE INDEX alerts_missed ON alerts (id)"
    " WHERE begun_at IS NOT NULL AND told_at IS NULL AND end_told_at IS NULL AND closed_at IS NOT NULL",
    "CREATE INDEX alerts_to_end ON alerts (id) WHERE told_at IS NOT NULL AND end_told_at IS NULL",
    "CREATE INDEX jobs_by_plugin ON jobs (plugin, finished_at)",
    """
    CREATE TABLE conditions (
        kind TEXT NOT NULL,
        place TEXT NOT NULL,
        since TEXT NOT NULL,
        PRIMARY KEY (kind, place)
    ) STRICT, WITHOUT ROWID
    """,
)
