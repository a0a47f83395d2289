"""Stored images that the ledger does not know, and that are indexed again (`node.serve.lost_ledger`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from node.clock import from_text, to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one

HOLD = (
    "indexed again after the ledger was lost or restored: what was done about it before is not known, and its results"
    " may be in the archive already"
)
"""Why the studies of these images are held."""


@dataclass(frozen=True, slots=True)
class Reindexing:
    """One row of `reindexings`."""

    id: int
    began_at: datetime
    newest_known: str
    """The newest receipt that the ledger knew; empty where it knew none."""
    up_to: str
    """The newest receipt in the store at that time."""
    ended_at: datetime | None


def begin(database: Database, at: datetime, *, newest_known: str, up_to: str) -> None:
    """The store holds receipts that the ledger does not know: an alert until all their studies are released."""
    database.execute(
        "INSERT INTO reindexings (began_at, newest_known, up_to) VALUES (?,?,?)", [to_text(at), newest_known, up_to]
    )
    alerts.raised(
        database,
        at,
        AlertKind.LEDGER_BEHIND_STORE,
        "data",
        up_to=up_to,
        newest_known=newest_known,
        reason="the ledger was lost, emptied or restored from an older copy: what is stored is indexed again",
        hold=HOLD,
    )


def under_way(database: Database) -> Reindexing | None:
    """The newest, unless it has ended."""
    row = one(database, "SELECT * FROM reindexings ORDER BY id DESC LIMIT 1")
    if row is None or row["ended_at"] is not None:
        return None
    return Reindexing(**{**row, "began_at": from_text(row["began_at"]), "ended_at": moment(row["ended_at"])})


def end(database: Database, at: datetime, up_to: str) -> None:
    """All of them have rows again."""
    database.execute("UPDATE reindexings SET ended_at=? WHERE ended_at IS NULL", [to_text(at)])
    events.record(database, at, EventKind.LEDGER_CAUGHT_UP, up_to=up_to)
