"""What a withdrawn version has done: its jobs are stopped, what was not sent is held, what was sent is listed.

A job that was queued, or whose result was not reported yet, must not end in silence, which looks like a negative. One
that is queued stays so: the stage `run` ends it as not analysed (`node.run.stopped`), or runs it where another version
is installed by then. One that runs, or has ended unreported, is cancelled and queued again, and ends in the same way.

A job at a time, so that a command that was killed is continued by whoever comes next: the same command, or the node.
Results of later steps that were decided by what the version said are stopped and listed, too, and are marked (`rests`):
they are another plugin's, so a person decides on them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.ledger import deliveries, events, holding, jobs, notices, notifications, recalls, withdrawals
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.job import OPEN, Job
from node.ledger.plugin_names import key_of, sql_key
from node.ledger.recalls import Recall
from node.ledger.rows import one, query

_SAID = (
    f"{sql_key('{job}.plugin')}=:plugin AND json_extract(attempts.algorithm, '$.version')=:version"
    " AND coalesce(attempts.failure, '')<>'stopped'"  # that is the node's own answer: nothing of the version ran
)
_CONCERNED = (
    "WITH concerned AS (SELECT id, min(rests) AS rests FROM ("  # noqa: S608 - our own text
    "SELECT jobs.id, 0 AS rests FROM jobs JOIN attempts ON attempts.id=jobs.answered_by"
    f" WHERE {_SAID.format(job='jobs')}"
    " UNION ALL SELECT jobs.id, 0 FROM jobs JOIN attempts ON attempts.job=jobs.id AND attempts.ended_at IS NULL"
    f" WHERE {_SAID.format(job='jobs')}"
    " UNION ALL SELECT later.id, 1 FROM jobs AS earlier JOIN attempts ON attempts.id=earlier.answered_by"
    " JOIN jobs AS later ON later.study_instance_uid=earlier.study_instance_uid AND later.decision=earlier.decision"
    " AND later.step<>earlier.step AND later.created_at>=earlier.finished_at"
    f" WHERE {_SAID.format(job='earlier')}"
    ") GROUP BY id)"
)
"""Jobs that the version answered or is running; and later steps that it was the ground of (`rests`)."""
_TO_STOP = (
    "EXISTS (SELECT 1 FROM deliveries WHERE deliveries.job={job} AND kind='object' AND ("
    "status IN ('waiting', 'refused') OR (status='sending' AND hold IS NULL)"
    " OR (status='delivered' AND NOT EXISTS (SELECT 1 FROM withdrawals"
    " WHERE delivery=deliveries.id AND (recall=:recall OR status='done')))))"
)


@dataclass(frozen=True, slots=True)
class RecallSurvey:
    """What a withdrawal concerns: how much of it is where."""

    to_stop: int
    """Jobs that are queued, running or not reported yet: no result of the version comes of them."""
    to_hold: int
    """Objects that are not delivered."""
    stopped: int
    """Jobs that the withdrawal has stopped in the midst."""
    not_analysed: int
    """Jobs that ended as not analysed because of it, and were not done again since."""
    cancelled: int
    """Jobs of later steps that it has cancelled."""
    held: int
    """Objects that it holds."""


@dataclass(frozen=True, slots=True)
class RecalledResult:
    """One object that a destination has."""

    accession_number: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    destination: str
    sent_at: str
    """UTC, ISO 8601."""
    job: str
    rule: str
    finding: str
    """What the result says, in words."""
    rests: bool
    """It is another plugin's, decided by what the withdrawn version said."""
    status: str
    """Of its withdrawal (`withdrawals.WithdrawalStatus`); empty before it is listed."""
    note: str
    """SOP Instance UID of the rejection note that names it; empty where there is none."""


