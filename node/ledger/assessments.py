"""What people say of results: one row for each verdict on a job's result as a whole, or on one finding of it.

Rows stay as they are: who changes their mind adds a row that supersedes the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job
from node.ledger.rows import one, query


class Verdict(StrEnum):
    """What somebody says of what an algorithm said."""

    ACCEPT = "accept"
    """It is right."""
    REJECT = "reject"
    """It is wrong."""
    AMEND = "amend"
    """It is right, but for what the reason says."""


class AssessmentSource(StrEnum):
    """Where a verdict was given."""

    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class NewAssessment:
    """A verdict that is given."""

    finding: str | None
    """The Tracking Unique Identifier of the finding; None: the result as a whole."""
    verdict: Verdict
    reason: str
    by: str
    """As an actor: `user:NAME`."""
    role: str
    source: AssessmentSource = AssessmentSource.CONSOLE


@dataclass(frozen=True, slots=True)
class Assessment:
    """One row of `assessments`."""

    id: int
    job: str
    finding: str | None
    """See `NewAssessment`."""
    verdict: Verdict
    reason: str
    """Empty where none was needed."""
    by: str
    role: str
    at: datetime
    source: AssessmentSource
    supersedes: int | None
    """The row of the same person on the same that this one takes the place of."""


def record(database: Database, at: datetime, job: Job, said: NewAssessment) -> Assessment:
    """Keep a verdict, with its event; what the same person said of the same before is superseded."""
    last = newest(database, job.id, said.finding, said.by)
    columns = "job, finding, verdict, reason, by, role, at, source, supersedes"
    values = [job.id, said.finding, said.verdict, said.reason, said.by, said.role, to_text(at), said.source]
    cursor = database.execute(
        f"INSERT INTO assessments ({columns}) VALUES (?,?,?,?,?,?,?,?,?)",  # noqa: S608 - our own columns
        [*values, last.id if last else None],
    )
    events.record(
        database,
        at,
        EventKind.RESULT_ASSESSED,
        study=job.study_instance_uid,
        job=job.id,
        actor=said.by,
        verdict=said.verdict,
        finding=said.finding or "",
    )
    row = one(database, "SELECT * FROM assessments WHERE id=?", [cursor.lastrowid])
    assert row is not None, "it was just made"
    return _of_row(row)


def newest(database: Database, job: str, finding: str | None, by: str) -> Assessment | None:
    """What this person last said of a finding, or of the result as a whole."""
    sql = "SELECT * FROM assessments WHERE job=? AND finding IS ? AND by=? ORDER BY id DESC LIMIT 1"
    row = one(database, sql, [job, finding, by])
    return _of_row(row) if row else None


def of_study(database: Database, study: str) -> list[Assessment]:
    """All verdicts on results of a study, in the order in which they were given."""
    sql = (
        "SELECT assessments.* FROM jobs JOIN assessments ON assessments.job=jobs.id"
        " WHERE jobs.study_instance_uid=? ORDER BY assessments.id"
    )
    return [_of_row(row) for row in query(database, sql, [study])]


def _of_row(row: dict[str, Any]) -> Assessment:
    typed = {"verdict": Verdict(row["verdict"]), "source": AssessmentSource(row["source"]), "at": from_text(row["at"])}
    return Assessment(**{**row, **typed})
