"""What a destination says about a study's patient: asked before the first send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlite_utils import Database

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.events import Severity
from node.ledger.rows import moment, one, query


class IdentityStatus(StrEnum):
    """What the destination answered."""

    ABSENT = "absent"
    """It does not have the study yet (or could not be asked)."""
    AGREES = "agrees"
    """It has the study, under the same patient and order."""
    DIFFERS = "differs"
    """It has the study under another patient, issuer or accession number."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One row of `identities`."""

    study_instance_uid: str
    destination: str
    status: IdentityStatus
    detail: str
    """Which attributes differ (names of attributes, never their values)."""
    waiting_since: datetime
    checked_at: datetime | None
    alerted: bool


def get(database: Database, study: str, destination: str) -> Identity | None:
    """The last answer, where it has been asked."""
    row = one(database, "SELECT * FROM identities WHERE study_instance_uid=? AND destination=?", [study, destination])
    return _identity(row) if row else None


def answered(
    database: Database, at: datetime, study: str, destination: str, status: IdentityStatus, detail: str = ""
) -> Identity:
    """Record an answer; an event is written only where it changed."""
    before = get(database, study, destination)
    database.execute(
        "INSERT INTO identities VALUES (?,?,?,?,?,?,0)"
        " ON CONFLICT DO UPDATE SET status=excluded.status, detail=excluded.detail, checked_at=excluded.checked_at,"
        " alerted=CASE WHEN status=excluded.status THEN alerted ELSE 0 END,"
        " waiting_since=CASE WHEN status=excluded.status THEN waiting_since ELSE excluded.waiting_since END",
        [study, destination, status, detail, to_text(at), to_text(at)],
    )
    if before is None or before.status is not status:
        severity = Severity.ALERT if status is IdentityStatus.DIFFERS else Severity.INFO
        events.record(
            database, at, f"identity.{status}", study=study, severity=severity, destination=destination, detail=detail
        )
    found = get(database, study, destination)
    assert found is not None, study
    return found


def alerted(database: Database, at: datetime, study: str, destination: str, text: str) -> None:
    """A person has been notified, once, that the study does not appear there."""
    database.execute(
        "UPDATE identities SET alerted=1 WHERE study_instance_uid=? AND destination=?", [study, destination]
    )
    events.record(
        database, at, "identity.overdue", study=study, severity=Severity.ALERT, destination=destination, detail=text
    )


def forget(database: Database, study: str, destination: str) -> None:
    """Ask again before the next send (a person said `retry`)."""
    database.execute("DELETE FROM identities WHERE study_instance_uid=? AND destination=?", [study, destination])


def of_study(database: Database, study: str) -> list[Identity]:
    """The answers about a study."""
    return [_identity(row) for row in query(database, "SELECT * FROM identities WHERE study_instance_uid=?", [study])]


def _identity(row: dict[str, Any]) -> Identity:
    return Identity(
        **{
            **row,
            "status": IdentityStatus(row["status"]),
            "waiting_since": from_text(row["waiting_since"]),
            "checked_at": moment(row["checked_at"]),
            "alerted": bool(row["alerted"]),
        }
    )
