"""Jobs: one plugin on one set of instances of one study, from queued to reported.

A job's identity is (study, rule, step, subject, digest of inputs and parameters, round), and its id
derives from it and from the ledger's own, so deciding twice makes it once, everything derived from the
id comes out equal, and a new ledger in place of a lost one never repeats the UIDs of the old one.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from node.clock import from_text, to_text
from node.errors import PermanentError
from node.ledger import events
from node.ledger.events import Severity
from node.ledger.job import OPEN, Job, JobOutcome, JobStatus, NewJob, from_row
from node.ledger.rows import Table, moment, one, query, to_json

_NAMESPACE = uuid.UUID("6c1de0a5-7c6c-5b0e-9d0a-6f6e9f0f7a11")


def enqueue(
    database: Database, at: datetime, decision: int, new: NewJob, not_before: datetime | None = None
) -> Job | None:
    """Make the job, or return None where one with the same inputs exists already: nothing is run twice.

    It starts at `not_before` at the earliest.
    """
    identity = [new.study_instance_uid, new.rule, new.step, new.subject]
    same = one(
        database,
        "SELECT id FROM jobs WHERE study_instance_uid=? AND rule=? AND step=? AND subject=? AND inputs_digest=?",
        [*identity, new.inputs_digest],
    )
    if same:
        return None
    earlier = one(
        database,
        "SELECT id FROM jobs WHERE study_instance_uid=? AND rule=? AND step=? AND subject=?"
        " ORDER BY rowid DESC",  # the one made last, whatever the clock said when
        identity,
    )
    return _insert(database, at, decision, new, 1, earlier["id"] if earlier else None, not_before)


def again(database: Database, at: datetime, job_id: str, by: str) -> Job:
    """Have an ended job done again: a new round, which names the one that it supersedes.

    Raises NotFoundError, and PermanentError where the job has not ended or has been done again already.
    """
    old = get(database, job_id)
    if old.status in OPEN:
        raise PermanentError(f"job {job_id} is {old.status}: only one that is over can be done again; cancel it first")
    newest = one(
        database,
        "SELECT id, round FROM jobs WHERE study_instance_uid=? AND rule=? AND step=? AND subject=? AND inputs_digest=?"
        " ORDER BY round DESC",
        [old.study_instance_uid, old.rule, old.step, old.subject, old.inputs_digest],
    )
    assert newest is not None, job_id
    if newest["id"] != job_id:
        raise PermanentError(f"job {job_id} has been done again already, as job {newest['id']}")
    new = NewJob(**{name: getattr(old, name) for name in NewJob.__slots__})
    new = replace(
        new, terms=replace(old.terms, expires_at=None, hours=None)
    )  # whoever asks for it wants it now, however late
    events.record(database, at, "job.again", study=old.study_instance_uid, job=job_id, by=by)
    return _insert(database, at, old.decision, new, old.round + 1, job_id)


def _insert(
    database: Database,
    at: datetime,
    decision: int,
    new: NewJob,
    round_: int,
    supersedes: str | None,
    not_before: datetime | None = None,
) -> Job:
    ledger = one(database, "SELECT id FROM ledger")
    assert ledger is not None, "the first migration makes it"
    name = to_json([ledger["id"], new.study_instance_uid, new.rule, new.step, new.subject, new.inputs_digest, round_])
    job = Job(
        id=str(uuid.uuid5(_NAMESPACE, name)),
        decision=decision,
        round=round_,
        supersedes=supersedes,
        status=JobStatus.QUEUED,
        outcome=None,
        attempts=0,
        not_before=not_before or at,
        error=None,
        result=None,
        algorithm=None,
        created_at=at,
        started_at=None,
        finished_at=None,
        encoded_at=None,
        found=None,
        followed_up=False,
        **{field: getattr(new, field) for field in NewJob.__slots__},
    )
    row = {field: getattr(job, field) for field in Job.__slots__}
    row["parameters"] = to_json(dict(job.parameters))
    row["inputs"] = to_json([[i.role, i.series_instance_uid, list(i.receipts)] for i in job.inputs])
    row["destinations"] = to_json(list(job.destinations))
    row["terms"] = job.terms.to_text()
    for field in ("not_before", "created_at", "images_complete_at"):
        row[field] = to_text(row[field])
    sql = f"INSERT INTO jobs ({','.join(row)}) VALUES ({','.join('?' for _ in row)})"  # noqa: S608 - our own columns
    database.execute(sql, list(row.values()))
    events.record(
        database,
        at,
        "job.queued",
        study=job.study_instance_uid,
        job=job.id,
        rule=job.rule,
        plugin=job.plugin,
        round=round_,
    )
    return job


def ready(database: Database, at: datetime) -> list[Job]:
    """Jobs whose turn has come, most urgent first; none of a study that is held."""
    rows = query(
        database,
        "SELECT jobs.* FROM jobs JOIN studies USING (study_instance_uid)"
        " WHERE jobs.status=? AND not_before<=? AND studies.hold IS NULL ORDER BY priority DESC, jobs.rowid",
        [JobStatus.QUEUED, to_text(at)],
    )
    return [from_row(row) for row in rows]


def next_ready_at(database: Database) -> datetime | None:
    """When the next waiting job's time comes."""
    row = one(database, "SELECT min(not_before) AS t FROM jobs WHERE status=?", [JobStatus.QUEUED])
    return moment(row["t"]) if row else None


