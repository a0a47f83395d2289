"""Whether the images of a job are here, where retention removed some since it was decided on (`node.ledger.purges`).

An image that was removed and came again has another receipt: the job gets that one. One that is missing is waited for
while an archive is asked, or the job ends as *not run*: nothing is ever run on the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from node.ledger import events, gone_images, instances, job_studies, studies
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobInput, to_row
from node.ledger.rows import one, placeholders, query
from node.ledger.studies import StudyImages, StudyStatus


@dataclass(frozen=True, slots=True)
class JobImages:
    """What became of the images of a job."""

    inputs: tuple[JobInput, ...]
    """Its inputs, with the receipts under which they are here now."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """How many are missing of each study that lacks any."""
    series: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The series of these studies that lack images."""
    forgotten: bool = False
    """Which images it needs is not known any more: their facts were removed, too. No archive can help."""
    settling: bool = False
    """Images of its studies are being removed, or are arriving, just now: ask again when that is over."""


def is_known(database: Database, identity: Sequence[str], images_digest: str | None) -> bool:
    """Whether there is a job on the same SOP instances, of which images were removed since and came again.

    They may be encoded in another way now, and nobody can compare them with what was removed: that runs nothing again.
    `identity`: study, rule, step, subject.
    """
    if images_digest is None:
        return False
    sql = (
        "SELECT 1 FROM jobs WHERE study_instance_uid=? AND rule=? AND step=? AND subject=? AND images_digest=?"
        " AND EXISTS (SELECT 1 FROM job_studies JOIN purges ON purges.study_instance_uid=job_studies.study"
        " WHERE job_studies.job=jobs.id AND NOT purges.corrected)"
    )
    return one(database, sql, [*identity, images_digest]) is not None


def concerned(database: Database, job: str) -> bool:
    """Whether images of any study of the job were ever removed; one quick question for all other jobs."""
    sql = "SELECT 1 FROM job_studies JOIN purges ON purges.study_instance_uid=job_studies.study WHERE job=? LIMIT 1"
    return one(database, sql, [job]) is not None


def look(database: Database, job: Job) -> JobImages:
    """What is here of the images of a job, and what is not."""
    uids = [job.study_instance_uid, *job_studies.earlier(database, job.id)]
    rows = [row for row in (studies.get(database, uid) for uid in uids) if row is not None]
    if any(row.images is StudyImages.PURGING for row in rows):
        return JobImages(job.inputs, settling=True)
    here = instances.known(database, [receipt for chosen in job.inputs for receipt in chosen.receipts])
    inputs: list[JobInput] = []
    missing: dict[str, int] = {}
    lacking: dict[str, set[str]] = {}
    for chosen in job.inputs:
        study = _study_of(database, chosen, uids)
        found, absent = _now(database, study, chosen, here)
        inputs.append(replace(chosen, receipts=tuple(sorted(found))))
        if absent:
            missing[study] = missing.get(study, 0) + absent
            lacking.setdefault(study, set()).add(chosen.series_instance_uid)
    if not all(chosen.receipts for chosen in job.inputs) or gone_images.unknown(database, job.study_instance_uid):
        return JobImages(job.inputs, {job.study_instance_uid: 1}, forgotten=True)
    if (missing or tuple(inputs) != job.inputs) and any(row.status is not StudyStatus.COMPLETE for row in rows):
        return JobImages(job.inputs, settling=True)  # more may come, and what has come has no facts yet
    return JobImages(tuple(inputs), missing, {study: tuple(sorted(each)) for study, each in lacking.items()})


def _study_of(database: Database, chosen: JobInput, uids: list[str]) -> str:
    """A series is of one of the job's studies; of its own, where that is not known any more."""
    among = f"series_instance_uid=? AND study_instance_uid IN ({placeholders(uids)})"
    sql = f"SELECT study_instance_uid AS study FROM series WHERE {among}"  # noqa: S608 - only question marks
    rows = query(database, sql, [chosen.series_instance_uid, *uids])
    return rows[0]["study"] if rows else uids[0]


def _now(database: Database, study: str, chosen: JobInput, here: Collection[str]) -> tuple[list[str], int]:
    """The receipts under which the images of a series are here, and how many are not."""
    found = [receipt for receipt in chosen.receipts if receipt in here]
    gone = [receipt for receipt in chosen.receipts if receipt not in here]
    uids = gone_images.uids_of(database, study, gone) if gone else {}
    absent = 0
    for receipt in gone:
        again = instances.current(database, uids[receipt]) if receipt in uids else None
        if again is None or again.study_instance_uid != study:
            absent += 1
        else:
            found.append(again.receipt)
    return found, absent


def came_again(database: Database, at: datetime, job: Job, inputs: tuple[JobInput, ...]) -> Job:
    """The images of a job that were removed are here again: it works on these, as they are in the newest revision."""
    study = studies.get(database, job.study_instance_uid)
    assert study is not None, job.study_instance_uid
    new = replace(job, inputs=inputs, revision=study.revision, look=0)
    sql = "UPDATE jobs SET inputs=?, revision=?, look=0 WHERE id=?"
    database.execute(sql, [to_row(new)["inputs"], new.revision, job.id])
    events.record(database, at, EventKind.JOB_IMAGES_AGAIN, study=job.study_instance_uid, job=job.id)
    return new
