"""Schema 0030: destinations that are not reached, images to be enqueued, and indexes for 100,000 that wait.

`identities.waited` is the sum of the pauses between questions, as deliveries have it.
"""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the table, the columns and the indexes; what waits gets the times that its job's terms say."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    """
    CREATE TABLE outages (
        destination TEXT NOT NULL,
        scope TEXT NOT NULL,
        since TEXT NOT NULL,
        why TEXT NOT NULL,
        tries INTEGER NOT NULL,
        waited REAL NOT NULL,
        not_before TEXT NOT NULL,
        put_off_at TEXT NOT NULL,
        stores_nothing INTEGER NOT NULL,
        PRIMARY KEY (destination, scope)
    ) STRICT
    """,
    """
    CREATE TABLE forward_parts (
        id INTEGER PRIMARY KEY,
        study_instance_uid TEXT NOT NULL REFERENCES studies,
        destination TEXT NOT NULL,
        terms TEXT NOT NULL,
        receipts TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX forward_parts_by_study ON forward_parts (study_instance_uid, destination)",
    "ALTER TABLE identities ADD COLUMN waited REAL NOT NULL DEFAULT 0",
    "UPDATE identities SET waited=max(0, coalesce((julianday(checked_at)-julianday(waiting_since))*86400, 0))"
    " WHERE status='absent'",
    "ALTER TABLE deliveries ADD COLUMN expires_at TEXT",
    "UPDATE deliveries SET expires_at=(SELECT json_extract(terms, '$.expires_at') FROM jobs WHERE id=deliveries.job)"
    " WHERE kind<>'image' AND status IN ('waiting', 'sending', 'held', 'refused', 'dead', 'withheld', 'cancelled')",
    "CREATE INDEX deliveries_expiring ON deliveries (destination, expires_at)"
    " WHERE status='waiting' AND expires_at IS NOT NULL",
    "CREATE INDEX deliveries_set_aside ON deliveries (destination, not_before)"
    " WHERE status='waiting' AND (unanswered>0 OR attempts>1)",
    "CREATE INDEX images_in_vain ON deliveries (destination, study_instance_uid)"
    " WHERE kind='image' AND status='waiting' AND (attempts>0 OR refusals>0)",
    "CREATE INDEX deliveries_put_off ON deliveries (destination, not_before)"
    " WHERE status='waiting' AND error IS NOT NULL",
    "CREATE INDEX deliveries_waited ON deliveries (destination, waited) WHERE status='waiting' AND waited>0",
    "DROP INDEX images_by_turn",
    "CREATE INDEX images_by_turn ON deliveries"
    " (destination, status, priority DESC, id, not_before, study_instance_uid) WHERE kind='image'",
    "CREATE INDEX images_stuck ON deliveries (study_instance_uid) WHERE kind='image' AND status IN ('held', 'dead')",
)
