"""What holds outside of the ledger, such as a full disk, so that alerts can be about it: a row while it lasts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from node.clock import to_text
from node.ledger import alerts
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.rows import query


def noted(database: Database) -> set[tuple[str, str]]:
    """Kind and place of all that holds by now."""
    return {(row["kind"], row["place"]) for row in query(database, "SELECT kind, place FROM conditions")}


def begins(database: Database, at: datetime, kind: AlertKind, place: str, detail: Mapping[str, Any]) -> None:
    """It holds, and did not before: an alert."""
    database.execute("INSERT OR IGNORE INTO conditions VALUES (?,?,?)", [kind, place, to_text(at)])
    alerts.raised(database, at, kind, place, **detail)


def over(database: Database, those: Collection[tuple[str, str]]) -> None:
    """These hold no longer; their alerts close by themselves."""
    database.conn.executemany("DELETE FROM conditions WHERE kind=? AND place=?", list(those))
