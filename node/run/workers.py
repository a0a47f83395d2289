"""Workers: processes of Python plugins that do one job after the other, so that a model is loaded once.

A worker is no attempt: attempts name the one that did them in `handle`. It is confined as any plugin is and sees one
job at a time (`node.run.worker_folder`); between two jobs it is stopped. It is used again only by what it was started
from: the same code, weights and interpreter (`code_digest`), command, limits and confinement. It ends after a number
of jobs, when it has waited too long, when memory is wanted, and with any failure of a job.

One `WarmWorkers` belongs to a node (`node.app.process.App`), so a reload ends only what it changes.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from node.run.executor import AttemptLimits, Exit, ProcessWatch
from node.run.leftovers import WARM
from node.run.process import CommandLine, GuardProcess, JobPlace, WorkerGoneError
from node.run.sandbox import Isolation
from node.run.worker_folder import WorkerFolder
from plugins import exchange

_IDLE_SHARE = 4
"""Idle workers hold a quarter of the machine's memory, at most."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WorkerRecipe:
    """What a worker is started from; two that are equal can do each other's jobs."""

    plugin: Path
    """Its folder."""
    code_digest: str
    line: CommandLine
    limits: AttemptLimits
    isolation: Isolation
    granted_digest: str
    """SHA-256 of the variables of its environment, secrets included, and of the status of the files it may read."""

    @property
    def use(self) -> tuple[Path, AttemptLimits]:
        """As the site uses it, whatever its code is by now, and whichever GPU it was assigned."""
        return self.plugin, replace(self.limits, gpu=None)

    def is_outdated_by(self, other: WorkerRecipe) -> bool:
        """Whether it is of the same use, but of other code, confinement or variables."""
        return self.use == other.use and replace(self, limits=other.limits) != other


class WarmWorker:
    """One process that does jobs of a plugin."""

    def __init__(self, recipe: WorkerRecipe, work: Path) -> None:
        """Starts nothing yet; OSError where its folder cannot be made."""
        self.recipe = recipe
        self.name = uuid.uuid4().hex[:12]
        self.memory = 0
        """Bytes that it holds while it waits; 0 where it is not fit for another job."""
        self.waits_since = 0.0
        self._jobs = 0
        self._work = work
        self._folder = WorkerFolder(work / WARM / self.name)
        self._process: GuardProcess | None = None

    def do(self, attempt: Path, watch: ProcessWatch) -> Exit:
        """Do the job that lies in the folder of an attempt, and put there what came of it.

        Raises OSError; WorkerGoneError where it had ended before, and the job is untouched.
        """
        self.memory, left = 0, 0
        try:
            self._folder.take_in(attempt)
            if self._process is None:
                place = JobPlace(self._folder.job, self._folder.root, hidden=self._work.parent)
                self._process = GuardProcess(self.recipe.line, place, self.recipe.limits, self.recipe.isolation)
            else:
                self._process.next_job()
            watch.begun(f"worker {self.name}")
            ended, left = self._process.report(watch)
        finally:
            self._folder.give_back(attempt)
        self._jobs += 1
        answered = (attempt / exchange.OUT / exchange.RESULT).exists()  # else it only says that it has done the job
        if answered and self._jobs < self.recipe.limits.worker_jobs and self._folder.is_clean:
            self.memory = left
        return ended

    @property
    def is_alive(self) -> bool:
        """Whether it can be given a job."""
        return self._process is not None and self._process.is_alive

    def end(self) -> None:
        """End it, and wait for that."""
        if self._process is not None:
            self._process.end()
        try:
            self._folder.remove()
        except OSError as error:  # the next start sweeps it
            log.warning("run.not-removed", worker=self.name, error=str(error))


