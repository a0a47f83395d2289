"""The one signal by which stages wake each other.

A stage that committed something another stage waits for calls `wake(Room.…)`. Waking is a hint:
what is to be done is in the ledger, so a wake that is lost costs a poll interval, never a study.
"""

from __future__ import annotations

import threading
from enum import StrEnum


class Room(StrEnum):
    """Who can be woken."""

    INDEX = "index"
    ROUTE = "route"
    RUN = "run"
    RESULTS = "results"
    DELIVER = "deliver"
    FETCH = "fetch"
    NOTIFY = "notify"
    COMMIT = "commit"


class Signal:
    """One bell for each thread that waits in a room (deliver and commit have several)."""

    def __init__(self) -> None:
        self._bells: dict[Room, list[threading.Event]] = {room: [] for room in Room}

    def subscribe(self, room: Room) -> threading.Event:
        """A bell that every `wake(room)` sets; the thread that waits for it clears it."""
        bell = threading.Event()
        self._bells[room].append(bell)
        return bell

    def unsubscribe(self, room: Room, bell: threading.Event) -> None:
        """Nobody waits for this bell any more."""
        self._bells[room] = [each for each in self._bells[room] if each is not bell]

    def wake(self, room: Room) -> None:
        """There may be something to do in `room`."""
        for bell in self._bells[room]:
            bell.set()

    def wake_all(self) -> None:
        """Every room should look: at the start, and when the node stops."""
        for room in Room:
            self.wake(room)
