"""Schema 0029: storage commitment of what is sent: batches that are asked for, and how many deliveries are committed.

A request to an archive is about a batch, or about what another AE asked us for: `archive_requests` has either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # as in m0017_ways: `ledger.tallies` reads this module
    from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make it; what was delivered before stays as it was: nobody asks for it."""
    for statement in (*_TABLES, *_REQUESTS, *_DELIVERIES, *_TALLIED):
        database.execute(statement)


_TABLES = (
    """
    CREATE TABLE commit_batches (
        id INTEGER PRIMARY KEY,
        destination TEXT NOT NULL,
        study_instance_uid TEXT NOT NULL,
        not_before TEXT NOT NULL,
        put_off_at TEXT NOT NULL,
        waited REAL NOT NULL DEFAULT 0,
        error TEXT,
        made_at TEXT NOT NULL,
        late_at TEXT,
        ended_at TEXT
    ) STRICT
    """,
    "CREATE INDEX commit_batches_open ON commit_batches (destination, not_before) WHERE ended_at IS NULL",
    "CREATE INDEX commit_batches_by_study ON commit_batches (study_instance_uid)",
    """
    CREATE TABLE commitment_refusers (
        destination TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        required INTEGER NOT NULL,
        since TEXT NOT NULL,
        look_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)
_REQUESTS = (
    "DROP INDEX archive_requests_by_commitment",
    "ALTER TABLE archive_requests RENAME COLUMN commitment TO commitment_before",
    "ALTER TABLE archive_requests ADD COLUMN commitment INTEGER REFERENCES commitments",
    "ALTER TABLE archive_requests ADD COLUMN batch INTEGER REFERENCES commit_batches",
    "UPDATE archive_requests SET commitment=commitment_before",
    "ALTER TABLE archive_requests DROP COLUMN commitment_before",
    "CREATE INDEX archive_requests_by_commitment ON archive_requests (commitment) WHERE commitment IS NOT NULL",
    "CREATE INDEX archive_requests_by_batch ON archive_requests (batch) WHERE batch IS NOT NULL",
)
"""The column is made again, not the table: it has to be empty in requests about a batch."""
_DELIVERIES = (
    "ALTER TABLE deliveries ADD COLUMN commit_batch INTEGER REFERENCES commit_batches",
    "ALTER TABLE deliveries ADD COLUMN commit_failure INTEGER",
    "ALTER TABLE deliveries ADD COLUMN committed_at TEXT",
    "ALTER TABLE deliveries ADD COLUMN resends INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX deliveries_by_commit_batch ON deliveries (commit_batch) WHERE commit_batch IS NOT NULL",
    "CREATE INDEX deliveries_to_commit ON deliveries (destination, study_instance_uid)"
    " WHERE commitment='wanted' AND commit_batch IS NULL",
    "CREATE INDEX deliveries_not_committed ON deliveries (destination, study_instance_uid)"
    " WHERE commitment IN ('refused', 'overdue')",
)
_NAME = "'commitment of deliveries of ' || {row}.kind"
_SAME = "(name, place, status)=(" + _NAME.format(row="OLD") + ", OLD.destination, OLD.commitment)"
_FEWER = f"UPDATE tallies SET n=n-1 WHERE {_SAME};"  # noqa: S608 - our own text
_MORE = (
    f"INSERT INTO tallies SELECT {_NAME.format(row='NEW')}, NEW.destination, NEW.commitment, 1"
    " WHERE NEW.commitment<>'none' ON CONFLICT (name, place, status) DO UPDATE SET n=n+1;"
)
COUNTING = (
    f"SELECT {_NAME.format(row='deliveries')}, destination, commitment, count(*) FROM deliveries"  # noqa: S608 - our own text
    " WHERE commitment<>'none' GROUP BY 1, 2, 3"
)
"""What the tallies of commitment have to be; deliveries that nobody asks for are not counted."""
_TALLIED = (
    f"CREATE TRIGGER deliveries_commitment_in AFTER INSERT ON deliveries WHEN NEW.commitment<>'none' BEGIN {_MORE} END",
    f"CREATE TRIGGER deliveries_commitment_out AFTER DELETE ON deliveries WHEN OLD.commitment<>'none'"
    f" BEGIN {_FEWER} END",
    "CREATE TRIGGER deliveries_commitment AFTER UPDATE OF commitment, kind, destination ON deliveries"
    " WHEN (NEW.commitment, NEW.kind, NEW.destination) IS NOT (OLD.commitment, OLD.kind, OLD.destination)"
    f" BEGIN {_FEWER} {_MORE} END",
)