class WarmWorkers:
    """The workers of a node, those that work and those that wait."""

    def __init__(self, work: Path, now: Callable[[], float] = time.monotonic) -> None:
        """`work` is the folder `work/`; `now` counts seconds."""
        self._work = work.resolve()  # the sandbox has the same paths, and no links on the way to them
        self._now = now
        self._most_idle = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _IDLE_SHARE
        self._lock = threading.Lock()
        self._waiting: list[WarmWorker] = []
        """The one that has waited longest comes first."""
        self._working: dict[WarmWorker, bool] = {}
        """Whether each may wait for another job."""
        self._closed = False

    def run(self, recipe: WorkerRecipe, attempt: Path, watch: ProcessWatch) -> Exit:
        """Have a worker do the job that lies in the folder of an attempt; OSError."""
        while True:
            worker = self._taken(recipe) or WarmWorker(recipe, self._work)
            with self._lock:
                self._working[worker] = True
            try:
                return worker.do(attempt, watch)
            except WorkerGoneError:
                log.info("run.worker-gone", worker=worker.name)  # while it waited: it is nobody's failure
            finally:
                self._put_back(worker)

    def sweep(self) -> None:
        """End those that have waited for as long as they may, and what is left of those that were killed."""
        now = self._now()
        self._end(
            "idle", lambda each: not each.is_alive or now - each.waits_since > each.recipe.limits.worker_idle_seconds
        )

    def keep_only(self, uses: Collection[tuple[Path, AttemptLimits]]) -> None:
        """End those that wait for jobs that will not come: their plugin is not used any more, or not so."""
        self._end("not in use", lambda each: each.recipe.use not in uses, working=True)

    @property
    def waiting(self) -> list[WarmWorker]:
        """Those that wait for a job, the one that has waited longest first."""
        with self._lock:
            return list(self._waiting)

    def free(self, memory: int, use: tuple[Path, AttemptLimits] | None = None) -> int:
        """End those that have waited longest until they held this many bytes together; returns how many they held.

        The last to end are those that do the jobs of `use`: that is what the memory is wanted for.
        """
        freed = 0
        ended = []
        with self._lock:
            for worker in sorted(self._waiting, key=lambda each: each.recipe.use == use):
                if freed >= memory:
                    break
                self._waiting.remove(worker)
                ended.append(worker)
                freed += worker.memory
        _end_all(ended, "its memory is wanted")
        return freed

    def free_gpu(self, gpu: str, use: tuple[Path, AttemptLimits]) -> None:
        """End those that hold memory of a GPU, but for the one that the next job of `use` gets."""
        with self._lock:
            here = [each for each in self._waiting if each.recipe.limits.gpu == gpu]
            kept = [each for each in here if each.recipe.use == use][-1:]
            ended = [each for each in here if each not in kept]
            self._waiting = [each for each in self._waiting if each not in ended]
        _end_all(ended, "its GPU is wanted")

    def forget(self, plugin: Path) -> None:
        """End those of a plugin that was changed while it ran: nobody can say which code they have loaded."""
        self._end("its code has changed", lambda each: each.recipe.plugin == plugin, working=True)

    def close(self, why: str = "the node stops") -> None:
        """End those that wait now, and each of the others with its job; `why` is for the log."""
        self._closed = True
        self._end(why, lambda _: True)

    def _taken(self, recipe: WorkerRecipe) -> WarmWorker | None:
        """One that waits and can do this job; the last one that worked, since its memory is not swapped out yet."""
        self._end("its code has changed", lambda each: each.recipe.is_outdated_by(recipe), working=True)
        with self._lock:
            for worker in reversed(self._waiting):
                if worker.recipe == recipe and worker.is_alive:
                    self._waiting.remove(worker)
                    return worker
        return None

    def _put_back(self, worker: WarmWorker) -> None:
        with self._lock:
            waits = self._working.pop(worker) and bool(worker.memory) and not self._closed
            if waits:
                worker.waits_since = self._now()
                self._waiting.append(worker)
            held = sum(each.memory for each in self._waiting)
        if not waits:
            worker.end()
        if held > self._most_idle:
            self.free(held - self._most_idle)

    def _end(self, why: str, which: Callable[[WarmWorker], bool], *, working: bool = False) -> None:
        """End those that wait; with `working` the others, too, once their job is done."""
        with self._lock:
            if working:
                self._working = {each: may_wait and not which(each) for each, may_wait in self._working.items()}
            ended = [each for each in self._waiting if which(each)]
            self._waiting = [each for each in self._waiting if each not in ended]
        _end_all(ended, why)


def _end_all(workers: Iterable[WarmWorker], why: str) -> None:
    for worker in workers:
        log.info("run.worker-ended", worker=worker.name, why=why)
        worker.end()
