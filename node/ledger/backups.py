"""Backups that were made of this data folder, and the one that is being made.

A backup that is being made has a lease, which it renews: what is removed from the data folder meanwhile might be
missing in it, so retention asks `under_way` first. A backup that was killed keeps nobody waiting for longer than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one

LEASE = timedelta(minutes=10)
"""For this long a backup that says nothing counts as under way."""


class BackupStatus(StrEnum):
    """What became of a backup."""

    RUNNING = "running"
    """Files are being copied."""
    MADE = "made"
    """It is whole."""
    FAILED = "failed"
    """It ended with an error, and counts for nothing."""
    ABANDONED = "abandoned"
    """Its process died, or the ledger was restored while it ran."""


@dataclass(frozen=True, slots=True)
class Backup:
    """One row of `backups`."""

    id: int
    folder: str
    """Where it is."""
    name: str
    by: str
    """Who wanted it, as an actor: `node` by the calendar, or `os:USER`."""
    began_at: datetime
    lease_until: datetime
    ended_at: datetime | None
    status: BackupStatus
    files: int | None
    bytes: int | None
    error: str | None


def begin(database: Database, at: datetime, *, folder: str, name: str, by: str) -> Backup:
    """A backup begins; those before it that never ended are over."""
    abandon(database, at)
    database.execute(
        "INSERT INTO backups (folder, name, by, began_at, lease_until, status) VALUES (?,?,?,?,?,?)",
        [folder, name, by, to_text(at), to_text(at + LEASE), BackupStatus.RUNNING],
    )
    found = last(database)
    assert found is not None, "it was inserted"
    return found


def renew(database: Database, at: datetime, number: int) -> None:
    """It is still under way."""
    database.execute("UPDATE backups SET lease_until=? WHERE id=?", [to_text(at + LEASE), number])


def made(database: Database, at: datetime, number: int, *, files: int, size: int) -> None:
    """It is whole: `files` files of `size` bytes."""
    database.execute(
        "UPDATE backups SET status=?, ended_at=?, files=?, bytes=? WHERE id=?",
        [BackupStatus.MADE, to_text(at), files, size, number],
    )
    found = _get(database, number)
    events.record(
        database, at, EventKind.BACKUP_MADE, actor=found.by, folder=found.folder, name=found.name, files=files
    )


def failed(database: Database, at: datetime, number: int, error: str) -> None:
    """It ended with an error: an alert until one succeeds."""
    database.execute(
        "UPDATE backups SET status=?, ended_at=?, error=? WHERE id=?", [BackupStatus.FAILED, to_text(at), error, number]
    )
    found = _get(database, number)
    alerts.raised(database, at, AlertKind.BACKUP_FAILED, found.folder, actor=found.by, error=error)


def not_begun(database: Database, at: datetime, folder: str, error: str) -> None:
    """The backup of the day could not even begin: an alert until one succeeds."""
    alerts.raised(database, at, AlertKind.BACKUP_FAILED, folder, error=error)


def overdue(database: Database, at: datetime, folder: str, since: datetime | None) -> None:
    """None has been made there for too long, since `since`: an alert until one is."""
    alerts.raised(database, at, AlertKind.BACKUP_OVERDUE, folder, since=to_text(since) if since else "")


def abandon(database: Database, at: datetime) -> None:
    """Those that are under way by their rows have died."""
    database.execute(
        "UPDATE backups SET status=?, ended_at=? WHERE status=?",
        [BackupStatus.ABANDONED, to_text(at), BackupStatus.RUNNING],
    )


def under_way(database: Database, at: datetime) -> Backup | None:
    """The backup that is being made now: nothing may be removed from the data folder meanwhile."""
    row = one(
        database,
        "SELECT * FROM backups WHERE status=? AND lease_until>? ORDER BY id DESC LIMIT 1",
        [BackupStatus.RUNNING, to_text(at)],
    )
    return _backup(row) if row else None


def last(database: Database) -> Backup | None:
    """The newest, whatever became of it."""
    row = one(database, "SELECT * FROM backups ORDER BY id DESC LIMIT 1")
    return _backup(row) if row else None


def last_made(database: Database, folder: str | None = None) -> Backup | None:
    """The newest that is whole; only one in `folder`, where that is named."""
    row = one(
        database,
        "SELECT * FROM backups WHERE status=? AND folder=coalesce(?, folder) ORDER BY id DESC LIMIT 1",
        [BackupStatus.MADE, folder],
    )
    return _backup(row) if row else None


def first_tried(database: Database) -> datetime | None:
    """When the first one began, whatever became of it."""
    row = one(database, "SELECT min(began_at) AS at FROM backups")
    return moment(row["at"]) if row else None


def _get(database: Database, number: int) -> Backup:
    row = one(database, "SELECT * FROM backups WHERE id=?", [number])
    assert row is not None, number
    return _backup(row)


def _backup(row: dict[str, Any]) -> Backup:
    return Backup(
        **{
            **row,
            "began_at": from_text(row["began_at"]),
            "lease_until": from_text(row["lease_until"]),
            "ended_at": moment(row["ended_at"]),
            "status": BackupStatus(row["status"]),
        }
    )
