"""What the ledger's history and its alerts say, for tests that look into them."""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger import alerts
from node.ledger.alerts import Alert
from node.ledger.connection import Database
from node.ledger.events import Event, from_row
from node.ledger.rows import query


def latest(database: Database, limit: int) -> list[Event]:
    """The newest events, newest first."""
    return [from_row(row) for row in query(database, "SELECT * FROM events ORDER BY id DESC LIMIT ?", [limit])]


def of_kind(database: Database, kind: str) -> list[Event]:
    """All events of a kind, oldest first."""
    return [from_row(row) for row in query(database, "SELECT * FROM events WHERE kind=? ORDER BY id", [kind])]


def open_alerts(database: Database) -> list[Alert]:
    """Open alerts whose condition holds, the one that was met last first."""
    over = set(alerts.over(database))
    return [each for each in alerts.open_ones(database, 10_000) if each.id not in over]


def raised(database: Database) -> Sequence[str]:
    """Kinds of all alerts that were ever open, the newest first."""
    return [row["kind"] for row in query(database, "SELECT kind FROM alerts ORDER BY id DESC")]
