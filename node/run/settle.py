"""How an attempt is settled: its result made durable first, then the ledger told, in one transaction.

A job that is no longer running when that comes was cancelled: its result is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from node import envelope
from node.ledger import attempts, events, jobs, notices, plugin_failures, plugin_versions, returned_objects
from node.ledger.attempts import AttemptCourse, AttemptFailureKind, AttemptStart
from node.ledger.database import Database
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.plugin_versions import PluginVersion
from node.ledger.returned_objects import ReturnedObjectRow
from node.run import answer, found, inputs, nested, retry, words
from node.run.answer import CheckedResult
from node.run.catalogue import SitePlugin
from node.run.inputs import InputDamagedError, Inputs
from node.run.retry import AttemptAgain, AttemptFailure
from node.stage import Node
from node.store import intact
from node.wake import Stage
from plugins.contract import AlgorithmIdentity, Result, ResultStatus
from plugins.exchange import PluginReference, Request, RequestFacts
from plugins.result import SUMMARY_LIMIT

NOTHING_KNOWN = AttemptCourse()
_MOST_TOLD = 20
"""Sentences on objects that one event has."""
_DISK_FULL_DELAY = timedelta(minutes=5)
_SAID_FAILED = "the plugin failed: {}"
_SAID_NOT_WHY = "the plugin says that it failed; its summary or its log may say why"
_UNFORESEEN = "a defect of the node kept it from running; the alert of the job says where"
log = structlog.get_logger(__name__)


def unknown_algorithm(job: Job) -> dict[str, Any]:
    """What is said of the algorithm of a job whose plugin could not be asked."""
    return asdict(AlgorithmIdentity(name=job.plugin[:64], version="unknown", manufacturer="unknown"))


@dataclass(frozen=True)
class Settler:
    """Writes the ends of attempts."""

    node: Node

    def begun(self, job: Job, row: attempts.Attempt, handle: str) -> None:
        """The process of an attempt is there, `handle` its name or ""; raises TransientError."""
        with self.node.ledger.transaction() as database:
            attempts.running(database, self.node.clock.now(), row, job.study_instance_uid, handle)

    def identified(self, row: attempts.Attempt, start: AttemptStart, version: PluginVersion) -> None:
        """What runs in an attempt is known, just before it does; raises TransientError."""
        with self.node.ledger.transaction() as database:
            attempts.identified(database, self.node.clock.now(), row, start)
            plugin_versions.ran(database, self.node.clock.now(), version)

    def answered(self, job: Job, accepted: CheckedResult, course: AttemptCourse) -> None:
        """The plugin returned a result that holds; OSError where it cannot be kept."""
        said = _SAID_FAILED.format(accepted.error) if accepted.error else _SAID_NOT_WHY
        error = said if accepted.status is ResultStatus.FAILED else None
        self._end(job, accepted, answer.put_in_place(self.node.store.data / "results", job.id), error, course)

    def failed(
        self, job: Job, failure: AttemptFailure, plugin: SitePlugin | None, course: AttemptCourse = NOTHING_KNOWN
    ) -> None:
        """The attempt failed: try again, or end the job with a result that says so."""
        log.warning("run.attempt-failed", job=job.id, plugin=job.plugin, kind=failure.kind, detail=failure.detail)
        course = replace(course, failure=failure.kind)
        postponements = attempts.postponements(self.node.ledger.database, job.id)
        allowed = plugin.attempts if plugin else 1
        match retry.after(failure.kind, job.attempts, allowed, postponements):
            case AttemptAgain(delay, counted):
                self._again(job, failure.detail, delay, course, counted=counted)
            case _:
                text = words.failed(failure.kind, job.attempts, plugin.limits if plugin else None)
                self._give_up(job, text, failure.detail, plugin, course)

    def unanswered(self, job: Job, said: str, detail: str, plugin: SitePlugin) -> None:
        """A box or web service did not do its part in time: `said` to readers, `detail` to the admin. No more tries."""
        log.warning("run.silent", job=job.id, plugin=job.plugin, detail=detail)
        course = AttemptCourse(AttemptFailureKind.SILENT)
        self._give_up(job, words.unanswered(said), detail, plugin, course)

    def damaged(self, job: Job, error: InputDamagedError, plugin: SitePlugin) -> None:
        """Images of the job are damaged: an alert, and no result from what is left of them."""
        with self.node.ledger.transaction() as database:
            intact.alert(database, self.node.clock.now(), error.damages, job.study_instance_uid, job.id)
        self.failed(job, AttemptFailure(AttemptFailureKind.DAMAGED, str(error)), plugin)

    def unforeseen(self, job: Job) -> bool:
        """It could not be begun or settled because of an unexpected exception: it ends as failed; true."""
        with self.node.ledger.transaction() as database:
            if jobs.get(database, job.id).status is JobStatus.QUEUED:
                jobs.started(database, self.node.clock.now(), job.id, unknown_algorithm(job))
        text = words.failed(AttemptFailureKind.NODE, job.attempts, None)
        self._give_up(job, text, _UNFORESEEN, None, AttemptCourse(AttemptFailureKind.NODE))
        return True

    def not_run(self, job: Job, why: str, algorithm: Mapping[str, Any], *, not_applicable: bool = False) -> None:
        """What it needs is not here (images that were removed, the result of an earlier step): the report says so.

        It ends as failed, or as not applicable.
        """
        log.warning("run.not-run", job=job.id, plugin=job.plugin, reason=why)
        status = ResultStatus.NOT_APPLICABLE if not_applicable else ResultStatus.FAILED
        self._end_unrun(job, why, algorithm, AttemptFailureKind.GONE, status)

    def not_analysed(self, job: Job, why: str, algorithm: Mapping[str, Any]) -> None:
        """A person or a stop rule has stopped what would run: it ends as failed, and the report says so."""
        log.warning("run.not-analysed", job=job.id, plugin=job.plugin, reason=why)
        self._end_unrun(job, why, algorithm, AttemptFailureKind.STOPPED)

    def _end_unrun(
        self,
        job: Job,
        why: str,
        algorithm: Mapping[str, Any],
        kind: AttemptFailureKind,
        status: ResultStatus = ResultStatus.FAILED,
    ) -> None:
        with self.node.ledger.transaction() as database:
            if jobs.get(database, job.id).status is not JobStatus.QUEUED:
                return  # cancelled meanwhile
            jobs.started(database, self.node.clock.now(), job.id, algorithm)
        self._give_up(job, words.not_run(why), why, None, AttemptCourse(kind), status)

    def cancelled(self, job: Job, reason: str) -> None:
        """The job has no ground any more."""
        with self.node.ledger.transaction() as database:
            if jobs.get(database, job.id).status is JobStatus.RUNNING:
                jobs.cancel(database, self.node.clock.now(), job.id, reason)

    def interrupted(self, job: Job, course: AttemptCourse) -> None:
        """It was killed because the node stops: the next start takes it up. Nothing where it was cancelled."""
        with self.node.ledger.transaction() as database:
            if jobs.get(database, job.id).status is JobStatus.RUNNING:
                attempts.note(database, job.id, course)
                jobs.interrupted(database, self.node.clock.now(), job.id, "the node was stopped")

    def _again(self, job: Job, error: str, delay: timedelta, course: AttemptCourse, *, counted: bool) -> None:
        with self.node.ledger.transaction() as database:
            if jobs.get(database, job.id).status is not JobStatus.RUNNING:
                return
            attempts.note(database, job.id, course)
            settle = jobs.try_again if counted else jobs.postponed
            settle(database, self.node.clock.now(), job.id, error, self.node.clock.now() + delay)

    def outside(self, job: Job, plugin: SitePlugin, asked: Inputs) -> tuple[str, ...] | None:
        """What the report has to say of images that the plugin was not validated on; None where that ends the job."""
        verdict = envelope.of_headers(plugin.manifest.envelope, plugin.envelope, asked.headers, asked.roles)
        if not verdict.reasons:
            return ()
        why = list(verdict.sentences)
        with self.node.ledger.transaction() as database:
            kind, now = EventKind.JOB_OUTSIDE_ENVELOPE, self.node.clock.now()
            events.record(
                database, now, kind, study=job.study_instance_uid, job=job.id, why=why, runs=not verdict.is_refused
            )
        log.info("run.outside-envelope", job=job.id, plugin=job.plugin, limits=verdict.limits)
        if not verdict.is_refused:
            return verdict.sentences
        result = Result(ResultStatus.NOT_APPLICABLE, "\n".join(why)[:SUMMARY_LIMIT])
        self._end(
            job,
            CheckedResult(result.status, found.of(result)),
            self._kept(job, result, plugin),
            " ".join(why),
            NOTHING_KNOWN,
        )
        return None

    def said(self, job: Job, result: Result, plugin: SitePlugin, course: AttemptCourse) -> None:
        """It ends with a result of the node's own that is no failure; OSError where it cannot be kept."""
        self._end(job, CheckedResult(result.status, found.of(result)), self._kept(job, result, plugin), None, course)

    def _kept(self, job: Job, result: Result, plugin: SitePlugin | None) -> Path:
        named = inputs.reference(plugin) if plugin else PluginReference(job.plugin, version="", folder="")
        request = Request(job.id, named, RequestFacts(job.study_instance_uid), series=())
        return answer.keep(result, request, self.node.store.data / "results", job.id)

    def _give_up(
        self,
        job: Job,
        text: str,
        error: str,
        plugin: SitePlugin | None,
        course: AttemptCourse,
        status: ResultStatus = ResultStatus.FAILED,
    ) -> None:
        """It ends with a result of the node's own, whose text says why to a reader."""
        result = Result(status, text)
        try:
            kept = self._kept(job, result, plugin)
            self._end(job, CheckedResult(result.status, found.of(result)), kept, error, course)
        except OSError as problem:  # even the failure cannot be written: it must not get lost
            self._again(job, f"{error}; then: {problem}", _DISK_FULL_DELAY, course, counted=False)

    def _tell_replaced(self, database: Database, job: Job, accepted: CheckedResult) -> None:
        if accepted.replaced:
            kind, fields = EventKind.JOB_TEXT_REPLACED, list(accepted.replaced)
            events.record(
                database, self.node.clock.now(), kind, study=job.study_instance_uid, job=job.id, fields=fields
            )

    def _keep_objects(self, database: Database, job: Job, accepted: CheckedResult) -> None:
        rows = (
            ReturnedObjectRow(
                job.id,
                each.number,
                each.sop_instance_uid,
                each.sop_class_uid,
                each.series_instance_uid,
                each.modality,
                each.maker,
                marked=accepted.marked,
                of_image=each.of_image,
            )
            for each in accepted.objects
        )
        returned_objects.insert(database, rows)
        if accepted.told:
            kind, told = EventKind.JOB_OBJECTS_TOLD, list(accepted.told[:_MOST_TOLD])
            events.record(
                database,
                self.node.clock.now(),
                kind,
                study=job.study_instance_uid,
                job=job.id,
                told=told,
                count=len(accepted.told),
            )

    def _end(self, job: Job, accepted: CheckedResult, kept: Path, error: str | None, course: AttemptCourse) -> None:
        with self.node.ledger.transaction() as database:
            wanted = jobs.get(database, job.id).status is JobStatus.RUNNING
            if wanted:
                folder = kept.relative_to(self.node.store.data).as_posix()
                outcome = JobOutcome(accepted.status)
                attempts.note(database, job.id, course)
                self._tell_replaced(database, job, accepted)
                self._keep_objects(database, job, accepted)
                ended = jobs.ended(database, self.node.clock.now(), job.id, outcome, folder, error, accepted.found)
                notices.of_result(database, self.node.clock.now(), ended)
                if course.failure is not AttemptFailureKind.STOPPED:
                    plugin_failures.noted(database, self.node.clock.now(), ended)
        if not wanted:
            nested.remove(kept)
            return
        log.info("run.ended", job=job.id, plugin=job.plugin, outcome=accepted.status)
        self.node.wakes.wake(Stage.RESULTS)
        self.node.wakes.wake(Stage.ROUTE)
        self.node.wakes.wake(Stage.NOTIFY)
