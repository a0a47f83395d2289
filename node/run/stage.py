"""The run stage: claims jobs by priority, runs each in a thread of a bounded pool, kills what was cancelled.

What survives a crash is the ledger: a job found running without an attempt is one that the node died
on, and counts as an attempt, since perhaps the plugin brought it down.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from node.clock import Clock
from node.errors import NotFoundError, PermanentError
from node.items import Item, Items
from node.ledger import jobs
from node.ledger.database import Ledger
from node.ledger.job import Job
from node.processes.pool import Pool
from node.run import answer, hours
from node.run.attempt import Attempt
from node.run.catalogue import Catalogue, SitePlugin
from node.run.kinds.command import BUNDLE
from node.run.retry import Failure, FailureKind
from node.run.settle import Settler, unknown_algorithm
from node.store.layout import Spool
from node.wake import Stage, Wakes
from plugins import bundle
from plugins.manifest import ParameterError

WATCH_SECONDS = 1.0
"""How soon a cancelled job is noticed while it runs."""
BLOCKED_SECONDS = 5.0
"""How soon jobs that wait for something else than time are looked at again (a held study, a slot)."""
IDLE_SECONDS = 60.0
READERS = 2
"""Processes that read results: a giant one in the first leaves the second to the others."""
_KILL_SECONDS = 60.0
log = structlog.get_logger(__name__)

T = TypeVar("T")


class Run:
    """Runs jobs; `catalogue` may be swapped between two runs (a reload)."""

    def __init__(
        self, ledger: Ledger, clock: Clock, wakes: Wakes, spool: Spool, catalogue: Catalogue, jobs_at_once: int
    ) -> None:
        self.catalogue = catalogue
        self._ledger = ledger
        self._clock = clock
        self._wakes = wakes
        self._spool = spool
        self._slots = jobs_at_once
        self._pool = ThreadPoolExecutor(jobs_at_once, thread_name_prefix="run")
        self._readers = Pool(READERS)
        self._active: dict[str, tuple[Attempt, Future[None]]] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._started = (clock.now(), clock.monotonic())
        self._settler = Settler(ledger, clock, wakes, spool.data, self._timer)
        self._items = Items(Stage.RUN, ledger, clock)
        self._prepared = False

    def _timer(self) -> datetime:
        """Wall time, except that it never runs backwards while the node runs (case 57)."""
        wall, monotonic = self._started
        return max(self._clock.now(), wall + timedelta(seconds=self._clock.monotonic() - monotonic))

    def run_once(self) -> float:
        """Settle, stop and start what is due; returns the seconds until it wants to be called again."""
        with self._lock:
            if self._stopping:
                return IDLE_SECONDS
            self._prepare()
            self._reap()
            self._watch()
            waiting = self._claim()
            return self._delay(waiting)

    def stop(self, seconds: float) -> None:
        """Claim nothing more; let what runs end within `seconds`, then kill it (the next start takes it up)."""
        with self._lock:
            self._stopping = True
            futures = [future for _, future in self._active.values()]
        wait(futures, timeout=seconds)
        for attempt, future in self._active.values():
            if not future.done():
                attempt.cancel.set()
        wait(futures, timeout=_KILL_SECONDS)
        self._readers.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _prepare(self) -> None:
        """Once, at the first run: what an earlier life left in `work/` is removed, the contract's zip is written."""
        if self._prepared:
            return
        for entry in self._spool.work.iterdir():
            try:
                if entry.is_dir():
                    answer.remove(entry)
                else:
                    entry.unlink()
            except OSError as error:  # it takes room, and the jobs must not wait for it
                log.warning("run.not-removed", job=entry.name, error=str(error))
        bundle.write(self._spool.work / BUNDLE)
        self._prepared = True

    def _reap(self) -> None:
        for job_id in [job_id for job_id, (_, future) in self._active.items() if future.done()]:
            del self._active[job_id]

    def _watch(self) -> None:
        """Kill attempts whose job is not running any more; take up jobs that run without an attempt."""
        running = {job.id: job for job in jobs.running(self._ledger.database)}
        for job_id, (attempt, _) in self._active.items():
            if job_id not in running:
                attempt.cancel.set()
        for job_id, job in running.items():
            if job_id not in self._active:
                self._handle(job, partial(self._died, job), otherwise=None)

    def _died(self, job: Job) -> None:
        failure = Failure(FailureKind.NODE_DIED, "the node ended while it ran")
        self._settler.failed(job, failure, self._find(job))

    def _handle(self, job: Job, work: Callable[[], T], otherwise: T) -> T:
        """An unexpected exception costs this job: tried often enough, it ends as failed, and that is reported."""
        key = f"job:{job.id}"
        if self._items.is_parked(key):
            end = Item(f"{key} end", job.study_instance_uid, job.id)
            if self._items.handle(end, partial(self._settler.unforeseen, job), otherwise=False):
                self._items.handled([key])
            return otherwise
        return self._items.handle(Item(key, job.study_instance_uid, job.id), work, otherwise)

    def _claim(self) -> bool:
        """Start what may start; whether jobs are left that could have started if there were room."""
        if len(self._active) >= self._slots:
            return True
        ready = jobs.ready(self._ledger.database, self._timer())
        busy = Counter(attempt.plugin.name for attempt, _ in self._active.values())
        left = False
        for job in ready:
            if job.id in self._active:
                continue  # to be tried again at once, while its last attempt is still tidying up
            left = self._handle(job, partial(self._take_up, job, busy), otherwise=False) or left
        return left

    def _take_up(self, job: Job, busy: Counter[str]) -> bool:
        """Start it if it may start; whether it could have, if there were room. `busy`: plugin → how many run."""
        plugin = self._find(job)
        if plugin is None:
            self._unknown(job)
        elif (opens := hours.waits_until(job, self._timer())) is not None:
            self._outside_hours(job, opens)
        elif len(self._active) >= self._slots or busy[plugin.name] >= plugin.at_once:
            return True
        else:
            busy[plugin.name] += 1
            self._start(job, plugin)
        return False

    def _outside_hours(self, job: Job, opens: datetime) -> None:
        """It queued until its hours were over: the next opening is its turn, unless it was cancelled meanwhile."""
        with contextlib.suppress(PermanentError), self._ledger.transaction() as database:
            jobs.outside_hours(database, self._clock.now(), job.id, opens)

    def _find(self, job: Job) -> SitePlugin | None:
        try:
            return self.catalogue.find(job.plugin)
        except NotFoundError:
            return None

    def _unknown(self, job: Job) -> None:
        """The plugin was taken out of the configuration since the decision: that ends the job, visibly."""
        begun = self._begin(job, unknown_algorithm(job))
        if begun:
            detail = f"there is no usable plugin {job.plugin} in the configuration any more"
            self._settler.failed(begun, Failure(FailureKind.INPUT, detail), None)

    def _begin(self, job: Job, algorithm: Mapping[str, Any]) -> Job | None:
        """Claim a job, None where it was cancelled between the look and the claim."""
        try:
            with self._ledger.transaction() as database:
                return jobs.started(database, self._clock.now(), job.id, algorithm)
        except PermanentError as error:
            log.info("run.not-claimed", job=job.id, reason=str(error))
            return None

    def _start(self, job: Job, plugin: SitePlugin) -> None:
        identity = plugin.manifest.identity
        with contextlib.suppress(ParameterError):  # the attempt says so, in full
            identity = plugin.manifest.identity_with(plugin.manifest.parameters_for(job.parameters))
        begun = self._begin(job, asdict(identity))
        if begun is None:
            return
        attempt = Attempt(begun, plugin, self._spool, self._settler, self._readers)
        future = self._pool.submit(attempt.run)
        self._active[job.id] = (attempt, future)
        future.add_done_callback(lambda _: self._wakes.wake(Stage.RUN))
        log.info("run.started", job=job.id, plugin=plugin.name, attempt=begun.attempts)

    def _delay(self, waiting: bool) -> float:
        if self._active:
            return WATCH_SECONDS
        if waiting:
            return BLOCKED_SECONDS
        due = jobs.next_ready_at(self._ledger.database)
        if due is None:
            return IDLE_SECONDS
        seconds = (due - self._timer()).total_seconds()
        return min(seconds, IDLE_SECONDS) if seconds > 0 else BLOCKED_SECONDS
