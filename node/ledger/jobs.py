"""Jobs: one plugin on one set of instances of one study, from queued to reported.

A job's identity is (study, rule, step, subject, digest of inputs and parameters, round), and its id
derives from it and from the ledger's own, so deciding twice makes it once, everything derived from the
id comes out equal, and a new ledger in place of a lost one never repeats the UIDs of the old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from node.clock import to_text
from node.errors import PermanentError
from node.ledger import alerts, attempts, events, job_images, job_studies
from node.ledger.alert_kinds import AlertKind
from node.ledger.attempts import AttemptElsewhere
from node.ledger.connection import Database
from node.ledger.due_times import NEXT, at_next
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.job import COLUMNS, OPEN, Job, JobOutcome, JobStatus, NewJob, from_row, made_of, to_row
from node.ledger.rows import Table, one, placeholders, query, to_json
from node.ledger.unreadable import readable, soonest


def enqueue(
    database: Database, at: datetime, decision: int, new: NewJob, not_before: datetime | None = None
) -> Job | None:
    """Make the job, or return None where one with the same inputs exists already: nothing is run twice.

    It starts at `not_before` at the earliest.
    """
    identity = [new.study_instance_uid, new.rule, new.step, new.subject]
    earlier = one(
        database,
        "SELECT id FROM jobs WHERE study_instance_uid=? AND rule=? AND step=? AND subject=?"
        " ORDER BY rowid DESC",  # the one made last, whatever the clock said when
        identity,
    )
    same = one(
        database,
        "SELECT count(*) AS n FROM jobs"
        " WHERE study_instance_uid=? AND rule=? AND step=? AND subject=? AND inputs_digest=?",
        [*identity, new.inputs_digest],
    )
    assert same is not None, "a count is one row"
    if new.uses:
        known = earlier is not None and _works_on(get(database, earlier["id"]), new)
    else:
        known = same["n"] > 0 or job_images.is_known(database, identity, new.images_digest)
    if known:
        return None
    return _insert(database, at, decision, new, same["n"] + 1, earlier["id"] if earlier else None, not_before)


def _works_on(last: Job, new: NewJob) -> bool:
    """Whether the last job has the same results of earlier steps to work on as the new one, and the same images.

    What an earlier step said before it was done again, it may say again: only the last job counts. One that failed is
    made again where the earlier step was, unless it failed, too.
    """
    if last.inputs_digest != new.inputs_digest:
        return False
    return last.outcome is not JobOutcome.FAILED or last.uses == new.uses or not all(each.digest for each in new.uses)


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
    events.record(database, at, EventKind.JOB_AGAIN, study=old.study_instance_uid, job=job_id, actor=by)
    job = _insert(database, at, old.decision, new, old.round + 1, job_id)
    job_studies.copy(database, old.id, job.id)
    return job


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
    made = made_of(new, at, decision, round_, ledger["id"])
    job = replace(made, supersedes=supersedes, not_before=not_before or at)
    row = to_row(job) | {"put_off_at": to_text(at)}
    sql = f"INSERT INTO jobs ({','.join(row)}) VALUES ({placeholders(row)})"  # noqa: S608 - our own columns
    database.execute(sql, list(row.values()))
    job_studies.record(database, job)
    for use in job.uses:
        sql = "INSERT INTO job_results (job, name, source, digest) VALUES (?,?,?,?)"
        database.execute(sql, [job.id, use.name, use.job, use.digest])
    events.record(
        database,
        at,
        EventKind.JOB_QUEUED,
        study=job.study_instance_uid,
        job=job.id,
        rule=job.rule,
        plugin=job.plugin,
        round=round_,
    )
    return job


def ready(database: Database, at: datetime) -> list[Job]:
    """Jobs whose turn has come, most urgent first.

    None of a study that is held, of a paused plugin or rule, or whose removed images an archive is asked for.
    """
    return _select(
        database,
        "JOIN studies USING (study_instance_uid)"  # noqa: S608 - our own text
        " WHERE jobs.status=? AND not_before<=? AND studies.hold IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM pauses WHERE what='plugin' AND name=jobs.plugin)"
        " AND NOT EXISTS (SELECT 1 FROM pauses WHERE what='rule' AND name=jobs.rule)"
        f" AND {_HAS_ITS_IMAGES}"
        " ORDER BY priority DESC, jobs.rowid",
        [JobStatus.QUEUED, to_text(at)],
    )


_HAS_ITS_IMAGES = "NOT EXISTS (SELECT 1 FROM fetches WHERE fetches.job=jobs.id AND fetches.ended_at IS NULL)"
"""No archive is being asked for removed images of it."""


def next_ready_at(database: Database) -> datetime | None:
    """When the next waiting job's time comes."""
    sql = f"SELECT min(not_before) AS t FROM jobs WHERE status=? AND {_HAS_ITS_IMAGES}"  # noqa: S608 - our own text
    row = one(database, sql, [JobStatus.QUEUED])
    return soonest(row["t"]) if row else None


