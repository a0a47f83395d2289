"""Whose images a job needs: its own study, and earlier studies that its rule wanted beside it."""

from __future__ import annotations

from enum import StrEnum

from node.ledger.connection import Database
from node.ledger.job import Job
from node.ledger.rows import placeholders, query


class StudyRole(StrEnum):
    """What a study is to a job."""

    OWN = "own"
    """Its result is about this study."""
    EARLIER = "earlier"
    """It is given series of it to compare with."""


def record(database: Database, job: Job) -> None:
    """Put down the studies of a job that is being made: its own, and those of the other series among its inputs."""
    sql = "INSERT INTO job_studies (job, study, role) VALUES (?,?,?)"
    database.execute(sql, [job.id, job.study_instance_uid, StudyRole.OWN])
    for study in _others(database, job):
        database.execute(sql, [job.id, study, StudyRole.EARLIER])


def copy(database: Database, old: str, new: str) -> None:
    """A job that is done again needs the same studies: images that were removed do not say which they were."""
    sql = "INSERT OR IGNORE INTO job_studies (job, study, role) SELECT ?, study, role FROM job_studies WHERE job=?"
    database.execute(sql, [new, old])


def earlier(database: Database, job: str) -> list[str]:
    """The Study Instance UIDs of the earlier studies that a job is given series of."""
    sql = "SELECT study FROM job_studies WHERE job=? AND role=? ORDER BY study"
    rows = query(database, sql, [job, StudyRole.EARLIER])
    return [row["study"] for row in rows]


def _others(database: Database, job: Job) -> list[str]:
    """A series is of one study: its first instance says of which."""
    firsts = [chosen.receipts[0] for chosen in job.inputs if chosen.receipts]
    rows = query(
        database,
        f"SELECT DISTINCT study_instance_uid AS study FROM instances WHERE receipt IN ({placeholders(firsts)})"  # noqa: S608 - only question marks
        " AND study_instance_uid<>? ORDER BY study",
        [*firsts, job.study_instance_uid],
    )
    return [row["study"] for row in rows]
