"""What a destination says about a study's patient: asked before the first send."""

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
from node.ledger.rows import moment, one, query


class IdentityStatus(StrEnum):
    """What the destination answered."""

    ABSENT = "absent"
    """It does not have the study yet (or could not be asked)."""
    AGREES = "agrees"
    """It has the study, under the same patient and order."""
    DIFFERS = "differs"
    """It has the study under another patient, issuer or accession number."""


_KINDS = {
    IdentityStatus.ABSENT: EventKind.IDENTITY_ABSENT,
    IdentityStatus.AGREES: EventKind.IDENTITY_AGREES,
    IdentityStatus.DIFFERS: EventKind.IDENTITY_DIFFERS,
}


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
    waited: timedelta = timedelta()
    """How long it has been asked in vain, by the pauses in between: the age that counts, whatever the clock says."""


def get(database: Database, study: str, destination: str) -> Identity | None:
    """The last answer, where it has been asked."""
    row = one(database, "SELECT * FROM identities WHERE study_instance_uid=? AND destination=?", [study, destination])
    return _identity(row) if row else None


def answered(
    database: Database,
    at: datetime,
    study: str,
    destination: str,
    status: IdentityStatus,
    detail: str = "",
    longest: timedelta = timedelta.max,
) -> Identity:
    """Record an answer; an event is written only where it changed.

    `longest`: as much of the time since the last answer counts as waiting. The rest passed while nobody could ask: the
    destination was not reached, or outside its hours.
    """
    before = get(database, study, destination)
    waited = timedelta()
    if before is not None and before.status is status and before.checked_at is not None:
        waited = before.waited + max(timedelta(), min(longest, at - before.checked_at))
    database.execute(
        "INSERT INTO identities (study_instance_uid, destination, status, detail, waiting_since, checked_at, alerted,"
        " waited) VALUES (?,?,?,?,?,?,0,?)"
        " ON CONFLICT DO UPDATE SET status=excluded.status, detail=excluded.detail, checked_at=excluded.checked_at,"
        " waited=excluded.waited, alerted=CASE WHEN status=excluded.status THEN alerted ELSE 0 END,"
        " waiting_since=CASE WHEN status=excluded.status THEN min(waiting_since, excluded.waiting_since)"
        " ELSE excluded.waiting_since END",  # the earlier one: a clock that was ahead may have said when it began
        [study, destination, status, detail, to_text(at), to_text(at), waited.total_seconds()],
    )
    if before is None or before.status is not status:
        events.record(database, at, _KINDS[status], study=study, destination=destination, detail=detail)
        if status is IdentityStatus.DIFFERS:
            place = f"{destination} {study}"
            alerts.met(
                database, at, AlertKind.IDENTITY_DIFFERS, place, study=study, destination=destination, detail=detail
            )
    found = get(database, study, destination)
    assert found is not None, study
    return found


def alerted(database: Database, at: datetime, study: str, destination: str, text: str) -> None:
    """A person has been notified, once, that the study does not appear there."""
    database.execute(
        "UPDATE identities SET alerted=1 WHERE study_instance_uid=? AND destination=?", [study, destination]
    )
    alerts.raised(
        database,
        at,
        AlertKind.IDENTITY_OVERDUE,
        f"{destination} {study}",
        study=study,
        destination=destination,
        detail=text,
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
            "waited": timedelta(seconds=row["waited"]),
        }
    )
