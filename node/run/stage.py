"""The run stage: claims jobs by priority, runs each in a thread of a bounded pool, kills what was cancelled.

What survives a crash is the ledger: an attempt of this machine that is open there and that no thread works on is one
that the node died on. It is lost, and counts, since perhaps the plugin brought the node down.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import structlog

from node.config.models import Configuration
from node.errors import NotFoundError, PermanentError
from node.items import Item, Items
from node.ledger import attempts, jobs, recalls
from node.ledger.attempts import AttemptElsewhere, AttemptFailureKind
from node.ledger.clock_changes import DueTimes
from node.ledger.job import URGENT, Job
from node.processes.pool import ChildPool
from node.run import hours, leftovers, nested, slots
from node.run.attempt import RunningAttempt
from node.run.catalogue import Catalogue, SitePlugin
from node.run.commissioning import Commissioner, ExamplesTrial
from node.run.digests import CodeDigests
from node.run.elsewhere.jobs import JobsElsewhere
from node.run.kinds import registry
from node.run.kinds.python import BUNDLE
from node.run.machine import this_machine
from node.run.occupancy import OccupancyNote
from node.run.removed_images import RemovedImages
from node.run.retry import AttemptFailure
from node.run.settle import Settler, unknown_algorithm
from node.run.slots import BusySlot, IdleModel, Placement, PlacementPlan, WaitingJob
from node.run.stopped import StoppedJobs
from node.run.used_results import UsedResults
from node.run.waiting import OTHERS
from node.run.waiting_note import WaitingNote
from node.run.workers import WarmWorkers
from node.stage import Node, NodeStage
from node.store import keys
from node.wake import Stage
from plugins import bundle
from plugins.manifest import ParameterError
from plugins.resources import Resources

WATCH_SECONDS = 1.0
"""How soon a cancelled job is noticed while it runs."""
BLOCKED_SECONDS = 5.0
"""How soon jobs that wait for something else than time are looked at again (a held study, a slot)."""
IDLE_SECONDS = 60.0
_DRAIN_SECONDS = 20.0
"""For plugins that run when the node is stopped; the supervisor waits a little longer."""
READERS = 2
"""Processes that read results: a giant one in the first leaves the second to the others."""
_KILL_SECONDS = 60.0
log = structlog.get_logger(__name__)

T = TypeVar("T")


class RunStage(NodeStage):
    """Runs jobs; one thread calls `run_once`."""

    def __init__(
        self,
        node: Node,
        configuration: Configuration,
        plugins_of: Callable[[Configuration], Catalogue],
        workers: WarmWorkers,
        trial: ExamplesTrial | None = None,
    ) -> None:
        """The workers outlive the stage's configuration; who made them closes them.

        `trial` runs the examples of a plugin before it goes live; None: plugins run without that.
        """
        self._ledger = node.ledger
        self._clock = node.clock
        self._wakes = node.wakes
        self._data_folder = node.store
        self._plugins_of = plugins_of
        self._workers = workers
        self._pool = ThreadPoolExecutor(configuration.node.jobs_at_once, thread_name_prefix="run")
        self._readers = ChildPool(READERS)
        self._digests = CodeDigests(node.store.data)
        self._commissioner = Commissioner(node, self._digests, trial) if trial else None
        self._active: dict[str, tuple[RunningAttempt, Future[None]]] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._settler = Settler(node)
        self._removed_images = RemovedImages(node, self._settler)
        self._stopped = StoppedJobs(node.ledger, self._settler)
        self._jobs_elsewhere = JobsElsewhere(node, self._begin)
        self._used_results = UsedResults(node, self._settler)
        self._items = Items(Stage.RUN, node)
        self._due_times = DueTimes(node.ledger, node.clock, "jobs")
        self._prepared = False
        self._waiting = WaitingNote(node.store.data)
        self._occupancy = OccupancyNote(node.store.data)
        self._held: dict[str, str] = {}
        """Plugin → why its jobs wait for its examples, or "", in this look."""
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Run jobs with its plugins, on the machine as it describes it, from the next one on."""
        self._settings = configuration.node
        self._machine = this_machine(configuration.node)
        self._catalogue = self._plugins_of(configuration)
        self._configuration = configuration
        self._workers.keep_only([(each.manifest.folder, each.limits) for each in self._catalogue.plugins.values()])

    def run_once(self) -> float:
        """Settle, stop and start what is due; returns the seconds until it wants to be called again."""
        with self._lock:
            if self._stopping:
                return IDLE_SECONDS
            self._prepare()
            self._due_times.keep()
            self._reap()
            self._workers.sweep()
            self._watch()
            delay = self._delay(self._claim())
            self._occupancy.show(self._machine, self._idle())
            return delay

    def close(self) -> None:
        """Claim nothing more; let what runs end within 20 s, then kill it (the next start takes it up)."""
        self._stop(_DRAIN_SECONDS)

    def _stop(self, seconds: float) -> None:
        with self._lock:
            self._stopping = True
            futures = [future for _, future in self._active.values()]
        if self._commissioner:
            self._commissioner.close()
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
        if not leftovers.end_all(self._data_folder.work.resolve(), self._containers()):
            log.error("run.processes-left", reason="processes of plugins of an earlier life cannot be ended")
        for entry in self._data_folder.work.iterdir():
            try:
                if entry.is_dir():
                    nested.remove(entry)
                else:
                    entry.unlink()
            except OSError as error:  # it takes room, and the jobs must not wait for it
                log.warning("run.not-removed", job=entry.name, error=str(error))
        bundle.write(self._data_folder.work / BUNDLE).chmod(0o644)  # plugins may be another user; it is no secret
        keys.secret(self._data_folder.data)
        self._prepared = True

    def _containers(self) -> str:
        """What the site runs container images with, where an earlier life may have left containers."""
        used = {str(each.manifest.runtime.kind) for each in self._catalogue.plugins.values()}
        used |= {str(row.kind) for row in attempts.open_here(self._ledger.database) if row.kind}
        return self._settings.containers if registry.OUTLIVING & used else ""

    def _reap(self) -> None:
        for job_id in [job_id for job_id, (_, future) in self._active.items() if future.done()]:
            del self._active[job_id]

    def _watch(self) -> None:
        """Kill attempts that were ended in the ledger; settle those that are open here and that nothing works on."""
        still_open = {row.job for row in attempts.open_here(self._ledger.database)}
        for job_id, (attempt, _) in self._active.items():
            if job_id not in still_open:
                attempt.cancel.set()
        for job_id in still_open - self._active.keys():
            job = jobs.get(self._ledger.database, job_id)
            self._handle(job, partial(self._died, job), otherwise=None)

        for job, why in self._jobs_elsewhere.left_alone(self._configuration):
            self._handle(job, partial(self._left_alone, job, why), otherwise=None)

    def _left_alone(self, job: Job, why: str) -> None:
        self._settler.failed(job, AttemptFailure(AttemptFailureKind.INPUT, why), None)

    def _died(self, job: Job) -> None:
        failure = AttemptFailure(AttemptFailureKind.NODE_DIED, "the node ended while it ran")
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
        is_full = len(self._busy()) >= self._machine.slots
        if is_full and not self._catalogue.has_any_elsewhere:
            return self._waiting.tell({OTHERS: slots.why_full(self._machine, self._busy())})
        ready: dict[str, tuple[Job, SitePlugin]] = {}
        self._held.clear()
        self._stopped.begin_look()
        if self._commissioner:
            self._commissioner.begin_look()
        for job in jobs.ready(self._ledger.database, self._clock.now()):
            if job.id in self._active:
                continue  # to be tried again at once, while its last attempt is still tidying up
            if is_full and not self._catalogue.is_elsewhere(job.plugin):
                continue
            taken_up = self._handle(job, partial(self._take_up, job), otherwise=None)
            if taken_up is not None:
                ready[job.id] = taken_up
        at_others = self._jobs_elsewhere.hand_over(ready, self._handle)
        if is_full:
            return self._waiting.tell({OTHERS: slots.why_full(self._machine, self._busy()), **at_others})
        placing = self._placed(ready)
        for each in placing.started:
            self._start_placed(each, ready)
        for name, why in placing.never.items():
            if name not in ready:
                self._trials.impossible(name, why)
                continue
            job, plugin = ready[name]
            self._handle(job, partial(self._impossible, job, plugin, why), otherwise=None)
        waits = placing.waits
        lacking = {job.plugin: waits[each.name] for job, each in ready.values() if each.name in waits}
        self._waiting.tell({**dict(self._why_held(waits)), **at_others, **lacking})
        return bool(waits or at_others)

    def _why_held(self, waits: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Plugin, as rules call it, and why its jobs wait for its examples; `waits`: why these have no room yet."""
        for name, why in self._held.items():
            if why:
                told = waits.get(self._catalogue.find(name).name)
                yield name, f"{why}; {told}" if told else why

    def _start_placed(self, placement: Placement, ready: Mapping[str, tuple[Job, SitePlugin]]) -> None:
        """A job, or the examples of a plugin, in the room that was found for it."""
        job, plugin = ready.get(placement.job) or (None, self._trials.plugin_of(placement.job))
        use = (plugin.manifest.folder, plugin.limits)
        if placement.make_room:
            self._workers.free(placement.make_room, use)
        if placement.gpu is not None and placement.clears_gpu:
            self._workers.free_gpu(placement.gpu, use)
        if job is not None:
            self._handle(job, partial(self._start, job, plugin, placement.gpu), otherwise=None)
            return
        gpu = next((each for each in self._machine.gpus if each.name == placement.gpu), None)
        self._trials.begin(placement, gpu, self._configuration)

    @property
    def _trials(self) -> Commissioner:
        assert self._commissioner is not None, "only it has something placed that is not a job"
        return self._commissioner

    def _placed(self, ready: Mapping[str, tuple[Job, SitePlugin]]) -> PlacementPlan:
        queue = [_waiting(job, plugin) for job, plugin in ready.values()]
        queue += self._commissioner.waiting if self._commissioner else []
        busy, idle, now = self._busy(), self._idle(), self._clock.now()
        placing = slots.place(queue, [self._machine], busy, now, idle)
        if placing.never:  # perhaps a driver was loaded since
            self._machine = this_machine(self._settings)
            placing = slots.place(queue, [self._machine], busy, now, idle)
        return placing

    def _idle(self) -> list[IdleModel]:
        """What workers hold that wait for a job."""
        known = {each.manifest.folder: each for each in self._catalogue.plugins.values()}
        found = []
        for each in self._workers.waiting:
            plugin, gpu = known.get(each.recipe.plugin), each.recipe.limits.gpu
            name, resources = (plugin.name, plugin.resources) if plugin else ("", Resources())
            found.append(IdleModel(name, self._machine.name, each.memory, gpu, resources.gpu_memory))
        return found

    def _busy(self) -> list[BusySlot]:
        trials = self._commissioner.slots if self._commissioner else []
        return [*(attempt.slot for attempt, _ in self._active.values()), *trials]

    def _take_up(self, job: Job) -> tuple[Job, SitePlugin] | None:
        """The job and its plugin where it may start, as far as time, people and its images are concerned."""
        plugin = self._find(job)
        if plugin is None:
            self._unknown(job)
        elif self._stopped.see_to(job, plugin):
            log.debug("run.stopped", job=job.id, plugin=plugin.name)
        elif (opens := hours.waits_until(job, self._clock.now())) is not None:
            self._outside_hours(job, opens)
        elif self._is_held(job, plugin):
            log.debug("run.not-commissioned", job=job.id, plugin=plugin.name)
        elif not self._used_results.are_here(job, plugin):
            log.debug("run.earlier-result-missing", job=job.id, plugin=plugin.name)
        elif (here := self._removed_images.see_to(job, plugin, self._configuration)) is not None:
            return here, plugin
        return None

    def _is_held(self, job: Job, plugin: SitePlugin) -> bool:
        """Whether its jobs wait for its examples; asked once a look: thousands of them may wait."""
        if self._commissioner is None or plugin.elsewhere:  # it can only be tried by sending it something
            return False
        if job.plugin not in self._held:
            self._held[job.plugin] = self._commissioner.why_held(plugin)
        if self._held[job.plugin]:
            self._commissioner.wanted_for(plugin.name, _waiting(job, plugin))
        return bool(self._held[job.plugin])

    def _impossible(self, job: Job, plugin: SitePlugin, why: str) -> None:
        """No machine is one that it could run on: perhaps only for now, and no reason for silence."""
        begun = self._begin(job, asdict(plugin.manifest.identity), plugin.manifest.runtime.kind)
        if begun:
            self._settler.failed(begun[0], AttemptFailure(AttemptFailureKind.NODE, why), plugin)

    def _outside_hours(self, job: Job, opens: datetime) -> None:
        """It queued until its hours were over: the next opening is its turn, unless it was cancelled meanwhile."""
        with contextlib.suppress(PermanentError), self._ledger.transaction() as database:
            jobs.outside_hours(database, self._clock.now(), job.id, opens)

    def _find(self, job: Job) -> SitePlugin | None:
        try:
            return self._catalogue.find(job.plugin)
        except NotFoundError:
            return None

    def _unknown(self, job: Job) -> None:
        """The plugin was taken out of the configuration since the decision: that ends the job, visibly."""
        begun = self._begin(job, unknown_algorithm(job))
        if begun:
            detail = f"there is no usable plugin {job.plugin} in the configuration any more"
            self._settler.failed(begun[0], AttemptFailure(AttemptFailureKind.INPUT, detail), None)

    def _begin(
        self,
        job: Job,
        algorithm: Mapping[str, Any],
        kind: str | None = None,
        identity: str | None = None,
        elsewhere: AttemptElsewhere | None = None,
    ) -> tuple[Job, attempts.Attempt] | None:
        """Claim a job, None where it was cancelled between the look and the claim."""
        try:
            with self._ledger.transaction() as database:
                if recalls.find(database, job.plugin, str(algorithm["version"])) is not None:
                    return None  # withdrawn since the look
                begun = jobs.started(database, self._clock.now(), job.id, algorithm, kind, identity, elsewhere)
                return begun, attempts.open_of(database, job.id)
        except PermanentError as error:
            log.info("run.not-claimed", job=job.id, reason=str(error))
            return None

    def _start(self, job: Job, plugin: SitePlugin, gpu: str | None) -> None:
        identity = plugin.manifest.identity
        with contextlib.suppress(ParameterError):  # the attempt says so, in full
            identity = plugin.manifest.identity_with(plugin.manifest.parameters_for(job.parameters))
        runtime = plugin.manifest.runtime
        begun = self._begin(job, asdict(identity), runtime.kind, job.identity or runtime.identity)
        if begun is None:
            return
        attempt = RunningAttempt(
            *begun, plugin, self._data_folder, self._settler, self._readers, self._digests, self._workers, gpu
        )
        future = self._pool.submit(copy_context().run, attempt.run)  # its log lines say what those of this thread say
        self._active[job.id] = (attempt, future)
        future.add_done_callback(lambda _: self._wakes.wake(Stage.RUN))
        log.info("run.started", job=job.id, plugin=plugin.name, attempt=attempt.row.number)

    def _delay(self, left: bool) -> float:
        if self._active:
            return WATCH_SECONDS
        if left:
            return BLOCKED_SECONDS
        due = jobs.next_ready_at(self._ledger.database)
        if due is None:
            return IDLE_SECONDS
        seconds = (due - self._clock.now()).total_seconds()
        return min(seconds, IDLE_SECONDS) if seconds > 0 else BLOCKED_SECONDS


def _waiting(job: Job, plugin: SitePlugin) -> WaitingJob:
    urgent, high = job.priority >= URGENT, job.priority > 0
    return WaitingJob(job.id, plugin.name, plugin.at_once, job.created_at, plugin.resources, urgent, high)
