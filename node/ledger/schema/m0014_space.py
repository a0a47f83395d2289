"""Schema 0014: rows can be removed quickly, and what they took is given back to the disk.

SQLite looks for rows that refer to one that is removed: without an index over the column, by reading the whole table.
And it gives free pages back bit by bit (`PRAGMA incremental_vacuum`) only in files that were made or vacuumed for that.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database

_INDEXES = (
    "CREATE INDEX IF NOT EXISTS rejections_by_note ON rejections (note)",
    "CREATE INDEX IF NOT EXISTS jobs_by_decision ON jobs (decision)",
    "CREATE INDEX IF NOT EXISTS deliveries_by_decision ON deliveries (decision) WHERE decision IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS deliveries_by_receipt ON deliveries (receipt) WHERE receipt IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS archive_requests_by_commitment ON archive_requests (commitment)",
    "CREATE INDEX IF NOT EXISTS timers_by_decision ON timers (decision) WHERE decision IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS decisions_by_rule_set ON decisions (rule_set)",
    "CREATE INDEX IF NOT EXISTS notifications_by_job ON notifications (job) WHERE job IS NOT NULL",
)
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_INCREMENTAL = 2


def migrate(database: Database) -> None:
    """Make the indexes; write an old ledger's file again, once. May be done again after a crash half-way.

    VACUUM does not run in a transaction, hence none around this.
    """
    for statement in _INDEXES:
        database.execute(statement)
    ((mode,),) = database.execute("PRAGMA auto_vacuum").fetchall()
    if mode == _INCREMENTAL:
        return
    try:
        database.execute("PRAGMA auto_vacuum=INCREMENTAL")
        database.execute("VACUUM")
    except sqlite3.OperationalError as error:
        # It needs twice the ledger's size for a while. Without that space the file grows on as it has so far:
        # no reason for a hospital's node not to start. `PRAGMA auto_vacuum` says 0 then.
        if error.sqlite_errorcode & 0xFF not in _NO_ROOM:
            raise
