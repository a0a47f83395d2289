"""Threads that each run one stage, until they are stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from node.app.heartbeat import StageTurn
from node.errors import NodeError
from node.items import defect_of, frames_of, place_of
from node.stage import NodeStage
from node.wake import Stage, Wakes

log = structlog.get_logger(__name__)

_LONGEST_WAIT = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
"""After a stage has failed as a whole: twice as long each time, whatever wakes it meanwhile."""
PERSISTS = 3
"""Failures of a stage, one after the other, after which a person is alerted."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A stage, and what wakes it."""

    name: str
    stage: NodeStage
    where: Stage | threading.Event = field(default_factory=threading.Event)
    """The name by which others wake it, or its own bell."""


class FailureObserver(Protocol):
    """Who is notified of stages that fail as a whole (`node.app.failing`)."""

    def fails(self, stage: str, why: str) -> None:
        """It has failed again, and no less than `PERSISTS` times."""
        ...

    def works(self, stage: str) -> None:
        """It works again, or is no more."""
        ...


class _RunningWorker:
    """A worker, and how its thread is reached."""

    def __init__(self, worker: Worker, bell: threading.Event) -> None:
        self.worker = worker
        self.bell = bell
        self.over = False
        self.turned_at = time.monotonic()
        """When its last run ended, or it began."""
        self.fails = False
        """Its last runs failed as a whole, no less than `PERSISTS` times."""
        self.at_once = threading.Event()
        """Set to end the pause after a failure."""


class Workers:
    """The stages of a node; each has a thread and a bell of its own."""

    def __init__(self, wakes: Wakes, failing: FailureObserver | None = None) -> None:
        self._wakes = wakes
        self._failing = failing
        self._running: dict[str, _RunningWorker] = {}
        self._threads: dict[str, threading.Thread] = {}
        """The last one of each name."""
        self._gate = threading.Lock()

    @property
    def names(self) -> list[str]:
        """Of all that run."""
        return list(self._running)

    @property
    def stages(self) -> dict[str, NodeStage]:
        """Of all that run, by name."""
        return {name: each.worker.stage for name, each in self._running.items()}

    def turns(self) -> list[StageTurn]:
        """How long ago each stage ended a run, and whether it fails."""
        now = time.monotonic()
        return [StageTurn(name, now - each.turned_at, each.fails) for name, each in [*self._running.items()]]

    def start(self, workers: Iterable[Worker]) -> None:
        """Start their threads.

        One whose name an earlier worker had begins when that has ended: what it was about, such as an object on its way
        to a PACS, is finished before, and no destination has two outboxes at a time.
        """
        for worker in workers:
            where = worker.where
            bell = self._wakes.subscribe(where) if isinstance(where, Stage) else where
            running = _RunningWorker(worker, bell)
            before = self._threads.get(worker.name)
            thread = threading.Thread(target=self._loop, args=(running, before), name=worker.name, daemon=True)
            self._running[worker.name], self._threads[worker.name] = running, thread
            thread.start()

    def end(self, names: Collection[str]) -> None:
        """Let each of these finish what it does just now, and do no more."""
        for name in names:
            running = self._running.pop(name)
            running.over = True
            if isinstance(running.worker.where, Stage):
                self._wakes.unsubscribe(running.worker.where, running.bell)
            running.at_once.set()
            running.bell.set()

    def join(self, seconds: float) -> None:
        """Wait for all that were ended, so long at most: one that hangs in an exchange ends with the process."""
        ends = time.monotonic() + seconds
        for thread in self._threads.values():
            if thread is not threading.current_thread():
                thread.join(max(0.0, ends - time.monotonic()))

    @contextmanager
    def between_runs(self) -> Iterator[None]:
        """Meanwhile no stage begins a run; what is under way goes on."""
        with self._gate:
            yield

    def run_at_once(self) -> None:
        """Have each stage run now, also one that pauses because it failed."""
        for running in self._running.values():
            running.at_once.set()
            running.bell.set()

    def _loop(self, running: _RunningWorker, before: threading.Thread | None) -> None:
        """Work, then wait for the bell or the time that the stage asked for, until told to stop."""
        if before is not None:
            before.join()
        worker, failures = running.worker, 0
        while True:
            with self._gate:
                running.at_once.clear()
            if running.over:
                break
            try:
                seconds = worker.stage.run_once()
            except Exception as error:  # noqa: BLE001 - it must end neither the node nor the other stages: it tries again
                failures += 1
                running.fails = failures >= PERSISTS
                self._failed(running, error, failures)
                running.at_once.wait(min(_FIRST_PAUSE * 2 ** min(failures - 1, 16), _LONGEST_PAUSE))
                continue
            if failures >= PERSISTS and self._failing is not None:
                self._failing.works(worker.name)
            failures, running.fails, running.turned_at = 0, False, time.monotonic()
            running.bell.wait(min(seconds, _LONGEST_WAIT))
            running.bell.clear()
        if failures >= PERSISTS and self._failing is not None:
            self._failing.works(worker.name)  # it is no more
        worker.stage.close()

    def _failed(self, running: _RunningWorker, error: Exception, failures: int) -> None:
        """What it could not do is in the ledger. The text of an error that is not ours may hold a patient's data."""
        name = running.worker.name
        why = str(error) if isinstance(error, NodeError) else defect_of(error)
        if running.over:  # it is being stopped, and says that it could not go on
            log.info("app.stage-stopped", stage=name, why=why, place=place_of(error))
            return
        log.error(
            "app.stage-failed", stage=name, why=why, place=place_of(error), failures=failures, frames=frames_of(error)
        )
        if failures >= PERSISTS and self._failing is not None:
            self._failing.fails(name, why)
