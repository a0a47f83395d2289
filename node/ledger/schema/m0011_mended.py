"""Schema 0011: what the first releases had not yet made when they applied migrations of the same names.

Some migrations were edited after ledgers had been made by them. Such a ledger lacks what came in by the edit: the table
`ledger`, without which no job can be made, and indexes. A ledger that has all of it stays as it is.
"""

from __future__ import annotations

import uuid

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make what is missing, and remove the indexes that others have replaced."""
    for statement in _STATEMENTS:
        database.execute(statement)
    # Jobs that are there keep their ids; the identity only goes into those of jobs to come.
    database.execute("INSERT INTO ledger SELECT ? WHERE NOT EXISTS (SELECT 1 FROM ledger)", [uuid.uuid4().hex])


_STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS ledger (id TEXT PRIMARY KEY) STRICT",
    "CREATE INDEX IF NOT EXISTS jobs_to_follow_up ON jobs (finished_at) WHERE followed_up=0 AND outcome IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS instances_not_current ON instances (status) WHERE status<>'current'",
    "CREATE INDEX IF NOT EXISTS results_by_status ON deliveries (status) WHERE receipt IS NULL",
    "CREATE INDEX IF NOT EXISTS results_by_destination ON deliveries (destination, status, receipt)"
    " WHERE receipt IS NULL",
    "DROP INDEX IF EXISTS instances_by_status",
    "DROP INDEX IF EXISTS deliveries_by_state",
)
