"""Which ledger this is: what the ids of its jobs, and through them the UIDs of results, derive from.

A ledger that was restored from a backup is another one than the ledger that went on after the backup: that one may have
sent results under UIDs which derive from the same jobs. So a restore gives it a new id and the next generation
(`node.ledger.restorations`), and whatever is made from then on derives from these.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from node.ledger.connection import Database
from node.ledger.rows import one


@dataclass(frozen=True, slots=True)
class LedgerIdentity:
    """The row of `ledger`."""

    id: str
    """Drawn when the ledger was made, or restored."""
    generation: int
    """1, and one more for each time it was restored."""

    @property
    def salt(self) -> str:
        """What is derived with, beside the id of a job that may be older than the restore; empty before the first."""
        return self.id if self.generation > 1 else ""


def of(database: Database) -> LedgerIdentity:
    """The identity of this ledger."""
    row = one(database, "SELECT * FROM ledger")
    assert row is not None, "the first migration makes it"
    return LedgerIdentity(row["id"], int(row.get("generation", 1)))  # a backup may be of an earlier schema


def renew(database: Database) -> LedgerIdentity:
    """It was restored: a new id, the next generation."""
    database.execute("UPDATE ledger SET id=?, generation=generation+1", [uuid.uuid4().hex])
    return of(database)
