"""What a destination may have of us from between a backup and the restore: asked before anything is sent.

After a restore the ledger does not know what the node sent after the backup. So before the first result of a study goes
to a destination, the destination is asked for series of ours that the ledger does not know
(`node.deliver.earlier_results`). Where it has some, or cannot say, nothing is sent until a person has answered:

- *taken as sent*: what waits is not sent; the destination has it.
- *sent instead*: what waits is encoded again, names the reports that are there as its predecessors, and is sent.

Both answers are about the jobs that the study had then. What came of a later job after *taken as sent* is asked again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError, PermanentError
from node.ledger import alerts, deliveries, events, jobs, objects, restorations, studies
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.job import JobStatus
from node.ledger.rows import moment, one, query, to_json
from node.ledger.unreadable import readable


class EarlierResultsStatus(StrEnum):
    """What is known of a study at a destination."""

    NONE = "none"
    """The destination has no series of ours that the ledger does not know."""
    FOUND = "found"
    """It has some: a person has to say what becomes of what waits."""
    UNKNOWN = "unknown"
    """It cannot be asked: a person has to look, and to say."""
    TAKEN_AS_SENT = "taken_as_sent"
    """A person said that the destination has what waited."""
    SENT_INSTEAD = "sent_instead"
    """A person had it sent, as the successor of what is there."""


OPEN = (EarlierResultsStatus.FOUND, EarlierResultsStatus.UNKNOWN)
"""A person has to answer."""


@dataclass(frozen=True, slots=True)
class EarlierReport:
    """A structured report at the destination."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class EarlierSeries:
    """A series of ours at the destination that the ledger does not know."""

    series_instance_uid: str
    modality: str
    description: str
    made_at: str
    """Series date and time as the destination states them; empty where it does not."""
    reports: tuple[EarlierReport, ...] = ()


@dataclass(frozen=True, slots=True)
class EarlierResults:
    """One row of `earlier_results`."""

    study_instance_uid: str
    destination: str
    status: EarlierResultsStatus
    series: tuple[EarlierSeries, ...]
    detail: str
    """Why the destination could not be asked."""
    asked_at: datetime
    answered_by: str | None
    answered_at: datetime | None
    up_to: int | None
    """The newest job (by the order of the rows) that the answer is about."""

    @property
    def question(self) -> str:
        """What a person is asked, in one sentence."""
        name = self.destination
        if self.status is EarlierResultsStatus.UNKNOWN:
            return f"whether {name} has results of this study from before the restore is not known: {self.detail}"
        what = "; ".join(f"{each.modality} {each.description}".strip() for each in self.series)
        return f"{name} has results of ours from before the restore that the ledger does not know: {what}"


def may_have(database: Database, study: str) -> bool:
    """Whether results of a study may have been sent after the backup that the ledger is restored from.

    Not where the ledger was never restored, or the study is of a later day (a day is left for clocks and time zones).
    """
    restored = restorations.last(database)
    if restored is None:
        return False
    found = studies.get(database, study)
    return found is None or found.study_date[:8] <= f"{restored.at + timedelta(days=1):%Y%m%d}"


def older(database: Database, those: Sequence[Delivery]) -> list[Delivery]:
    """Those whose objects were made before the restore: the destination may have just these."""
    restored = restorations.last(database)
    if restored is None:
        return []
    made = [(each, objects.get(database, each.item)) for each in those]
    return [each for each, found in made if found is not None and found.made_at < restored.at]


def get(database: Database, study: str, destination: str) -> EarlierResults | None:
    """What is known of a study there; None where it was not asked yet."""
    row = one(
        database,
        "SELECT * FROM earlier_results WHERE study_instance_uid=? AND destination=?",
        [study, destination],
    )
    return _from_row(row) if row else None


def questions(database: Database, study: str | None = None) -> list[EarlierResults]:
    """Those that wait for a person, the oldest first; of one study, where that is named."""
    rows = query(
        database,
        "SELECT * FROM earlier_results WHERE status IN (?,?) AND study_instance_uid=coalesce(?, study_instance_uid)"
        " ORDER BY asked_at, study_instance_uid",
        [*OPEN, study],
    )
    return readable(database, "earlier_results", rows, _from_row)


def asked(
    database: Database,
    at: datetime,
    study: str,
    destination: str,
    status: EarlierResultsStatus,
    series: Sequence[EarlierSeries] = (),
    detail: str = "",
) -> EarlierResults:
    """The destination has answered, or cannot; what needs a person is an alert."""
    text = to_json([asdict(each) for each in series])
    database.execute(
        "INSERT OR REPLACE INTO earlier_results (study_instance_uid, destination, status, series, detail, asked_at)"
        " VALUES (?,?,?,?,?,?)",
        [study, destination, status, text, detail, to_text(at)],
    )
    found = get(database, study, destination)
    assert found is not None, "it was inserted"
    if status in OPEN:
        place = deliveries.study_at(destination, study)
        alerts.raised(
            database,
            at,
            AlertKind.RESULTS_PERHAPS_SENT,
            place,
            study=study,
            destination=destination,
            series=[each.series_instance_uid for each in series],
            detail=detail,
        )
    return found