def started(
    database: Database,
    at: datetime,
    job_id: str,
    algorithm: Mapping[str, Any],
    kind: str | None = None,
    identity: str | None = None,
    elsewhere: AttemptElsewhere | None = None,
) -> Job:
    """An attempt begins: the job is running, and the attempt is counted now, in case it kills us.

    `kind` is how the plugin runs (`Attempt.kind`), `identity` what it learns of who the patient is, `elsewhere` where
    it runs if that is not this machine.
    """
    job = _TABLE.transition(database, job_id, (JobStatus.QUEUED,), JobStatus.RUNNING)
    attempt = attempts.start(database, at, job_id, algorithm, kind, identity, elsewhere)
    events.record(database, at, EventKind.JOB_STARTED, study=job.study_instance_uid, job=job_id, attempt=attempt.number)
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
    job = _TABLE.transition(database, job_id, (JobStatus.RUNNING,), JobStatus.ENDED)
    answer = attempts.settle(database, at, job_id, error)
    database.execute(
        "UPDATE jobs SET outcome=?, result=?, error=?, finished_at=?, found=?, followed_up=0, answered_by=? WHERE id=?",
        [outcome, result, error, to_text(at), to_json(dict(found)) if found else None, answer, job_id],
    )
    severity = Severity.WARNING if outcome is JobOutcome.FAILED else Severity.INFO
    events.record(
        database,
        at,
        EventKind.JOB_ENDED,
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
    attempt = attempts.fail(database, at, job_id, error, counted=True)
    database.execute(f"UPDATE jobs SET error=?, {NEXT} WHERE id=?", [error, *at_next(at, not_before), job_id])  # noqa: S608 - our own text
    events.record(
        database,
        at,
        EventKind.JOB_ATTEMPT_FAILED,
        study=job.study_instance_uid,
        job=job_id,
        attempt=attempt.number,
        error=error,
        not_before=to_text(not_before),
    )


def postponed(database: Database, at: datetime, job_id: str, error: str, not_before: datetime) -> None:
    """The node could not do its part (a full disk, say): the attempt does not count against the plugin."""
    job = _TABLE.transition(database, job_id, (JobStatus.RUNNING,), JobStatus.QUEUED)
    attempts.fail(database, at, job_id, error, counted=False)
    database.execute(f"UPDATE jobs SET error=?, {NEXT} WHERE id=?", [error, *at_next(at, not_before), job_id])  # noqa: S608 - our own text
    alerts.raised(
        database,
        at,
        AlertKind.JOB_POSTPONED,
        job_id,
        study=job.study_instance_uid,
        job=job_id,
        error=error,
        not_before=to_text(not_before),
    )


def interrupted(database: Database, at: datetime, job_id: str, reason: str) -> None:
    """The node was stopped on purpose while it ran: the attempt does not count, and the next start takes it up."""
    job = _TABLE.transition(database, job_id, (JobStatus.RUNNING,), JobStatus.QUEUED)
    attempts.cancel(database, at, job_id, reason, counted=False)
    database.execute(f"UPDATE jobs SET {NEXT} WHERE id=?", [*at_next(at, at), job_id])  # noqa: S608 - our own text
    events.record(database, at, EventKind.JOB_INTERRUPTED, study=job.study_instance_uid, job=job_id, reason=reason)


def encode_again(database: Database, at: datetime, job_id: str, by: str) -> None:
    """Make its objects again for the destinations that have none of them any more (`node.results.stage`)."""
    job = _TABLE.transition(database, job_id, (JobStatus.REPORTED,), JobStatus.ENDED)
    events.record(database, at, EventKind.JOB_ENCODED_AGAIN, study=job.study_instance_uid, job=job_id, actor=by)


def outside_hours(database: Database, at: datetime, job_id: str, not_before: datetime) -> None:
    """Its turn has come at a time at which its rule lets no job start."""
    job = _TABLE.transition(database, job_id, (JobStatus.QUEUED,), JobStatus.QUEUED)
    database.execute(f"UPDATE jobs SET {NEXT} WHERE id=?", [*at_next(at, not_before), job_id])  # noqa: S608 - our own text
    events.record(
        database,
        at,
        EventKind.JOB_OUTSIDE_HOURS,
        study=job.study_instance_uid,
        job=job_id,
        not_before=to_text(not_before),
    )


def encoding(database: Database, at: datetime, job_id: str) -> bool:
    """Its objects are being made from now on; false where it was cancelled or reported meanwhile."""
    job = get(database, job_id)
    if job.status is not JobStatus.ENDED:
        return False
    events.record(database, at, EventKind.JOB_ENCODING, study=job.study_instance_uid, job=job_id)
    return True


def refused(database: Database, at: datetime, job_id: str, error: str) -> None:
    """Its result could not be reported as it is: it counts as failed, and a report that says so takes its place."""
    job = _TABLE.transition(database, job_id, (JobStatus.ENDED,), JobStatus.ENDED)
    database.execute("UPDATE jobs SET outcome=?, error=? WHERE id=?", [JobOutcome.FAILED, error, job_id])
    alerts.raised(
        database,
        at,
        AlertKind.JOB_REFUSED,
        job_id,
        study=job.study_instance_uid,
        job=job_id,
        error=error,
    )


def refused_for(database: Database, at: datetime, job: Job, refusals: Mapping[str, str]) -> None:
    """Some of its destinations get no report of its result, for these reasons; the others do, so it has not failed."""
    alerts.raised(
        database,
        at,
        AlertKind.JOB_REFUSED_FOR,
        job.id,
        study=job.study_instance_uid,
        job=job.id,
        destinations=", ".join(refusals),
        error="; ".join(dict.fromkeys(refusals.values())),
    )


def reported(database: Database, at: datetime, job_id: str, objects: int) -> None:
    """Its objects, as many as that, are in the outbox."""
    job = _TABLE.transition(database, job_id, (JobStatus.ENDED,), JobStatus.REPORTED)
    database.execute("UPDATE jobs SET encoded_at=? WHERE id=?", [to_text(at), job_id])
    events.record(database, at, EventKind.JOB_REPORTED, study=job.study_instance_uid, job=job_id, objects=objects)


def unreportable(database: Database, at: datetime, job_id: str, error: str) -> None:
    """Nothing can be sent for it: the reason is for a person, at once."""
    job = _TABLE.transition(database, job_id, (JobStatus.ENDED,), JobStatus.UNREPORTABLE)
    database.execute("UPDATE jobs SET error=?, encoded_at=? WHERE id=?", [error, to_text(at), job_id])
    alerts.raised(
        database,
        at,
        AlertKind.JOB_UNREPORTABLE,
        job_id,
        study=job.study_instance_uid,
        job=job_id,
        error=error,
    )


def cancel(database: Database, at: datetime, job_id: str, reason: str, by: str = events.NODE) -> Job:
    """Stop it, whether it waits, runs or has ended unreported; PermanentError where it is over."""
    job = _TABLE.transition(database, job_id, OPEN, JobStatus.CANCELLED)
    if job.status is JobStatus.RUNNING:
        attempts.cancel(database, at, job_id, reason, counted=True)
    database.execute(
        "UPDATE jobs SET error=?, finished_at=coalesce(finished_at, ?) WHERE id=?", [reason, to_text(at), job_id]
    )
    events.record(
        database, at, EventKind.JOB_CANCELLED, study=job.study_instance_uid, job=job_id, actor=by, reason=reason
    )
    return replace(job, status=JobStatus.CANCELLED, error=reason)


def of_study(database: Database, study: str) -> list[Job]:
    """Jobs of a study, oldest first."""
    return _select(database, "WHERE study_instance_uid=? ORDER BY rowid", [study])


def comparing_with(database: Database, study: str) -> list[Job]:
    """Jobs of other studies that were given series of this one to compare with, oldest first."""
    return _select(
        database,
        "JOIN job_studies ON job_studies.job=jobs.id WHERE job_studies.study=? AND role=? ORDER BY jobs.rowid",
        [study, job_studies.StudyRole.EARLIER],
    )


def counts(database: Database) -> dict[JobStatus, int]:
    """How many jobs are in each state."""
    return _TABLE.counts(database)


def matching(database: Database, prefix: str) -> list[Job]:
    """Jobs whose id begins with `prefix`."""
    return _select(database, "WHERE substr(id, 1, ?)=? ORDER BY rowid", [len(prefix), prefix])


def troubled(database: Database, limit: int) -> list[Job]:
    """Jobs that failed or could not be reported, newest first; those done again since are left out."""
    return _select(
        database,
        # the first condition as the partial index is written
        "WHERE (status='unreportable' OR outcome='failed') AND status<>?"
        " AND id NOT IN (SELECT supersedes FROM jobs WHERE supersedes IS NOT NULL)"
        " ORDER BY finished_at DESC LIMIT ?",
        [JobStatus.CANCELLED, limit],
    )


def get(database: Database, job_id: str) -> Job:
    """The job of this id; NotFoundError where there is none."""
    return _TABLE.get(database, job_id)


def _select(database: Database, which: str, parameters: Sequence[Any]) -> list[Job]:
    """Jobs; `which` is what comes after FROM jobs."""
    rows = query(database, f"SELECT {COLUMNS} FROM jobs {which}", parameters)  # noqa: S608 - our own columns
    return readable(database, "jobs", rows, from_row)


_TABLE = Table("jobs", "job", JobStatus, from_row, COLUMNS)
