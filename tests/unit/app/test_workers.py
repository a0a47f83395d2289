"""Threads of the node process, and how some follow others."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from node.app import workers
from node.app.workers import PERSISTS, Worker, Workers
from node.stage import NodeStage
from node.wake import Stage, Wakes
from tests.support.wait import until


class WorkOfATest(NodeStage):
    """A stage that does what a test says."""

    def __init__(self, work: Callable[[], float], closed: Callable[[], object] = lambda: None) -> None:
        self._work = work
        self._closed = closed

    def run_once(self) -> float:
        return self._work()

    def close(self) -> None:
        self._closed()


def test_who_follows_begins_when_the_one_of_the_same_name_has_ended() -> None:
    """An outbox that is about to send finishes that first; a destination that is new does not wait for it."""
    said: list[str] = []
    sending, sent, over = threading.Event(), threading.Event(), threading.Event()

    def old() -> float:
        sending.set()
        assert sent.wait(120)
        said.append("old sent")
        return 60.0

    def new() -> float:
        said.append("new")
        return 60.0

    def other() -> float:
        over.set()
        return 60.0

    signal = Wakes()
    room = Workers(signal)
    room.start([Worker("pacs", WorkOfATest(old, lambda: said.append("old closed")), Stage.DELIVER)])
    assert sending.wait(120)
    room.end(["pacs"])
    room.start([Worker("pacs", WorkOfATest(new), Stage.DELIVER), Worker("other", WorkOfATest(other), Stage.DELIVER)])
    assert over.wait(120)
    assert said == []
    sent.set()
    until(lambda: len(said) == 3, what="the new one to begin")
    assert said == ["old sent", "old closed", "new"]
    room.end(room.names)
    room.join(120)


def test_a_stage_is_woken_by_its_room_and_survives_what_it_raises() -> None:
    """It works once, is called again by the bell, and no more after its end."""
    calls: list[int] = []

    def fails() -> float:
        calls.append(1)
        if len(calls) > 1:
            return 60.0
        raise ValueError("for once")

    signal = Wakes()
    workers = Workers(signal)
    workers.start([Worker("index", WorkOfATest(fails), Stage.INDEX)])
    until(lambda: calls, what="the first call")
    until(lambda: signal.wake(Stage.INDEX) or len(calls) > 1, what="another call")
    workers.end(workers.names)
    workers.join(120)
    before = len(calls)
    signal.wake(Stage.INDEX)
    assert len(calls) == before


class Told:
    """Who is told of stages that fail."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def fails(self, stage: str, why: str) -> None:
        self.said.append(f"{stage}: {why}")

    def works(self, stage: str) -> None:
        self.said.append(f"{stage} works")


def test_finding_d3_a_stage_that_fails_as_a_whole_backs_off_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for one failure; each time later, whatever wakes it; by its place, without the text; until it works."""
    monkeypatch.setattr(workers, "_FIRST_PAUSE", 0.01)
    calls: list[int] = []
    mended = threading.Event()

    def run_once() -> float:
        calls.append(1)
        if not mended.is_set():
            raise KeyError("Hong^Gildong")
        return 60.0

    signal, told = Wakes(), Told()
    room = Workers(signal, told)
    room.start([Worker("index", WorkOfATest(run_once), Stage.INDEX)])
    until(lambda: told.said, what="somebody to be told")
    assert len(calls) >= PERSISTS
    assert told.said[0].startswith("index: an error in the program (test_workers.py, line ")
    until(lambda: len(calls) >= 6, what="more tries")
    before = len(calls)
    for _ in range(1000):
        signal.wake(Stage.INDEX)
    assert len(calls) <= before + 1
    mended.set()
    until(lambda: told.said[-1] == "index works", what="it to work again")
    room.end(room.names)
    room.join(120)
    assert "Hong" not in str(told.said)
