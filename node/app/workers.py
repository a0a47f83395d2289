"""Threads that each run one stage, or one destination's outbox, until they are stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from node.errors import NodeError
from node.items import frames_of, place_of
from node.wake import Stage, Wakes

log = structlog.get_logger(__name__)

_LONGEST_WAIT = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
"""After a stage has failed as a whole: twice as long each time, whatever wakes it meanwhile."""
PERSISTS = 3
"""Failures of a stage, one after the other, after which a person is alerted."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What one thread does."""

    where: Stage | threading.Event
    """The stage whose wakes it hears, or its own bell."""
    name: str
    run_once: Callable[[], float]
    """Returns the seconds until it wants to be called again."""
    close: Callable[[], None] | None = None
    """Called in the end, by its own thread."""


class Failing(Protocol):
    """Who is notified of stages that fail as a whole (`node.app.failing`)."""

    def fails(self, stage: str, why: str) -> None:
        """It has failed again, and no less than `PERSISTS` times."""
        ...

    def works(self, stage: str) -> None:
        """It works again, or is no more."""
        ...


class Workers:
    """Stages that begin and end together; each has a thread and a bell of its own.

    Those that follow others (a reload) begin where the one of the same name has ended: what it was about, such as an
    object on its way to a PACS, is finished before, and no destination has two outboxes at a time.
    """

    def __init__(
        self, workers: Iterable[Worker], wakes: Wakes, after: Workers | None = None, failing: Failing | None = None
    ) -> None:
        self._wakes = wakes
        self._failing = failing
        self._over = threading.Event()
        self._bells: list[tuple[Stage | threading.Event, threading.Event]] = []
        self._threads: dict[str, threading.Thread] = {}
        before = after._threads if after is not None else {}
        for worker in workers:
            where = worker.where
            bell = wakes.subscribe(where) if isinstance(where, Stage) else where
            self._bells.append((where, bell))
            self._threads[worker.name] = threading.Thread(
                target=self._loop, args=(worker, bell, before.get(worker.name)), name=worker.name, daemon=True
            )

    @property
    def names(self) -> list[str]:
        """Of all of them."""
        return list(self._threads)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads.values():
            thread.start()

    def end(self) -> None:
        """Let each finish what it does just now, and do no more."""
        self._over.set()
        for where, bell in self._bells:
            if isinstance(where, Stage):
                self._wakes.unsubscribe(where, bell)
            bell.set()

    def join(self, seconds: float) -> None:
        """Wait for each to end, so long at most."""
        for thread in self._threads.values():
            if thread is not threading.current_thread():
                thread.join(seconds)

    def _loop(self, worker: Worker, bell: threading.Event, before: threading.Thread | None) -> None:
        """Work, then wait for the bell or the time that the stage asked for, until told to stop."""
        if before is not None:
            before.join()
        failures = 0
        while not self._over.is_set():
            try:
                seconds = worker.run_once()
            except Exception as error:  # noqa: BLE001 - it must end neither the node nor the other stages: it tries again
                failures += 1
                self._failed(worker, error, failures)
                self._over.wait(min(_FIRST_PAUSE * 2 ** min(failures - 1, 16), _LONGEST_PAUSE))
                continue
            if failures >= PERSISTS and self._failing is not None:
                self._failing.works(worker.name)
            failures = 0
            bell.wait(min(seconds, _LONGEST_WAIT))
            bell.clear()
        if failures >= PERSISTS and self._failing is not None:
            self._failing.works(worker.name)  # what follows it, after a reload, begins again
        if worker.close is not None:
            worker.close()

    def _failed(self, worker: Worker, error: Exception, failures: int) -> None:
        """What it could not do is in the ledger. The text of an error that is not ours may hold a patient's data."""
        why = str(error) if isinstance(error, NodeError) else place_of(error)
        if self._over.is_set():  # it is being stopped, and says that it could not go on
            log.info("app.stage-stopped", stage=worker.name, why=why)
            return
        log.error("app.stage-failed", stage=worker.name, why=why, failures=failures, frames=frames_of(error))
        if failures >= PERSISTS and self._failing is not None:
            self._failing.fails(worker.name, why)
