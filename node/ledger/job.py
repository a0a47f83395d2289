"""What a job is: one plugin on one set of instances of one study, as a value; `node.ledger.jobs` has its rows."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import terms as kept_terms
from node.ledger.rows import moment, to_json
from node.ledger.terms import NO_TERMS, Terms

URGENT = 20
"""The priority of what goes before all else."""


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """Waits for its turn, or for `not_before` after a failed attempt."""
    RUNNING = "running"
    """An attempt is open (`node.ledger.attempts`)."""
    ENDED = "ended"
    """Its outcome is recorded, its objects are still to be made."""
    REPORTED = "reported"
    """Its objects are in the outbox, or there is nothing to send."""
    UNREPORTABLE = "unreportable"
    """Its outcome could not be made into DICOM objects of the right patient; a person has to look."""
    CANCELLED = "cancelled"
    """Stopped by a person, a correction or a rejection note."""


_NAMESPACE = uuid.UUID("6c1de0a5-7c6c-5b0e-9d0a-6f6e9f0f7a11")
_OF_OTHER_ROWS = ("attempts", "algorithm", "started_at", "uses")
"""Fields that are no columns of `jobs`."""
COLUMNS = (
    "jobs.*, (SELECT count(*) FROM attempts WHERE job=jobs.id AND counted=1) AS attempts,"
    " (SELECT algorithm FROM attempts WHERE job=jobs.id ORDER BY number DESC LIMIT 1) AS algorithm,"
    " (SELECT started_at FROM attempts WHERE job=jobs.id ORDER BY number DESC LIMIT 1) AS started_at,"
    " (SELECT json_group_array(json_array(name, source, digest)) FROM job_results WHERE job=jobs.id) AS uses"
)
"""What `from_row` needs of each job that is selected."""

OPEN = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.ENDED)


class JobOutcome(StrEnum):
    """How the analysis ended (the words of plugins.contract.ResultStatus)."""

    FINDINGS = "findings"
    NO_FINDINGS = "no_findings"
    NOT_APPLICABLE = "not_applicable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobInput:
    """One chosen series: its role, and the receipts of the chosen instances, in order of arrival."""

    role: str
    series_instance_uid: str
    receipts: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class UsedResult:
    """The result of another job that a job works on."""

    name: str
    """Under which its plugin gets it."""
    job: str
    digest: str
    """Of what it holds; empty where there is nothing to work on, so that the job is not run."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a decision asks for."""

    study_instance_uid: str
    revision: int
    rule: str
    step: str
    subject: str
    """`study`, or the series the step runs on."""
    plugin: str
    parameters: Mapping[str, Any]
    inputs: tuple[JobInput, ...]
    inputs_digest: str
    """See `digest_of`; equal inputs are not run twice."""
    destinations: tuple[str, ...]
    mode: str
    priority: int
    on_correction: str
    images_complete_at: datetime
    asked: str = ""
    """What is asked, for the radiologist: the rule's description."""
    look: int = 0
    """Which look at this revision the decision was taken at (`node.ledger.looks`)."""
    terms: Terms = NO_TERMS
    """On what terms the result is sent."""
    identity: str | None = None
    """What the rule lets the plugin learn of who the patient is; None leaves it to the plugin."""
    images_digest: str | None = None
    """See `images_digest_of`; None where it is not known."""
    uses: tuple[UsedResult, ...] = ()
    """The results of earlier steps that it works on (`node.ledger.job_results`)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of `jobs`."""

    id: str
    decision: int
    study_instance_uid: str
    revision: int
    rule: str
    step: str
    subject: str
    inputs_digest: str
    round: int
    """1, and one more for each time a person had it done again."""
    supersedes: str | None
    """The job whose reported result this one's replaces."""
    plugin: str
    parameters: Mapping[str, Any]
    inputs: tuple[JobInput, ...]
    destinations: tuple[str, ...]
    mode: str
    priority: int
    on_correction: str
    status: JobStatus
    outcome: JobOutcome | None
    attempts: int
    """How many of its attempts count: the rows are in `node.ledger.attempts`."""
    not_before: datetime
    error: str | None
    """Why the last attempt failed, or the job was cancelled or could not be reported."""
    result: str | None
    """Folder of the result, relative to the data folder."""
    answered_by: str | None
    """The attempt whose result was kept; None where there is none, or the node made the result."""
    algorithm: Mapping[str, Any] | None
    """Identity of the algorithm of its last attempt, as the manifest stated it then."""
    images_complete_at: datetime
    asked: str
    """What was asked, for the radiologist: the rule's description then."""
    created_at: datetime
    started_at: datetime | None
    """When its last attempt began."""
    finished_at: datetime | None
    encoded_at: datetime | None
    found: Mapping[str, Any] | None
    """What the result says, as far as a later step of the rule may ask (`node.route.follow_ups`)."""
    followed_up: bool
    """Later steps of the rule have been decided on."""
    look: int
    """Which look at its revision it was decided at; 0: when the study was complete."""
    terms: Terms
    """On what terms its result is sent."""
    identity: str | None
    """See `NewJob`."""
    images_digest: str | None
    """See `NewJob`."""
    uses: tuple[UsedResult, ...] = ()
    """See `NewJob`."""


