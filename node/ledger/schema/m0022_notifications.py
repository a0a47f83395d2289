"""Schema 0022: a notification is about a study, a job or an alert, and its text is made when it is sent.

`alert` and `digest_of` have no reader yet, and nothing writes them: they are made with the others, so that what comes
to need them alters nothing. What was queued before keeps the text that it was queued with.
"""

from __future__ import annotations

from sqlite_utils import Database

from node.ledger.schema.m0017_ways import triggers


def migrate(database: Database) -> None:
    """Make the table again; every row keeps its number, its key and its text."""
    for statement in (*_STATEMENTS, *triggers("notifications")):
        database.execute(statement)


_STATEMENTS = (
    "ALTER TABLE notifications RENAME TO notifications_before",
    """
    CREATE TABLE notifications (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        study TEXT REFERENCES studies,
        job TEXT REFERENCES jobs,
        alert INTEGER REFERENCES alerts,
        rule TEXT,
        decision INTEGER REFERENCES decisions,
        digest_of INTEGER REFERENCES notifications,
        occasion TEXT NOT NULL,
        person TEXT NOT NULL,
        text TEXT,
        status TEXT NOT NULL,
        sent_by TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        not_before TEXT NOT NULL,
        error TEXT,
        enqueued_at TEXT NOT NULL,
        sent_at TEXT,
        CHECK ((study IS NOT NULL) + (job IS NOT NULL) + (alert IS NOT NULL) = 1)
    ) STRICT
    """,
    "INSERT INTO notifications (id, key, study, job, rule, occasion, person, text, status, sent_by, attempts,"
    " not_before, error, enqueued_at, sent_at)"
    " SELECT id, key, CASE WHEN job IS NULL THEN study_instance_uid END, job, rule, occasion, person, text, status,"
    " sent_by, attempts, not_before, error, enqueued_at, sent_at FROM notifications_before",
    "DROP TABLE notifications_before",
    "CREATE INDEX notifications_by_status ON notifications (status, not_before)",
    "CREATE INDEX notifications_by_study ON notifications (study) WHERE study IS NOT NULL",
    "CREATE INDEX notifications_by_job ON notifications (job) WHERE job IS NOT NULL",
    "CREATE INDEX notifications_by_alert ON notifications (alert) WHERE alert IS NOT NULL",
    "CREATE INDEX notifications_by_decision ON notifications (decision) WHERE decision IS NOT NULL",
    "CREATE INDEX notifications_by_digest ON notifications (digest_of) WHERE digest_of IS NOT NULL",
)
