"""Which results of earlier steps a job works on, and whether they are here (`inputs` of a rule's step)."""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger import job_files, jobs
from node.ledger.connection import Database
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.job_files import JobFiles
from node.ledger.rows import one, query

_ENDED = (JobStatus.ENDED, JobStatus.REPORTED, JobStatus.UNREPORTABLE)
_WORKED = (JobOutcome.FINDINGS, JobOutcome.NO_FINDINGS)


@dataclass(frozen=True, slots=True)
class UnusableResult:
    """Why a job cannot work on the result of an earlier step."""

    why: str
    """For the admin, and for the reader of the report."""
    is_not_applicable: bool = False
    """The earlier step says that the images are not what it is for; nothing is wrong."""


def newest(database: Database, job: Job) -> dict[str, Job]:
    """Step → its job that was made last on what `job` is about, of the same rule; those that have an outcome.

    A step that is being run again has none: its end decides again.
    """
    rows = query(
        database,
        "SELECT step, id, max(rowid) FROM jobs WHERE study_instance_uid=? AND rule=? AND subject=? GROUP BY step",
        [job.study_instance_uid, job.rule, job.subject],
    )
    found = (jobs.get(database, row["id"]) for row in rows)
    return {each.step: each for each in found if each.status in _ENDED and each.outcome is not None}


def digest(job: Job) -> str:
    """Of what a later step may take of its result; empty where there is nothing to take."""
    if job.outcome not in _WORKED:
        return ""
    return str((job.found or {}).get("digest", "")) or f"job {job.id}"  # of an earlier release


def unusable(database: Database, job: Job) -> UnusableResult | None:
    """Why the job is not to be run: a result that it works on is none, or is not here any more. None: it may run."""
    for use in job.uses:
        source = jobs.get(database, use.job)
        step = f"the step {source.step}"
        if source.status is JobStatus.CANCELLED:
            return UnusableResult(f"not run: the result of {step} was cancelled ({source.error})")
        if source.outcome is JobOutcome.NOT_APPLICABLE:
            return UnusableResult(f"not run: {step}, whose result it needs, is not for these images", True)
        if source.outcome not in _WORKED:
            return UnusableResult(f"not run: {step}, whose result it needs, failed")
        if _is_withdrawn(database, source):
            return UnusableResult(f"not run: the result of {step} is to be withdrawn")
        if job_files.state(database, source.id) is not JobFiles.HERE:
            return UnusableResult(f"not run: the result of {step} was deleted by retention; run that step again")
    return None


def _is_withdrawn(database: Database, job: Job) -> bool:
    """Whether what was sent of it turned out wrong; one that was sent again under an adopted identity did not."""
    sql = (
        "SELECT 1 FROM deliveries JOIN withdrawals ON withdrawals.delivery=deliveries.id"
        " WHERE deliveries.job=? AND withdrawals.status<>'dismissed' AND NOT EXISTS (SELECT 1 FROM adoptions WHERE"
        " adoptions.study_instance_uid=deliveries.study_instance_uid"
        " AND adoptions.destination=deliveries.destination) LIMIT 1"
    )
    return one(database, sql, [job.id]) is not None


def users(database: Database, job: str) -> list[str]:
    """Jobs that work on the result of this one, oldest first."""
    rows = query(database, "SELECT job FROM job_results WHERE source=? ORDER BY rowid", [job])
    return [row["job"] for row in rows]
