"""Schema 0012: objects to which a destination gave no answer, and when something was stored there."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Deliveries count how often no answer came; `node.ledger.silences` asks what was stored in between."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "ALTER TABLE deliveries ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE deliveries ADD COLUMN unanswered_at TEXT",
    "CREATE INDEX deliveries_stored ON deliveries (destination, sent_at) WHERE sent_at IS NOT NULL",
)
