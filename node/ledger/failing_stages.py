"""Stages that fail as a whole, from when a person should know until they work again."""

from __future__ import annotations

from datetime import datetime

from node.clock import to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind


def fails(database: Database, at: datetime, stage: str, since: datetime, why: str) -> None:
    """It has failed since then, for this reason."""
    database.execute("INSERT OR REPLACE INTO failing_stages VALUES (?,?,?)", [stage, to_text(since), why])
    alerts.raised(database, at, AlertKind.STAGE_FAILING, stage, stage=stage, error=why)


def works(database: Database, at: datetime, stage: str) -> None:
    """It works again, or is no more."""
    database.execute("DELETE FROM failing_stages WHERE stage=?", [stage])
    events.record(database, at, EventKind.STAGE_FAILS_NO_MORE, stage=stage)


def forget(database: Database) -> None:
    """A process begins: what failed in the one before is tried again."""
    database.execute("DELETE FROM failing_stages")
