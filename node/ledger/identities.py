"""What a destination says about a study's patient: asked before the first send."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.dismissals import NOT_DISMISSED
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one, query, to_json


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
    ours: Mapping[str, str] = field(default_factory=dict)
    """What our object says, by keyword: for a person who compares, and for nobody's log."""
    theirs: tuple[Mapping[str, str], ...] = ()
    """What the destination says, one an answer; of the study it has under another identity."""
    said_at: datetime | None = None
    """Since when it has said exactly that."""
    waited: timedelta = timedelta()
    """How long it has been asked in vain, by the pauses in between: the age that counts, whatever the clock says."""


def get(database: Database, study: str, destination: str) -> Identity | None:
    """The last answer, where it has been asked."""
    row = one(database, "SELECT * FROM identities WHERE study_instance_uid=? AND destination=?", [study, destination])
    return _identity(row) if row else None


@dataclass(frozen=True, slots=True)
class IdentityComparison:
    """Both sides of a comparison, by keyword; kept where they differ."""

    ours: Mapping[str, str]
    theirs: Sequence[Mapping[str, str]]


def answered(
    database: Database,
    at: datetime,
    study: str,
    destination: str,
    status: IdentityStatus,
    detail: str = "",
    compared: IdentityComparison | None = None,
    *,
    longest: timedelta = timedelta.max,
    alert: bool = True,
) -> Identity:
    """Record an answer; an event is written only where it changed.

    `longest`: as much of the time since the last answer counts as waiting. The rest passed while nobody could ask: the
    destination was not reached, or outside its hours. `alert`: False where it may still be adopted, so that no person
    is needed (`needs_person`).
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
    _keep_both(database, at, study, destination, before, compared)
    if before is None or before.status is not status:
        events.record(database, at, _KINDS[status], study=study, destination=destination, detail=detail)
        if status is IdentityStatus.DIFFERS and alert:
            needs_person(database, at, study, destination, detail)
    found = get(database, study, destination)
    assert found is not None, study
    return found


def needs_person(database: Database, at: datetime, study: str, destination: str, detail: str) -> None:
    """Patient or order differ, and a person has to decide."""
    place = f"{destination} {study}"
    alerts.met(database, at, AlertKind.IDENTITY_DIFFERS, place, study=study, destination=destination, detail=detail)


def _keep_both(
    database: Database,
    at: datetime,
    study: str,
    destination: str,
    before: Identity | None,
    compared: IdentityComparison | None,
) -> None:
    """Both sides, and since when the destination says so: a clock that was set back since makes that now."""
    ours, theirs = (to_json(dict(compared.ours)), [dict(each) for each in compared.theirs]) if compared else ("{}", [])
    same = before is not None and compared is not None and [*map(dict, before.theirs)] == theirs
    since = min(before.said_at or at, at) if before is not None and same else at
    database.execute(
        "UPDATE identities SET ours=?, theirs=?, said_at=? WHERE study_instance_uid=? AND destination=?",
        [ours, to_json(theirs), to_text(since) if compared else None, study, destination],
    )


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


def in_question(database: Database, study: str) -> str:
    """Why the identity that the images themselves have is not certain now: no other may be adopted; else empty."""
    row = one(
        database,
        "SELECT hold IS NOT NULL AS held, EXISTS (SELECT 1 FROM instances WHERE study_instance_uid=:study"  # noqa: S608 - our own text
        " AND status='correction') AS corrected, EXISTS (SELECT 1 FROM instances WHERE study_instance_uid=:study"
        f" AND status='conflict' AND {NOT_DISMISSED.format(row='instances')}) AS conflicting"
        " FROM studies WHERE study_instance_uid=:study",
        {"study": study},
    )
    if row is None:
        return ""
    for found, words in (("corrected", "a correction"), ("conflicting", "a conflict")):
        if row[found]:
            return f"{words} of the study is open"
    return "the study is held" if row["held"] else ""


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
            "ours": json.loads(row["ours"]),
            "theirs": tuple(json.loads(row["theirs"])),
            "said_at": moment(row["said_at"]),
            "waited": timedelta(seconds=row["waited"]),
        }
    )