def take_as_sent(database: Database, at: datetime, study: str, destination: str, by: str) -> int:
    """A person says that the destination has what waits: it is not sent. How many objects that is.

    NotFoundError where nothing is asked.
    """
    waiting = _waiting(database, study, destination)
    found = _answer(database, at, study, destination, by, EarlierResultsStatus.TAKEN_AS_SENT)
    for each in waiting:
        cancel(database, at, found, each)
    return len(waiting)


def cancel(database: Database, at: datetime, answer: EarlierResults, delivery: Delivery) -> None:
    """Not to be sent: a person took it as sent."""
    by = answer.answered_by or events.NODE
    deliveries.stop(database, at, delivery.id, DeliveryStatus.CANCELLED, "taken as sent before the restore", by)


def send_instead(database: Database, at: datetime, study: str, destination: str, by: str) -> list[str]:
    """A person wants it sent, in the place of what is there; the jobs whose objects are made again for that.

    NotFoundError where nothing is asked; PermanentError where a job's result is being encoded just now.
    """
    waiting = _waiting(database, study, destination)
    found = _answer(database, at, study, destination, by, EarlierResultsStatus.SENT_INSTEAD)
    if not any(each.reports for each in found.series):  # nothing to name: they go as they are
        for each in waiting:
            if each.status is DeliveryStatus.HELD:
                deliveries.again(database, at, each.id, by)
        return []
    of_jobs = [each.job for each in waiting if each.job is not None]
    for delivery in waiting:
        why = f"encoded again, as the successor of what {destination} has from before the restore"
        deliveries.stop(database, at, delivery.id, DeliveryStatus.SUPERSEDED, why, by)
    again = [job for job in dict.fromkeys(of_jobs) if jobs.get(database, job).status is JobStatus.REPORTED]
    for job in again:
        jobs.encode_again(database, at, job, by)
    return again


def is_about(database: Database, answer: EarlierResults, delivery: Delivery) -> bool:
    """Whether the job of a delivery was there when a person answered."""
    row = one(database, "SELECT rowid AS n FROM jobs WHERE id=?", [delivery.job])
    return row is not None and answer.up_to is not None and int(row["n"]) <= answer.up_to


def predecessors(database: Database, study: str, destination: str) -> EarlierResults | None:
    """What a result that is encoded now takes the place of there, by a person's answer."""
    found = get(database, study, destination)
    return found if found is not None and found.status is EarlierResultsStatus.SENT_INSTEAD else None


def _answer(
    database: Database, at: datetime, study: str, destination: str, by: str, to: EarlierResultsStatus
) -> EarlierResults:
    found = get(database, study, destination)
    if found is None:
        raise NotFoundError(f"nothing is asked about study {study} at {destination}")
    if found.status not in OPEN:
        raise PermanentError(f"that was answered already, by {found.answered_by}: {found.status}")
    row = one(database, "SELECT max(rowid) AS n FROM jobs WHERE study_instance_uid=?", [study])
    database.execute(
        "UPDATE earlier_results SET status=?, answered_by=?, answered_at=?, up_to=?"
        " WHERE study_instance_uid=? AND destination=?",
        [to, by, to_text(at), row["n"] if row else None, study, destination],
    )
    events.record(database, at, EventKind.RESULTS_ANSWERED, study=study, actor=by, destination=destination, answer=to)
    answered = get(database, study, destination)
    assert answered is not None, "it was there"
    return answered


def _waiting(database: Database, study: str, destination: str) -> list[Delivery]:
    """What the question is about: not what is held for another reason."""
    found = get(database, study, destination)
    question = found.question if found is not None else ""
    return [
        each
        for each in deliveries.results_of_study(database, study)
        if each.destination == destination
        and (
            each.status is DeliveryStatus.WAITING
            or (each.status is DeliveryStatus.HELD and (each.hold or "").startswith(question))
        )
    ]


def _from_row(row: Mapping[str, Any]) -> EarlierResults:
    series = tuple(
        EarlierSeries(**{**each, "reports": tuple(EarlierReport(**report) for report in each["reports"])})
        for each in json.loads(row["series"])
    )
    return EarlierResults(
        **{
            **row,
            "status": EarlierResultsStatus(row["status"]),
            "series": series,
            "asked_at": from_text(row["asked_at"]),
            "answered_at": moment(row["answered_at"]),
        }
    )
