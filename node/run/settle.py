"""How an attempt is settled: its result made durable first, then the ledger told, in one transaction.

A job that is no longer running when that comes was cancelled: its result is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from node.clock import Clock
from node.ledger import jobs
from node.ledger.database import Ledger
from node.ledger.job import Job, JobOutcome, JobStatus
from node.run import answer, found, inputs, retry, words
from node.run.answer import Accepted
from node.run.catalogue import SitePlugin
from node.run.inputs import InputDamagedError
from node.run.retry import Again, Failure, FailureKind
from node.store import intact
from node.wake import Stage, Wakes
from plugins.contract import AlgorithmIdentity, Result, ResultStatus
from plugins.exchange import PluginReference, Request, StudyFacts

_DISK_FULL_DELAY = timedelta(minutes=5)
_SAID_FAILED = "the plugin reports the failure itself: see the result's summary and log.txt"
_UNFORESEEN = "a defect of the node kept it from running; the alert of the job says where"
log = structlog.get_logger(__name__)


def unknown_algorithm(job: Job) -> dict[str, Any]:
    """What is said of the algorithm of a job whose plugin could not be asked."""
    return asdict(AlgorithmIdentity(name=job.plugin[:64], version="unknown", manufacturer="unknown"))


@dataclass(frozen=True)
class Settler:
    """Writes the ends of attempts."""

    ledger: Ledger
    clock: Clock
    wakes: Wakes
    data: Path
    timer: Callable[[], datetime]
    """Wall time that never runs backwards: what `not_before` is measured with."""

    def answered(self, job: Job, accepted: Accepted) -> None:
        """The plugin returned a result that holds; OSError where it cannot be kept."""
        error = _SAID_FAILED if accepted.status is ResultStatus.FAILED else None
        self._end(job, accepted, answer.put_in_place(self.data / "results", job.id), error)

    def failed(self, job: Job, failure: Failure, plugin: SitePlugin | None) -> None:
        """The attempt failed: try again, or end the job with a result that says so."""
        log.warning("run.attempt-failed", job=job.id, plugin=job.plugin, kind=failure.kind, detail=failure.detail)
        postponements = jobs.postponements(self.ledger.database, job.id)
        allowed = plugin.attempts if plugin else 1
        match retry.after(failure.kind, job.attempts, allowed, postponements):
            case Again(delay, counted):
                self._again(job, failure.detail, delay, counted=counted)
            case _:
                text = words.failed(failure.kind, job.attempts, plugin.limits if plugin else None)
                self._give_up(job, Result(ResultStatus.FAILED, text), failure.detail, plugin)

    def damaged(self, job: Job, error: InputDamagedError, plugin: SitePlugin) -> None:
        """Images of the job are damaged: an alert, and no result from what is left of them."""
        with self.ledger.transaction() as database:
            intact.alert(database, self.clock.now(), error.damages, job.study_instance_uid, job.id)
        self.failed(job, Failure(FailureKind.DAMAGED, str(error)), plugin)

    def unforeseen(self, job: Job) -> bool:
        """It could not be begun or settled because of an unexpected exception: it ends as failed; true."""
        with self.ledger.transaction() as database:
            if jobs.get(database, job.id).status is JobStatus.QUEUED:
                jobs.started(database, self.clock.now(), job.id, unknown_algorithm(job))
        text = words.failed(FailureKind.NODE, job.attempts, None)
        self._give_up(job, Result(ResultStatus.FAILED, text), _UNFORESEEN, None)
        return True

    def cancelled(self, job: Job, reason: str) -> None:
        """The job has no ground any more."""
        with self.ledger.transaction() as database:
            if jobs.get(database, job.id).status is JobStatus.RUNNING:
                jobs.cancel(database, self.clock.now(), job.id, reason)

    def interrupted(self, job: Job) -> None:
        """It was killed because the node stops: the next start takes it up. Nothing where it was cancelled."""
        with self.ledger.transaction() as database:
            if jobs.get(database, job.id).status is JobStatus.RUNNING:
                jobs.interrupted(database, self.clock.now(), job.id, "the node was stopped")

    def _again(self, job: Job, error: str, delay: timedelta, *, counted: bool) -> None:
        with self.ledger.transaction() as database:
            if jobs.get(database, job.id).status is not JobStatus.RUNNING:
                return
            settle = jobs.try_again if counted else jobs.postponed
            settle(database, self.clock.now(), job.id, error, self.timer() + delay)

    def _give_up(self, job: Job, result: Result, error: str, plugin: SitePlugin | None) -> None:
        named = inputs.reference(plugin) if plugin else PluginReference(job.plugin, version="", folder="")
        request = Request(job.id, named, StudyFacts(job.study_instance_uid), series=())
        try:
            kept = answer.keep(result, request, self.data / "results", job.id, None)
            self._end(job, Accepted(result.status, found.of(result)), kept, error)
        except OSError as problem:  # even the failure cannot be written: it must not get lost
            self._again(job, f"{error}; then: {problem}", _DISK_FULL_DELAY, counted=False)

    def _end(self, job: Job, accepted: Accepted, kept: Path, error: str | None) -> None:
        with self.ledger.transaction() as database:
            wanted = jobs.get(database, job.id).status is JobStatus.RUNNING
            if wanted:
                folder = kept.relative_to(self.data).as_posix()
                outcome = JobOutcome(accepted.status)
                jobs.ended(database, self.clock.now(), job.id, outcome, folder, error, accepted.found)
        if not wanted:
            answer.remove(kept)
            return
        log.info("run.ended", job=job.id, plugin=job.plugin, outcome=accepted.status)
        self.wakes.wake(Stage.RESULTS)
        self.wakes.wake(Stage.ROUTE)
