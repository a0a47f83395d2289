"""What the ledger knows of the files of the audit trail (`node.audit`): how far they go, were checked, were sent.

It is another file than those, so it says when the end of them was cut off, or when they were made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.clock import to_text
from node.ledger import alerts, positions
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.rows import moment, one

READER = "audit"
"""Of the history (`node.ledger.positions`): who makes entries of it."""


class AuditMark(StrEnum):
    """What is known of one entry."""

    WRITTEN = "written"
    """The last entry that was written."""
    CHECKED = "checked"
    """The last entry of the newest check; trouble: where the trail was not what was written."""
    SENT = "sent"
    """The last entry that the syslog server has; trouble: why it takes no more."""


@dataclass(frozen=True, slots=True)
class MarkedEntry:
    """One row of `audit_marks`."""

    number: int = 0
    digest: str = ""
    trouble: str | None = None
    since: datetime | None = None
    """Since when there is trouble."""


def get(database: Database, mark: AuditMark) -> MarkedEntry:
    """What is known; number 0 where nothing is."""
    row = one(database, "SELECT * FROM audit_marks WHERE name=?", [mark])
    if row is None:
        return MarkedEntry()
    return MarkedEntry(row["number"], row["digest"], row["trouble"], moment(row["since"]))


def is_set(database: Database, mark: AuditMark) -> bool:
    """Whether it was ever set."""
    return one(database, "SELECT 1 FROM audit_marks WHERE name=?", [mark]) is not None


def put(database: Database, mark: AuditMark, number: int, digest: str = "") -> None:
    """It is at this entry now, and there is no trouble."""
    sql = "INSERT OR REPLACE INTO audit_marks (name, number, digest) VALUES (?,?,?)"
    database.execute(sql, [mark, number, digest])


def drop(database: Database, mark: AuditMark) -> None:
    """It means nothing any more."""
    database.execute("DELETE FROM audit_marks WHERE name=?", [mark])


def in_trouble(database: Database, at: datetime, mark: AuditMark, why: str) -> MarkedEntry:
    """It does not move, for this reason; since when is kept."""
    found = get(database, mark)
    since = found.since or at
    sql = "INSERT OR REPLACE INTO audit_marks (name, number, digest, trouble, since) VALUES (?,?,?,?,?)"
    database.execute(sql, [mark, found.number, found.digest, why, to_text(since)])
    return MarkedEntry(found.number, found.digest, why, since)


def waiting(database: Database) -> dict[str, int]:
    """How many events are to become entries (`file`) and, where there is a server, entries to be sent (`syslog`)."""
    newest = one(database, "SELECT max(id) AS id FROM events")
    found = {"file": max(0, int((newest and newest["id"]) or 0) - positions.of(database, READER))}
    if is_set(database, AuditMark.SENT):
        found["syslog"] = get(database, AuditMark.WRITTEN).number - get(database, AuditMark.SENT).number
    return found


def broken(database: Database, at: datetime, why: str) -> None:
    """The trail is not what was written: an alert, and an event where that is news."""
    earlier = get(database, AuditMark.CHECKED).trouble
    in_trouble(database, at, AuditMark.CHECKED, why)
    if earlier != why:
        alerts.raised(database, at, AlertKind.AUDIT_BROKEN, AuditMark.CHECKED, reason=why)