def carry_out(ledger: Ledger, recall: Recall, at: datetime) -> int:
    """Stop and list all that is left, a few jobs in each transaction; how many jobs that were.

    What is being sent just now is listed by the next call, when it has arrived.
    """
    whole = recall.listed_at is None
    left = _left(ledger.database, recall) if whole else _late(ledger.database, recall)

    def settle(database: Database, each: tuple[str, bool]) -> None:
        if recalls.get(database, recall.id).ended_at is None:
            _stop(database, at, recall, *each)

    ledger.settle_each(left, settle)
    if whole:
        with ledger.transaction() as database:
            recalls.all_listed(database, at, recall)
    return len(left)


def is_left(database: Database, recall: Recall) -> bool:
    """Whether `carry_out` would do something."""
    return recall.listed_at is None or bool(_late(database, recall))


def survey(database: Database, recall: Recall, *, installed: bool) -> RecallSurvey:
    """How much there is; of a `recall` that is not in the ledger (number 0): how much there would be.

    `installed`: the configuration has this version, so jobs that are queued would be run by it.
    """
    row = one(
        database,
        f"{_CONCERNED} SELECT"  # noqa: S608 - our own text
        " (SELECT count(*) FROM jobs WHERE (status='queued' AND :installed"
        f" AND {sql_key('plugin')}=:plugin) OR (status IN ('queued', 'running', 'ended')"
        " AND id IN (SELECT id FROM concerned))) AS to_stop,"
        " (SELECT count(*) FROM concerned JOIN deliveries ON deliveries.job=concerned.id"
        "  WHERE deliveries.status IN ('waiting', 'sending', 'refused')) AS to_hold,"
        " (SELECT count(*) FROM recalled_jobs JOIN jobs ON jobs.id=job WHERE recall=:recall AND rests=0"
        "  AND status='cancelled') AS stopped,"
        " (SELECT count(*) FROM jobs WHERE (status='unreportable' OR outcome='failed') AND error=:not_analysed"
        "  AND NOT EXISTS (SELECT 1 FROM jobs AS later WHERE later.supersedes=jobs.id)) AS not_analysed,"
        " (SELECT count(*) FROM recalled_jobs JOIN jobs ON jobs.id=job WHERE recall=:recall AND rests=1"
        "  AND status='cancelled') AS cancelled,"
        " (SELECT count(*) FROM recalled_jobs JOIN deliveries USING (job) WHERE recall=:recall"
        "  AND deliveries.status='held') AS held",
        {**_values(recall), "installed": int(installed), "not_analysed": recall.not_analysed},
    )
    assert row is not None, "counts are one row"
    return RecallSurvey(**row)


def delivered(database: Database, recall: Recall) -> list[RecalledResult]:
    """What destinations have of it, in the order in which it was sent."""
    rows = query(
        database,
        f"{_CONCERNED} SELECT deliveries.item, deliveries.sop_class_uid, deliveries.destination, deliveries.sent_at,"  # noqa: S608 - our own text
        " jobs.id AS job, jobs.rule, jobs.outcome, jobs.found, jobs.study_instance_uid, concerned.rests,"
        " coalesce(accession_number, '') AS accession_number, coalesce(series_instance_uid, '') AS series,"
        " coalesce(withdrawals.status, '') AS status, coalesce(note.item, '') AS note"
        " FROM concerned JOIN jobs USING (id) JOIN deliveries ON deliveries.job=jobs.id AND deliveries.kind='object'"
        " LEFT JOIN studies ON studies.study_instance_uid=jobs.study_instance_uid"
        " LEFT JOIN objects ON objects.sop_instance_uid=deliveries.item"
        " LEFT JOIN withdrawals ON withdrawals.id=(SELECT max(id) FROM withdrawals AS listed"
        "  WHERE listed.delivery=deliveries.id)"
        " LEFT JOIN deliveries AS note ON note.id=withdrawals.note"
        " WHERE deliveries.status='delivered' ORDER BY deliveries.sent_at, deliveries.id",
        _values(recall),
    )
    return [_result(row) for row in rows]


def _values(recall: Recall) -> dict[str, Any]:
    return {
        "plugin": key_of(recall.plugin),
        "version": recall.version,
        "recall": recall.id,
    }


