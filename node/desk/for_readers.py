"""What a radiologist may know of one study: which analyses there were for readers, how each stands, what it said.

Results of mode shadow, and those for destinations with `audience: evaluation` alone, are for nobody who reads: they are
left out here, as if there were none. So is how the node is. What a person still has to check is named, and not shown.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from node.config.models import Configuration
from node.errors import NotFoundError
from node.ledger import assessments, deliveries, job_files, jobs, notices, objects, recalls, studies, withdrawals
from node.ledger.assessments import Assessment
from node.ledger.database import Database, Ledger
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.job import OPEN, Job, JobOutcome, JobStatus
from node.ledger.job_files import JobFiles
from node.ledger.objects import ResultObject
from node.ledger.studies import Study

if TYPE_CHECKING:
    from node.reading.report import ReadFinding, ReadReport

_TO_READERS = (
    DeliveryStatus.WAITING,
    DeliveryStatus.SENDING,
    DeliveryStatus.DELIVERED,
    DeliveryStatus.DEAD,
    DeliveryStatus.REFUSED,
    DeliveryStatus.REPLACED,
    DeliveryStatus.SUPERSEDED,
)
"""Deliveries of what readers are meant to have."""
_KEPT_REPORTS = 64
"""Reports that are kept as they were read: to read one takes a while, and a page is asked for again and again."""


class ResultState(StrEnum):
    """How an analysis stands for whoever reads the study."""

    READABLE = "readable"
    """Its report can be shown."""
    PICTURES = "pictures"
    """What readers get of it are images: there is no report in words."""
    WAITING = "waiting"
    """It is not finished."""
    NOT_REPORTED = "not-reported"
    """It ended, and no report of it could be made."""
    STOPPED = "stopped"
    """It was cancelled."""
    HELD = "held"
    """Patient or order are in question: nothing is shown until a person has decided."""
    NOT_SENT = "not-sent"
    """By the rule such a result is not sent to readers, or a person has stopped it."""
    WITHDRAWN = "withdrawn"
    """The version of the algorithm was withdrawn: what it said must not be used."""
    WRONG = "wrong"
    """What was sent turned out wrong, and is to be taken out of the PACS, or was."""
    GONE = "gone"
    """Retention has deleted the report here."""


@dataclass(frozen=True, slots=True)
class ReportFile:
    """The file of a report, and what it has to hold."""

    path: Path
    digest: str
    """SHA-256."""


@dataclass(frozen=True, slots=True)
class ReaderResult:
    """One analysis of a study, for readers."""

    job: Job
    state: ResultState
    replaced: bool
    """A newer analysis of the same kind takes its place, or will."""
    assessments: Sequence[Assessment]
    files: Sequence[ReportFile] = ()
    """Its reports for readers, where it is readable: one, or the same under several profiles."""

    @property
    def algorithm(self) -> str:
        """Name and version, as the report has them; the name of the plugin before it has run."""
        known = self.job.algorithm or {}
        return f"{known.get('name') or self.job.plugin} {known.get('version') or ''}".rstrip()

    @property
    def was_not_analysed(self) -> bool:
        """Nothing can be concluded from it, least of all that there is nothing."""
        return self.job.outcome in (JobOutcome.FAILED, JobOutcome.NOT_APPLICABLE)

    @property
    def superseded(self) -> frozenset[int]:
        """Verdicts whose authors have said something else since."""
        return frozenset(each.supersedes for each in self.assessments if each.supersedes is not None)

    def said(self, finding: str | None) -> list[Assessment]:
        """Who said what of a finding, or of the whole, in order."""
        return [each for each in self.assessments if each.finding == finding]


@dataclass(frozen=True, slots=True)
class ReaderStudy:
    """A study as the page for radiologists has it."""

    study: Study
    results: Sequence[ReaderResult]
    """The newest first, what is replaced at the end."""


def named(ledger: Ledger, accessions: Sequence[str] = (), uids: Sequence[str] = ()) -> list[Study]:
    """Studies with exactly one of these accession numbers or UIDs; NotFoundError where there is none."""
    with ledger.snapshot() as database:
        found = [each for text in accessions for each in studies.of_accession(database, text)]
        found += [each for uid in uids if (each := studies.get(database, uid)) is not None]
    if not found:
        what = f"accession number {', '.join(accessions)}" if accessions else f"UID {', '.join(uids)}"
        raise NotFoundError(f"no study with {what} has come here: no AI has seen it")
    return list({each.study_instance_uid: each for each in found}.values())


def look(ledger: Ledger, configuration: Configuration, uid: str) -> ReaderStudy:
    """The study of this UID; NotFoundError."""
    readers = {name for name, each in configuration.destinations.items() if each.audience == "readers"}
    with ledger.snapshot() as database:
        study = studies.get(database, uid)
        if study is None:
            raise NotFoundError("no such study has come here: no AI has seen it")
        work = [
            job for job in jobs.of_study(database, uid) if job.mode != notices.SHADOW and readers & {*job.destinations}
        ]
        said: dict[str, list[Assessment]] = {}
        for each in assessments.of_study(database, uid):
            said.setdefault(each.job, []).append(each)
        newest = _newest(work)
        data = configuration.node.data
        wrong = withdrawals.wrong_deliveries(database, uid)
        found = []
        for job in reversed(work):
            to_readers = [each for each in deliveries.of_job(database, job.id) if each.destination in readers]
            state, files = _standing(database, study, job, to_readers, wrong)
            reports = tuple(ReportFile(data / each.file, each.digest) for each in files)
            replaced = newest.get(_place(job), job.id) != job.id
            found.append(ReaderResult(job, state, replaced, said.get(job.id, ()), reports))
    return ReaderStudy(study, sorted(found, key=lambda each: each.replaced))


def _newest(work: Sequence[Job]) -> Mapping[tuple[str, str, str], str]:
    """Of what is analysed, the job whose result counts, or will; those that were cancelled count as none."""
    return {_place(job): job.id for job in work if job.status is not JobStatus.CANCELLED}


def _place(job: Job) -> tuple[str, str, str]:
    """Which analysis it is, however often it was done."""
    return job.rule, job.step, job.subject


def _standing(
    database: Database, study: Study, job: Job, to_readers: Sequence[Delivery], wrong: Collection[int]
) -> tuple[ResultState, Sequence[ResultObject]]:
    """How it stands, and its reports that readers may see."""
    state = _before_it_was_sent(database, study, job)
    if state is not None:
        return state, ()
    right = [each for each in to_readers if each.id not in wrong]
    states = {each.status for each in right}
    if DeliveryStatus.HELD in states and DeliveryStatus.DELIVERED not in states:
        return ResultState.HELD, ()
    meant = {each.item for each in right if each.status in _TO_READERS}
    if not meant:
        return (ResultState.WRONG if len(right) < len(to_readers) else ResultState.NOT_SENT), ()
    if job_files.state(database, job.id) is not JobFiles.HERE:
        return ResultState.GONE, ()
    made = objects.of_job(database, job.id)
    reports = [each for each in made if each.kind == "sr" and each.sop_instance_uid in meant]
    return (ResultState.READABLE if reports else ResultState.PICTURES), reports


def _before_it_was_sent(database: Database, study: Study, job: Job) -> ResultState | None:
    """Why nothing of it was, or may be; None where its deliveries say how it stands."""
    if recalls.of_job(database, job.id) is not None:
        return ResultState.WITHDRAWN
    if study.hold is not None:
        return ResultState.HELD
    if job.status in OPEN:
        return ResultState.WAITING
    if job.status is JobStatus.REPORTED:
        return None
    return ResultState.STOPPED if job.status is JobStatus.CANCELLED else ResultState.NOT_REPORTED


def report(found: ReaderResult) -> ReadReport | None:
    """The report in words, read back from the object that is sent; None where there is none, or it is damaged."""
    for file in found.files:
        read = _read(file)
        if read is not None:
            return read
    return None


def lines(finding: ReadFinding) -> list[str]:
    """A finding as the report says it, without UIDs of images and numbers of segments, which say nothing to people."""
    plain = replace(finding, regions=(), segments=())
    return [line.strip() for line in plain.lines(with_algorithm=False)]


@lru_cache(maxsize=_KEPT_REPORTS)
def _read(file: ReportFile) -> ReadReport | None:
    from pydicom import dcmread  # with the libraries of images: other pages do without

    from node.reading.reader import NotAReportError, read_sr

    try:
        content = file.path.read_bytes()
    except FileNotFoundError:  # retention was faster
        return None
    if hashlib.sha256(content).hexdigest() != file.digest:
        return None
    try:
        return read_sr(dcmread(io.BytesIO(content)))
    except NotAReportError:
        return None