def started(database: Database, at: datetime, job_id: str, algorithm: Mapping[str, Any]) -> Job:
    """An attempt begins: the job is running, and the attempt is counted now, in case it kills us."""
    job = _TABLE.transition(database, job_id, (JobStatus.QUEUED,), JobStatus.RUNNING)
    database.execute(
        "UPDATE jobs SET attempts=attempts+1, started_at=?, algorithm=? WHERE id=?",
        [to_text(at), to_json(dict(algorithm)), job_id],
    )
    events.record(database, at, "job.started", study=job.study_instance_uid, job=job_id, attempt=job.attempts + 1)
    return get(database, job_id)


def ended(
    database: Database,
    at: datetime,
    job_id: str,
    outcome: JobOutcome,
    result: str,
    error: str | None = None,
    found: Mapping[str, Any] | None = None,
) -> Job:
    """The outcome is known for good; `result` is the folder that holds it, durable already."""
    job = _TABLE.transition(database, job_id, (JobStatus.RUNNING, JobStatus.QUEUED), JobStatus.ENDED)
    database.execute(
        "UPDATE jobs SET outcome=?, result=?, error=?, finished_at=?, found=?, followed_up=0 WHERE id=?",
        [outcome, result, error, to_text(at), to_json(dict(found)) if found else None, job_id],
    )
    severity = Severity.WARNING if outcome is JobOutcome.FAILED else Severity.INFO
    events.record(
        database,
        at,
        "job.ended",
        study=job.study_instance_uid,
        job=job_id,
        severity=severity,
        outcome=outcome,
        error=error,
    )
    return get(database, job_id)


def try_again(database: Database, at: datetime, job_id: str, error: str, not_before: datetime) -> None:
    """The attempt failed, and there is another one."""
    job = _TABLE.transition(database, job_id, (JobStatus.RUNNING,), JobStatus.QUEUED)
    database.execute("UPDATE jobs SET error=?, not_before=? WHERE id=?", [error, to_text(not_before), job_id])
    events.record(
        database,
        at,
        "job.attempt-failed",
        study=job.study_instance_uid,
        job=job_id,
        severity=Severity.WARNING,
        attempt=job.attempts,
        error=error,
        not_before=to_text(not_before),
    )


def postponed(database: Database, at: datetime, job_id: str, error: str, not_before: datetime) -> None:
    """The node could not do its part (a full disk, say): the attempt does not count against the plugin."""
    job = _TABLE.transition(database, job_id, (JobStatus.RUNNING,), JobStatus.QUEUED)
    database.execute(
        "UPDATE jobs SET attempts=attempts-1, error=?, not_before=? WHERE id=?", [error, to_text(not_before), job_id]
    )
    events.record(
        database,
        at,
        "job.postponed",
        study=job.study_instance_uid,
        job=job_id,
        severity=Severity.ALERT,
        error=error,
        not_before=to_text(not_before),
    )


