"""Schema 0023: jobs, notifications and storage commitment say when they were put off, and how long they have waited.

Deliveries do so since 0017. What was put off before says nothing of that, and keeps its time.
"""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """The age of what waits was the time since it was enqueued, or decided."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    *(
        f"ALTER TABLE {table} ADD COLUMN put_off_at TEXT NOT NULL DEFAULT ''"
        for table in ("jobs", "notifications", "commitments")
    ),
    *(f"ALTER TABLE {table} ADD COLUMN waited REAL NOT NULL DEFAULT 0" for table in ("notifications", "commitments")),
    "UPDATE notifications SET waited=max(0, coalesce((julianday(not_before)-julianday(enqueued_at))*86400, 0))"
    " WHERE status='waiting'",
    "UPDATE commitments SET waited=max(0, coalesce((julianday(not_before)-julianday(decided_at))*86400, 0))"
    " WHERE status='decided'",
)
