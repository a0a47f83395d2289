"""What a job is: one plugin on one set of instances of one study, as a value; `node.ledger.jobs` has its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text
from node.ledger import terms as kept_terms
from node.ledger.rows import moment, to_json
from node.ledger.terms import NO_TERMS, Terms


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """Waits for its turn, or for `not_before` after a failed attempt."""
    RUNNING = "running"
    """An attempt is under way; found at start, it means that the node died."""
    ENDED = "ended"
    """Its outcome is recorded, its objects are still to be made."""
    REPORTED = "reported"
    """Its objects are in the outbox, or there is nothing to send."""
    UNREPORTABLE = "unreportable"
    """Its outcome could not be made into DICOM objects of the right patient; a person has to look."""
    CANCELLED = "cancelled"
    """Stopped by a person, a correction or a rejection note."""


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
    not_before: datetime
    error: str | None
    """Why the last attempt failed, or the job was cancelled or could not be reported."""
    result: str | None
    """Folder of the result, relative to the data folder."""
    algorithm: Mapping[str, Any] | None
    """Identity of the algorithm that ran, as its manifest stated it then."""
    images_complete_at: datetime
    asked: str
    """What was asked, for the radiologist: the rule's description then."""
    created_at: datetime
    started_at: datetime | None
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


def digest_of(plugin: str, parameters: Mapping[str, Any], instances: Sequence[tuple[str, str, str]]) -> str:
    """Digest of what a job works on: `instances` are (role, SOP Instance UID, digest of the dataset)."""
    content = to_json({"plugin": plugin, "parameters": dict(parameters), "instances": sorted(instances)})
    return hashlib.sha256(content.encode()).hexdigest()


def from_row(row: Mapping[str, Any]) -> Job:
    """A row of `jobs` as a value."""
    values = dict(row)
    values["parameters"] = json.loads(row["parameters"])
    values["inputs"] = tuple(JobInput(role, series, tuple(rs)) for role, series, rs in json.loads(row["inputs"]))
    values["destinations"] = tuple(json.loads(row["destinations"]))
    values["found"] = json.loads(row["found"]) if row["found"] else None
    values["followed_up"] = bool(row["followed_up"])
    values["algorithm"] = json.loads(row["algorithm"]) if row["algorithm"] else None
    values["terms"] = kept_terms.from_kept(row["terms"])
    values["status"] = JobStatus(row["status"])
    values["outcome"] = JobOutcome(row["outcome"]) if row["outcome"] else None
    for field in ("not_before", "images_complete_at", "created_at"):
        values[field] = from_text(row[field])
    for field in ("started_at", "finished_at", "encoded_at"):
        values[field] = moment(row[field])
    return Job(**values)