def outside_hours(database: Database, at: datetime, job_id: str, not_before: datetime) -> None:
    """Its turn has come at a time at which its rule lets no job start."""
    job = _TABLE.transition(database, job_id, (JobStatus.QUEUED,), JobStatus.QUEUED)
    database.execute("UPDATE jobs SET not_before=? WHERE id=?", [to_text(not_before), job_id])
    events.record(
        database, at, "job.outside-hours", study=job.study_instance_uid, job=job_id, not_before=to_text(not_before)
    )


def postponements(database: Database, job_id: str) -> int:
    """How often it has been postponed."""
    row = one(
        database,
        "SELECT count(*) AS n FROM events WHERE kind='job.postponed' AND job=:job"
        " AND study_instance_uid=(SELECT study_instance_uid FROM jobs WHERE id=:job)",
        {"job": job_id},
    )
    return int(row["n"]) if row else 0


def interrupted(database: Database, at: datetime, job_id: str, reason: str) -> None:
    """The node was stopped on purpose while it ran: the attempt does not count, and the next start takes it up."""
    job = _TABLE.transition(database, job_id, (JobStatus.RUNNING,), JobStatus.QUEUED)
    database.execute("UPDATE jobs SET attempts=attempts-1, not_before=? WHERE id=?", [to_text(at), job_id])
    events.record(database, at, "job.interrupted", study=job.study_instance_uid, job=job_id, reason=reason)


def encoding(database: Database, at: datetime, job_id: str) -> bool:
    """Its objects are being made from now on; false where it was cancelled or reported meanwhile."""
    job = get(database, job_id)
    if job.status is not JobStatus.ENDED:
        return False
    events.record(database, at, "job.encoding", study=job.study_instance_uid, job=job_id)
    return True


def being_encoded(database: Database) -> list[tuple[Job, datetime]]:
    """Jobs whose objects are being made, and since when; the longest first. Not those that wait for their next try."""
    rows = query(
        database,
        "SELECT jobs.*, max(events.at) AS since FROM jobs"
        " JOIN events ON events.study_instance_uid=jobs.study_instance_uid AND events.job=jobs.id"
        " WHERE jobs.status=? AND events.kind='job.encoding'"
        " AND NOT EXISTS (SELECT 1 FROM defects WHERE defects.job=jobs.id AND defects.stage='results')"
        " GROUP BY jobs.id ORDER BY since",
        [JobStatus.ENDED],
    )
    return [(from_row({name: row[name] for name in Job.__slots__}), from_text(row["since"])) for row in rows]


def refused(database: Database, at: datetime, job_id: str, error: str) -> None:
    """Its result could not be reported as it is: it counts as failed, and a report that says so takes its place."""
    job = _TABLE.transition(database, job_id, (JobStatus.ENDED,), JobStatus.ENDED)
    database.execute("UPDATE jobs SET outcome=?, error=? WHERE id=?", [JobOutcome.FAILED, error, job_id])
    events.record(
        database,
        at,
        "job.refused",
        study=job.study_instance_uid,
        job=job_id,
        severity=Severity.ALERT,
        error=error,
    )


def refused_for(database: Database, at: datetime, job: Job, refusals: Mapping[str, str]) -> None:
    """Some of its destinations get no report of its result, for these reasons; the others do, so it has not failed."""
    events.record(
        database,
        at,
        "job.refused-for",
        study=job.study_instance_uid,
        job=job.id,
        severity=Severity.ALERT,
        destinations=", ".join(refusals),
        error="; ".join(dict.fromkeys(refusals.values())),
    )


def reported(database: Database, at: datetime, job_id: str, objects: int) -> None:
    """Its objects, as many as that, are in the outbox."""
    job = _TABLE.transition(database, job_id, (JobStatus.ENDED,), JobStatus.REPORTED)
    database.execute("UPDATE jobs SET encoded_at=? WHERE id=?", [to_text(at), job_id])
    events.record(database, at, "job.reported", study=job.study_instance_uid, job=job_id, objects=objects)


