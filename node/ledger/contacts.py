"""Whether systems that work on jobs elsewhere can be reached: a row for each box and each web service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from node.clock import from_text, to_text
from node.ledger import alerts
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.rows import moment, one

DOWN_AFTER = timedelta(minutes=10)
"""What cannot be reached for this long is an alert."""


class ContactKind(Enum):
    """Of which kind of system: the name of its column, and the alert when it is down."""

    BOX = "box", AlertKind.BOX_DOWN
    SERVICE = "service", AlertKind.SERVICE_DOWN

    @property
    def column(self) -> str:
        """Of the table, which is called after it."""
        return self.value[0]

    @property
    def alert(self) -> AlertKind:
        """When it is down for long."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class WorkerContact:
    """One row of `box_contacts` or `service_contacts`: whether it answers."""

    name: str
    asked_at: datetime
    answered_at: datetime | None
    down_since: datetime | None
    error: str | None


def asked(database: Database, at: datetime, kind: ContactKind, name: str, error: str | None) -> None:
    """It was asked whether it is there; `error`: why it did not answer. Down for long it is an alert."""
    known = get(database, kind, name)
    since = None if error is None else (known.down_since if known and known.down_since else at)
    answered = at if error is None else known.answered_at if known else None
    database.execute(
        f"INSERT OR REPLACE INTO {kind.column}_contacts ({kind.column}, asked_at, answered_at, down_since, error)"  # noqa: S608 - our own names
        " VALUES (?,?,?,?,?)",
        [name, to_text(at), answered and to_text(answered), since and to_text(since), error],
    )
    if since is not None and at - since >= DOWN_AFTER:
        alerts.raised(database, at, kind.alert, name, since=to_text(since), error=error)


def get(database: Database, kind: ContactKind, name: str) -> WorkerContact | None:
    """What is known of it; None before it was asked."""
    row = one(database, f"SELECT * FROM {kind.column}_contacts WHERE {kind.column}=?", [name])  # noqa: S608 - our own names
    if row is None:
        return None
    return WorkerContact(
        name, from_text(row["asked_at"]), moment(row["answered_at"]), moment(row["down_since"]), row["error"]
    )