def digest_of(
    plugin: str,
    parameters: Mapping[str, Any],
    instances: Sequence[tuple[str, str, str]],
    identity: str | None = None,
    uses: Sequence[UsedResult] = (),
) -> str:
    """Digest of what a job works on: `instances` are (role, SOP Instance UID, digest of the dataset)."""
    works_on: dict[str, Any] = {
        "plugin": plugin,
        "parameters": dict(parameters),
        "instances": sorted(instances),
        **({"identity": identity} if identity else {}),
        **({"results": sorted((each.name, each.digest) for each in uses)} if uses else {}),
    }
    content = to_json(works_on)
    return hashlib.sha256(content.encode()).hexdigest()


def images_digest_of(
    plugin: str, parameters: Mapping[str, Any], instances: Sequence[tuple[str, str]], identity: str | None = None
) -> str:
    """Digest of which SOP instances a job works on, however they are encoded: `instances` are (role, UID).

    By it a job is known again whose images were removed and come again.
    """
    return digest_of(plugin, parameters, [(role, uid, "") for role, uid in instances], identity)


def made_of(new: NewJob, at: datetime, decision: int, round_: int, ledger: str) -> Job:
    """The job for what a decision asks for, queued, with nothing done yet; `ledger` is the identity of the ledger."""
    name = to_json([ledger, new.study_instance_uid, new.rule, new.step, new.subject, new.inputs_digest, round_])
    return Job(
        id=str(uuid.uuid5(_NAMESPACE, name)),
        decision=decision,
        round=round_,
        supersedes=None,
        status=JobStatus.QUEUED,
        outcome=None,
        attempts=0,
        not_before=at,
        error=None,
        result=None,
        answered_by=None,
        algorithm=None,
        created_at=at,
        started_at=None,
        finished_at=None,
        encoded_at=None,
        found=None,
        followed_up=False,
        **{field: getattr(new, field) for field in NewJob.__slots__},
    )


def to_row(job: Job) -> dict[str, Any]:
    """A job that was just made, as a row of `jobs`."""
    row = {field: getattr(job, field) for field in Job.__slots__ if field not in _OF_OTHER_ROWS}
    row["parameters"] = to_json(dict(job.parameters))
    row["inputs"] = to_json([[i.role, i.series_instance_uid, list(i.receipts)] for i in job.inputs])
    row["destinations"] = to_json(list(job.destinations))
    row["terms"] = job.terms.to_text()
    for field in ("not_before", "created_at", "images_complete_at"):
        row[field] = to_text(row[field])
    return row


def from_row(row: Mapping[str, Any]) -> Job:
    """A row of `jobs`, with what `COLUMNS` asks of its attempts, as a value."""
    values = {name: row[name] for name in Job.__slots__}
    values["parameters"] = json.loads(row["parameters"])
    values["inputs"] = tuple(JobInput(role, series, tuple(rs)) for role, series, rs in json.loads(row["inputs"]))
    values["destinations"] = tuple(json.loads(row["destinations"]))
    values["found"] = json.loads(row["found"]) if row["found"] else None
    values["followed_up"] = bool(row["followed_up"])
    values["algorithm"] = json.loads(row["algorithm"]) if row["algorithm"] else None
    values["terms"] = kept_terms.from_kept(row["terms"])
    values["uses"] = tuple(sorted(UsedResult(*each) for each in json.loads(row["uses"])))
    values["status"] = JobStatus(row["status"])
    values["outcome"] = JobOutcome(row["outcome"]) if row["outcome"] else None
    for field in ("not_before", "images_complete_at", "created_at"):
        values[field] = from_text(row[field])
    for field in ("started_at", "finished_at", "encoded_at"):
        values[field] = moment(row[field])
    return Job(**values)
