"""Vendors' boxes: what each was sent in which attempt, instance by instance.

An attempt at a box outlives the node: these rows say what is still to be sent, and what was answered with success and
is not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.clock import to_text
from node.ledger.connection import Database
from node.ledger.rows import moment, one, placeholders, query, to_json

_PLACE = "box:"
_LAST = 50
"""Attempts that the usual turnaround is taken of."""


def place_of(box: str) -> str:
    """The place of attempts at a box (`Attempt.place`)."""
    return f"{_PLACE}{box}"


def box_at(place: str) -> str | None:
    """The box that a place is; None for another place."""
    return place.removeprefix(_PLACE) if place.startswith(_PLACE) else None


class SentStatus(StrEnum):
    """Where an instance stands that a box is to get."""

    WAITING = "waiting"
    """It is to be sent, or was sent and not answered."""
    STORED = "stored"
    """The box answered with success, or a warning: it is not sent again."""
    REFUSED = "refused"
    """The box refuses it for good."""


@dataclass(frozen=True, slots=True)
class BoxAttempt:
    """One row of `box_attempts`: what is known of an attempt at a box since its images were laid out."""

    attempt: str
    box: str
    calling_ae_title: str
    """What we called ourselves there."""
    sent_patient_id: str
    """The Patient ID in what was sent, a pseudonym or the true one."""
    series_before: Collection[str] | None
    """Series Instance UIDs that the archive had before, of a box whose answers do not come here."""
    sent_at: datetime | None
    """When the last instance was stored there; None while some are still to be sent."""
    tries: int
    """How often sending broke off."""
    error: str | None
    """Why it did last."""


@dataclass(frozen=True, slots=True)
class SentInstance:
    """One instance that a box is to get."""

    number: int
    """Its place among the images of the attempt; from 1."""
    sop_instance_uid: str
    """As it is sent: a pseudonym or the true one."""
    status: SentStatus
    answer: str | None
    """What the box said, for the admin."""


@dataclass(frozen=True, slots=True)
class Turnaround:
    """How long a box or a service takes from its last image to the end of its answer, in seconds."""

    answered: int
    """Of how many attempts."""
    median: float
    last: float


def laid_out(database: Database, new: BoxAttempt, uids: Sequence[str]) -> None:
    """The images of an attempt are ready to be sent: one row for each, in their order."""
    before = None if new.series_before is None else to_json(sorted(new.series_before))
    database.execute(
        "INSERT INTO box_attempts (attempt, box, calling_ae_title, sent_patient_id, series_before) VALUES (?,?,?,?,?)",
        [new.attempt, new.box, new.calling_ae_title, new.sent_patient_id, before],
    )
    database.conn.executemany(
        "INSERT INTO box_instances (attempt, number, sop_instance_uid, status) VALUES (?,?,?,?)",
        [(new.attempt, number, uid, SentStatus.WAITING) for number, uid in enumerate(uids, start=1)],
    )


def get(database: Database, attempt: str) -> BoxAttempt | None:
    """What is known of an attempt; None before its images are laid out."""
    row = one(database, "SELECT * FROM box_attempts WHERE attempt=?", [attempt])
    if row is None:
        return None
    before = None if row["series_before"] is None else frozenset(json.loads(row["series_before"]))
    return BoxAttempt(**{**row, "series_before": before, "sent_at": moment(row["sent_at"])})


def instances_of(database: Database, attempt: str) -> list[SentInstance]:
    """The instances of an attempt, in their order."""
    rows = query(
        database,
        "SELECT number, sop_instance_uid, status, answer FROM box_instances WHERE attempt=? ORDER BY number",
        [attempt],
    )
    return [SentInstance(**{**row, "status": SentStatus(row["status"])}) for row in rows]


def said(database: Database, attempt: str, number: int, status: SentStatus, answer: str) -> None:
    """What the box answered to one instance."""
    database.execute(
        "UPDATE box_instances SET status=?, answer=? WHERE attempt=? AND number=?", [status, answer, attempt, number]
    )


def sent(database: Database, at: datetime, attempt: str) -> None:
    """The box has all images of an attempt."""
    database.execute("UPDATE box_attempts SET sent_at=?, error=NULL WHERE attempt=?", [to_text(at), attempt])


def taken_as_sent(database: Database, attempt: str) -> None:
    """A person says that the box has the images of an attempt."""
    database.execute(
        "UPDATE box_instances SET status=?, answer=? WHERE attempt=? AND status=?",
        [SentStatus.STORED, "taken as sent before the restore", attempt, SentStatus.WAITING],
    )


def broke_off(database: Database, attempt: str, error: str) -> None:
    """Sending is not finished, and goes on later."""
    database.execute("UPDATE box_attempts SET tries=tries+1, error=? WHERE attempt=?", [error, attempt])


def given(database: Database, at: datetime, attempt: str, like: str) -> None:
    """An attempt that sends nothing: a person gives it the answer to what an earlier one (`like`) has sent."""
    database.execute(
        "INSERT INTO box_attempts (attempt, box, calling_ae_title, sent_patient_id, sent_at)"
        " SELECT ?, box, calling_ae_title, sent_patient_id, ? FROM box_attempts WHERE attempt=?",
        [attempt, to_text(at), like],
    )


def attempts_sent(database: Database, box: str, uids: Collection[str]) -> dict[str, int]:
    """Attempt → how many of these instances it sent to the box."""
    found: dict[str, int] = {}
    wanted = sorted(uids)
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        sql = (
            "SELECT attempt, count(*) AS n FROM box_instances JOIN box_attempts USING (attempt)"  # noqa: S608 - only question marks
            f" WHERE box=? AND sop_instance_uid IN ({placeholders(some)}) GROUP BY attempt"
        )
        for row in query(database, sql, [box, *some]):
            found[row["attempt"]] = found.get(row["attempt"], 0) + int(row["n"])
    return found


def of_sent_study(database: Database, box: str, study: str) -> list[str]:
    """Attempts that sent something of this Study Instance UID to the box, the newest first."""
    rows = query(
        database,
        "SELECT id FROM attempts JOIN box_attempts ON attempt=id WHERE box=? AND sent_study_uid=?"
        " ORDER BY started_at DESC, number DESC",
        [box, study],
    )
    return [row["id"] for row in rows]


def answered_in(database: Database, attempt: str, box: str, source: str, series: Collection[str]) -> None:
    """These series in the archive `source` are what the box answered in an attempt."""
    database.conn.executemany(
        "INSERT OR IGNORE INTO box_series (series_instance_uid, attempt, box, source) VALUES (?,?,?,?)",
        [(uid, attempt, box, source) for uid in series],
    )


def series_of_others(database: Database, attempt: str, study: str) -> set[str]:
    """Series of a study in archives that are answers in other attempts, at this box or another one."""
    rows = query(
        database,
        "SELECT series_instance_uid AS uid FROM box_series JOIN attempts ON attempts.id=attempt"
        " JOIN jobs ON jobs.id=attempts.job WHERE attempt<>? AND study_instance_uid=?",
        [attempt, study],
    )
    return {row["uid"] for row in rows}


def of_series(database: Database, series: str) -> tuple[str, str] | None:
    """The box whose answer a series is, and the archive that it was found in; None for any other series."""
    row = one(database, "SELECT box, source FROM box_series WHERE series_instance_uid=? LIMIT 1", [series])
    return (row["box"], row["source"]) if row else None


def turnaround(database: Database, box: str) -> Turnaround | None:
    """Of the last attempts that the box answered; None where there is none."""
    rows = query(
        database,
        "SELECT (julianday((SELECT max(received_at) FROM box_answers WHERE box_answers.attempt=attempts.id))"
        "  -julianday(sent_at))*86400 AS seconds FROM box_attempts JOIN attempts ON attempts.id=attempt"
        " WHERE box=? AND sent_at IS NOT NULL AND state='answered'"
        " AND EXISTS (SELECT 1 FROM box_answers WHERE box_answers.attempt=attempts.id)"
        " ORDER BY ended_at DESC LIMIT ?",
        [box, _LAST],
    )
    return turnaround_of([float(row["seconds"]) for row in rows])


def turnaround_of(seconds: Sequence[float]) -> Turnaround | None:
    """Of these, the last one first; None where there is none."""
    if not seconds:
        return None
    ordered = sorted(max(0.0, each) for each in seconds)
    return Turnaround(len(ordered), ordered[len(ordered) // 2], max(0.0, seconds[0]))
