"""Destinations that accept results but no storage commitment: one row each, until they accept it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from node.clock import from_text, to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query


@dataclass(frozen=True, slots=True)
class CommitmentRefuser:
    """One row of `commitment_refusers`."""

    destination: str
    reason: str
    required: bool
    """The configuration says `commitment: require`; else it is only tried."""
    since: datetime
    look_at: datetime
    """When it is tried again."""


def refused(
    database: Database, at: datetime, destination: str, reason: str, look_at: datetime, *, required: bool
) -> None:
    """It does not accept the SOP class: recorded once, and an alert where it is required."""
    if get(database, destination) is None:
        events.record(
            database, at, EventKind.COMMITMENT_UNSUPPORTED, destination=destination, error=reason, required=required
        )
    database.execute(
        "INSERT INTO commitment_refusers (destination, reason, required, since, look_at) VALUES (?,?,?,?,?)"
        " ON CONFLICT (destination) DO UPDATE SET reason=excluded.reason, required=excluded.required,"
        " look_at=excluded.look_at",
        [destination, reason, int(required), to_text(at), to_text(look_at)],
    )
    if required:
        alerts.met(database, at, AlertKind.COMMITMENT_UNSUPPORTED, destination, destination=destination, error=reason)


def accepted(database: Database, at: datetime, destination: str) -> None:
    """It does accept it."""
    if database.execute("DELETE FROM commitment_refusers WHERE destination=?", [destination]).rowcount:
        events.record(database, at, EventKind.COMMITMENT_SUPPORTED, destination=destination)


def forget(database: Database, destination: str) -> None:
    """Nobody asks it any more."""
    database.execute("DELETE FROM commitment_refusers WHERE destination=?", [destination])


def get(database: Database, destination: str) -> CommitmentRefuser | None:
    """What is known of a destination; None where it accepts storage commitment, or was never asked."""
    row = one(database, "SELECT * FROM commitment_refusers WHERE destination=?", [destination])
    return _of_row(row) if row else None


def every(database: Database) -> list[CommitmentRefuser]:
    """All of them, by name."""
    return [_of_row(row) for row in query(database, "SELECT * FROM commitment_refusers ORDER BY destination")]


def _of_row(row: dict[str, str]) -> CommitmentRefuser:
    return CommitmentRefuser(
        row["destination"],
        row["reason"],
        bool(row["required"]),
        from_text(row["since"]),
        from_text(row["look_at"]),
    )
