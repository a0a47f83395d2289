"""Schema 0033: backups, restored ledgers, and results that a destination may have from before a restore."""

from __future__ import annotations

from sqlite_utils import Database


def migrate(database: Database) -> None:
    """Make the tables. A ledger that was never restored is of generation 1."""
    database.execute("ALTER TABLE ledger ADD COLUMN generation INTEGER NOT NULL DEFAULT 1")
    for statement in _TABLES:
        database.execute(statement)


_TABLES = (
    """
    CREATE TABLE backups (
        id INTEGER PRIMARY KEY,
        folder TEXT NOT NULL,
        name TEXT NOT NULL,
        by TEXT NOT NULL,
        began_at TEXT NOT NULL,
        lease_until TEXT NOT NULL,
        ended_at TEXT,
        status TEXT NOT NULL,
        files INTEGER,
        bytes INTEGER,
        error TEXT
    ) STRICT
    """,
    "CREATE INDEX backups_by_status ON backups (status, id)",
    """
    CREATE TABLE restorations (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        by TEXT NOT NULL,
        backup TEXT NOT NULL,
        made_at TEXT NOT NULL,
        earlier_ledger TEXT NOT NULL,
        generation INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE earlier_results (
        study_instance_uid TEXT NOT NULL,
        destination TEXT NOT NULL,
        status TEXT NOT NULL,
        series TEXT NOT NULL,
        detail TEXT NOT NULL,
        asked_at TEXT NOT NULL,
        answered_by TEXT,
        answered_at TEXT,
        up_to INTEGER,
        PRIMARY KEY (study_instance_uid, destination)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX earlier_results_by_status ON earlier_results (status, asked_at)",
)