def _left(database: Database, recall: Recall) -> list[tuple[str, bool]]:
    rows = query(
        database,
        f"{_CONCERNED} SELECT concerned.id, concerned.rests FROM concerned LEFT JOIN recalled_jobs"  # noqa: S608 - our own text
        " ON recalled_jobs.job=concerned.id AND recall=:recall"
        f" WHERE recalled_jobs.job IS NULL OR {_TO_STOP.format(job='concerned.id')}",
        _values(recall),
    )
    return [(row["id"], bool(row["rests"])) for row in rows]


def _late(database: Database, recall: Recall) -> list[tuple[str, bool]]:
    """Jobs that were stopped, of which something has been sent or encoded since."""
    rows = query(
        database,
        "SELECT job, rests FROM recalled_jobs JOIN jobs ON jobs.id=job WHERE recall=:recall"  # noqa: S608 - our own text
        f" AND (jobs.status='ended' OR {_TO_STOP.format(job='recalled_jobs.job')})",
        {"recall": recall.id},
    )
    return [(row["job"], bool(row["rests"])) for row in rows]


def _stop(database: Database, at: datetime, recall: Recall, job_id: str, rests: bool) -> None:
    """One job and its result."""
    job = jobs.get(database, job_id)
    why = f"rests on a result that does not stand: {recall.sentence}" if rests else recall.sentence
    if was_open := job.status in OPEN:
        jobs.cancel(database, at, job.id, why, recall.by)
        if not rests:
            jobs.again(database, at, job.id, recall.by)
    if job.outcome is not None:
        notices.withdraw(database, at, [job], why)
    notifications.cancel_about(database, at, job.study_instance_uid, why, {job.id})
    held, listed = _stop_deliveries(database, at, recall, job, why)
    database.execute("INSERT OR IGNORE INTO recalled_jobs VALUES (?,?,?)", [recall.id, job.id, int(rests)])
    if was_open or held or listed:
        events.record(
            database,
            at,
            EventKind.JOB_WITHDRAWN,
            study=job.study_instance_uid,
            job=job.id,
            actor=recall.by,
            plugin=recall.plugin,
            version=recall.version,
            reason=why,
            held=held or None,
            to_withdraw=listed or None,
        )


def _stop_deliveries(database: Database, at: datetime, recall: Recall, job: Job, why: str) -> tuple[int, int]:
    """How many of its objects are held from now on, and how many are listed for withdrawal."""
    there = [each for each in deliveries.of_job(database, job.id) if not each.is_image]
    for each in there:
        if each.status is DeliveryStatus.WITHHELD:
            deliveries.stop(database, at, each.id, DeliveryStatus.CANCELLED, why, recall.by)
    to_hold = [each for each in there if each.status in deliveries.MAY_BE_HELD and each.hold is None]
    holding.hold_all(database, at, to_hold, why, tell=False)
    sent = [each for each in there if each.status is DeliveryStatus.DELIVERED]
    return len(to_hold), withdrawals.recall(database, at, sent, recall.id, why, recall.by)


def _result(row: dict[str, Any]) -> RecalledResult:
    return RecalledResult(
        accession_number=row["accession_number"],
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series"],
        sop_instance_uid=row["item"],
        sop_class_uid=row["sop_class_uid"],
        destination=row["destination"],
        sent_at=row["sent_at"] or "",
        job=row["job"],
        rule=row["rule"],
        finding=_in_words(row["outcome"], json.loads(row["found"]) if row["found"] else {}),
        rests=bool(row["rests"]),
        status=row["status"],
        note=row["note"],
    )


def _in_words(outcome: str | None, found: dict[str, Any]) -> str:
    """`Nodule: present; Effusion: absent`; the outcome where it has no findings."""
    findings: Sequence[dict[str, Any]] = found.get("findings", ())
    said = [f"{each['code'][2]}: {'present' if each['present'] else 'absent'}" for each in findings]
    return "; ".join(dict.fromkeys(said)) or (outcome or "").replace("_", " ")
