"""Threads that each run one stage, or one destination's outbox, until they are told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from node.signal import Room, Signal

log = structlog.get_logger(__name__)

_LONGEST_WAIT = 60.0
_AFTER_FAILURE = 5.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What one thread does."""

    where: Room | threading.Event
    """The room in which it is woken, or its own bell."""
    name: str
    run_once: Callable[[], float]
    """Returns the seconds until it wants to be called again."""
    close: Callable[[], None] | None = None
    """Called in the end, by its own thread."""


class Workers:
    """Stages that begin and end together; each has a thread and a bell of its own.

    Those that follow others (a reload) begin where the one of the same name has ended: what it was about, such as an
    object on its way to a PACS, is finished before, and no destination has two outboxes at a time.
    """

    def __init__(self, stages: Iterable[Stage], signal: Signal, after: Workers | None = None) -> None:
        self._signal = signal
        self._over = threading.Event()
        self._bells: list[tuple[Room | threading.Event, threading.Event]] = []
        self._threads: dict[str, threading.Thread] = {}
        before = after._threads if after is not None else {}
        for stage in stages:
            where = stage.where
            bell = signal.subscribe(where) if isinstance(where, Room) else where
            self._bells.append((where, bell))
            self._threads[stage.name] = threading.Thread(
                target=self._loop, args=(stage, bell, before.get(stage.name)), name=stage.name, daemon=True
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
        for room, bell in self._bells:
            if isinstance(room, Room):
                self._signal.unsubscribe(room, bell)
            bell.set()

    def join(self, seconds: float) -> None:
        """Wait for each to end, so long at most."""
        for thread in self._threads.values():
            if thread is not threading.current_thread():
                thread.join(seconds)

    def _loop(self, stage: Stage, bell: threading.Event, before: threading.Thread | None) -> None:
        """Work, then wait for the bell or the time that the stage asked for, until told to stop."""
        if before is not None:
            before.join()
        while not self._over.is_set():
            try:
                seconds = stage.run_once()
            except Exception:
                # A stage that raises must not end the node or the other stages: what it was doing is in the
                # ledger, the log has the reason, and it tries again.
                log.exception("stage.failed", stage=stage.name)
                seconds = _AFTER_FAILURE
            bell.wait(min(seconds, _LONGEST_WAIT))
            bell.clear()
        if stage.close is not None:
            stage.close()
