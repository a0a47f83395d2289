"""Who wakes whom: the one way by which stages wake each other.

A stage that committed something another stage waits for calls `wake(Stage.…)`. Waking is a hint:
what is to be done is in the ledger, so a wake that is lost costs a poll interval, never a study.
"""

from __future__ import annotations

import threading
from enum import StrEnum


class Stage(StrEnum):
    """Who can be woken."""

    INDEX = "index"
    ROUTE = "route"
    RUN = "run"
    BOX = "box"
    SERVICE = "service"
    RESULTS = "results"
    DELIVER = "deliver"
    FETCH = "fetch"
    NOTIFY = "notify"
    COMMIT = "commit"
    RETAIN = "retain"
    AUDIT = "audit"


class Wakes:
    """One bell for each thread that waits at a stage (deliver and commit have several)."""

    def __init__(self) -> None:
        self._bells: dict[Stage, list[threading.Event]] = {stage: [] for stage in Stage}

    def subscribe(self, stage: Stage) -> threading.Event:
        """A bell that every `wake(stage)` sets; the thread that waits for it clears it."""
        bell = threading.Event()
        self._bells[stage].append(bell)
        return bell

    def unsubscribe(self, stage: Stage, bell: threading.Event) -> None:
        """Nobody waits for this bell any more."""
        self._bells[stage] = [each for each in self._bells[stage] if each is not bell]

    def wake(self, stage: Stage) -> None:
        """There may be something to do in `stage`."""
        for bell in self._bells[stage]:
            bell.set()

    def wake_all(self) -> None:
        """Every stage should look: at the start, and when the node stops."""
        for stage in Stage:
            self.wake(stage)