def unreportable(database: Database, at: datetime, job_id: str, error: str) -> None:
    """Nothing can be sent for it: the reason is for a person, at once."""
    job = _TABLE.transition(database, job_id, (JobStatus.ENDED,), JobStatus.UNREPORTABLE)
    database.execute("UPDATE jobs SET error=?, encoded_at=? WHERE id=?", [error, to_text(at), job_id])
    events.record(
        database, at, "job.unreportable", study=job.study_instance_uid, job=job_id, severity=Severity.ALERT, error=error
    )


def cancel(database: Database, at: datetime, job_id: str, reason: str) -> Job:
    """Stop it, whether it waits, runs or has ended unreported; PermanentError where it is over."""
    job = _TABLE.transition(database, job_id, OPEN, JobStatus.CANCELLED)
    database.execute(
        "UPDATE jobs SET error=?, finished_at=coalesce(finished_at, ?) WHERE id=?", [reason, to_text(at), job_id]
    )
    events.record(database, at, "job.cancelled", study=job.study_instance_uid, job=job_id, reason=reason)
    return replace(job, status=JobStatus.CANCELLED, error=reason)


def running(database: Database) -> list[Job]:
    """Jobs with an attempt under way; at start, those that the node died on."""
    return _by_status(database, JobStatus.RUNNING)


def unreported(database: Database) -> list[Job]:
    """Jobs whose objects are still to be made, oldest outcome first; none of a study that is held."""
    rows = query(
        database,
        "SELECT jobs.* FROM jobs JOIN studies USING (study_instance_uid)"
        " WHERE jobs.status=? AND studies.hold IS NULL ORDER BY priority DESC, finished_at",
        [JobStatus.ENDED],
    )
    return [from_row(row) for row in rows]


def results_to_encode(database: Database) -> list[str]:
    """The folders of results whose objects are still to be made, relative to the data folder."""
    rows = query(
        database, "SELECT result FROM jobs WHERE status=? AND result IS NOT NULL ORDER BY rowid", [JobStatus.ENDED]
    )
    return [row["result"] for row in rows]


def of_study(database: Database, study: str) -> list[Job]:
    """Jobs of a study, oldest first."""
    return [
        from_row(row)
        for row in query(database, "SELECT * FROM jobs WHERE study_instance_uid=? ORDER BY rowid", [study])
    ]


def mean_seconds(database: Database) -> dict[str, float]:
    """Plugin → how long its jobs took on average, last attempts only; nothing for one that never ran to an end."""
    rows = query(
        database,
        "SELECT plugin, avg(julianday(finished_at)-julianday(started_at))*86400 AS seconds FROM jobs"
        " WHERE started_at IS NOT NULL AND finished_at IS NOT NULL GROUP BY plugin",
        [],
    )
    return {row["plugin"]: float(row["seconds"]) for row in rows}


def counts(database: Database) -> dict[JobStatus, int]:
    """How many jobs are in each state."""
    return _TABLE.counts(database)


def matching(database: Database, prefix: str) -> list[Job]:
    """Jobs whose id begins with `prefix`."""
    rows = query(database, "SELECT * FROM jobs WHERE substr(id, 1, ?)=? ORDER BY rowid", [len(prefix), prefix])
    return [from_row(row) for row in rows]


def troubled(database: Database, limit: int) -> list[Job]:
    """Jobs that failed or could not be reported, newest first; those done again since are left out."""
    rows = query(
        database,
        # the first condition as the partial index is written
        "SELECT * FROM jobs WHERE (status='unreportable' OR outcome='failed') AND status<>?"
        " AND id NOT IN (SELECT supersedes FROM jobs WHERE supersedes IS NOT NULL)"
        " ORDER BY finished_at DESC LIMIT ?",
        [JobStatus.CANCELLED, limit],
    )
    return [from_row(row) for row in rows]


def get(database: Database, job_id: str) -> Job:
    """The job of this id; NotFoundError where there is none."""
    return _TABLE.get(database, job_id)


def _by_status(database: Database, status: JobStatus) -> list[Job]:
    return [from_row(row) for row in query(database, "SELECT * FROM jobs WHERE status=? ORDER BY rowid", [status])]


_TABLE = Table("jobs", "job", JobStatus, from_row)
