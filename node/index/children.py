"""Child processes that read headers and decode pixels, so that no file can bring the node down.

Spawned, not forked: the node has threads. A child that dies of a file (a fault in a codec, memory,
a hang) is replaced; its files are tried again one by one, and the one that kills a child twice is
given up. A child ends when its pipe does, so none outlives the node.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import structlog

from node.errors import TransientError
from node.index import decode, header
from node.index.header import Reading
from node.spool import NotOurFileError

log = structlog.get_logger()

CHILDREN = 2
FILES_A_TASK = 16
BYTES_A_TASK = 256 * 2**20
MEMORY = 3 * 2**30
"""Bytes of its own that a child may have (files are mapped, and do not count)."""
SECONDS_A_TASK = 120.0
SECONDS_A_GIBIBYTE = 120.0
_context = multiprocessing.get_context("spawn")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer for a file."""

    reason: str
    kind: FailureKind


class FailureKind(StrEnum):
    """What can be done about a failure."""

    FATAL = "fatal"
    """Reading it kills or confuses the reader, every time."""
    INPUT_OUTPUT = "input-output"
    """The disk or the system refused: trying again may help."""
    FOREIGN = "foreign"
    """This node did not write the file."""


@dataclass(slots=True)
class _Task:
    function: Callable[..., Any]
    arguments: list[tuple[Any, ...]]
    places: list[int]
    seconds: float
    lives: int = 2


class _Child:
    """One process and the pipe to it."""

    def __init__(self) -> None:
        self.pipe, far = _context.Pipe()
        self.process: BaseProcess = _context.Process(target=_serve, args=(far,), name="pacsnode-reader", daemon=True)
        self.process.start()
        far.close()
        self.task: _Task | None = None
        self.deadline = 0.0

    def give(self, task: _Task) -> None:
        self.task = task
        self.deadline = time.monotonic() + task.seconds
        self.pipe.send((task.function, task.arguments))

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def end(self) -> str:
        """Kill and reap it, and forget its pipe; how it ended, in words."""
        self.kill()
        self.pipe.close()
        return f"exit code {self.process.exitcode}"


class HeaderReader:
    """Reads files in children; made once, used by one thread.

    `close` may be called by another thread: who is waiting for an answer then gets TransientError, and
    no file is blamed for the end of its reader.
    """

    def __init__(self, children: int = CHILDREN) -> None:
        self._size = children
        self._closed = False
        self._children = [_Child() for _ in range(children)]

    def read(self, paths: Sequence[Path]) -> list[Reading | Failure]:
        """One answer a path, in their order."""
        tasks = [
            _Task(header.read, [(paths[place],) for place in places], places, _seconds(size))
            for places, size in _portions(paths)
        ]
        return self._run(tasks, len(paths))

    def same_pixels(self, one: Path, other: Path) -> bool | None:
        """Whether both decode to the same pixels; None where one cannot be decoded."""
        size = _size(one) + _size(other)
        answer = self._run([_Task(decode.same_pixels, [(one, other)], [0], _seconds(size), lives=1)], 1)[0]
        if isinstance(answer, Failure):
            log.warning("index.pixels-not-compared", reason=answer.reason, receipts=[one.stem, other.stem])
            return None
        return bool(answer)

    def close(self) -> None:
        """End the children, whatever they are doing."""
        self._closed = True
        for child in [*self._children]:
            child.kill()

    def _run(self, tasks: Iterable[_Task], count: int) -> list[Any]:
        answers: list[Any] = [None] * count
        waiting = deque(tasks)
        while waiting or any(child.task for child in self._children):
            self._give_out(waiting)
            busy = [child for child in self._children if child.task]
            patience = max(0.0, min(child.deadline for child in busy) - time.monotonic())
            ready = wait([child.pipe for child in busy], timeout=patience)
            for child in busy:
                if child.pipe in ready:
                    self._take(child, answers, waiting)
                elif time.monotonic() >= child.deadline:
                    self._bury(child, "took too long", answers, waiting)
        return answers

    def _give_out(self, waiting: deque[_Task]) -> None:
        while waiting:
            if self._closed:
                raise TransientError("the indexer is stopping: nothing more is read")
            idle = next((child for child in self._children if child.task is None), None)
            if idle is None and len(self._children) < self._size:
                idle = _Child()
                self._children.append(idle)
            if idle is None:
                return
            task = waiting.popleft()
            try:
                idle.give(task)
            except OSError:  # it died while idle: nobody's fault
                waiting.appendleft(task)
                idle.end()
                self._children.remove(idle)

    def _take(self, child: _Child, answers: list[Any], waiting: deque[_Task]) -> None:
        try:
            received = child.pipe.recv()
        except (EOFError, OSError):
            self._bury(child, "the process that read it died", answers, waiting)
            return
        assert child.task is not None
        for place, answer in zip(child.task.places, received, strict=True):
            answers[place] = answer
        child.task = None

    def _bury(self, child: _Child, why: str, answers: list[Any], waiting: deque[_Task]) -> None:
        """Replace a dead or hanging child; its files are tried again one by one, and then given up."""
        if self._closed:
            raise TransientError("the indexer is stopping: the rest is read at the next start")
        task = child.task
        assert task is not None
        how = child.end()
        self._children.remove(child)
        log.warning("index.child-died", why=why, how=how, files=[str(arguments[0]) for arguments in task.arguments])
        if len(task.places) == 1 and task.lives <= 1:
            answers[task.places[0]] = Failure(f"{why} ({how})", FailureKind.FATAL)
            return
        lives = task.lives if len(task.places) > 1 else task.lives - 1
        for place, arguments in zip(reversed(task.places), reversed(task.arguments), strict=True):
            waiting.appendleft(_Task(task.function, [arguments], [place], task.seconds, lives))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # reading it will say what is wrong


def _seconds(size: int) -> float:
    return SECONDS_A_TASK + size / 2**30 * SECONDS_A_GIBIBYTE


def _portions(paths: Sequence[Path]) -> list[tuple[list[int], int]]:
    """Indices of `paths` in portions for one task each, with their size in bytes."""
    portions: list[tuple[list[int], int]] = []
    for place, path in enumerate(paths):
        size = _size(path)
        if portions and len(portions[-1][0]) < FILES_A_TASK and portions[-1][1] + size <= BYTES_A_TASK:
            portions[-1] = ([*portions[-1][0], place], portions[-1][1] + size)
        else:
            portions.append(([place], size))
    return portions


def _serve(pipe: Connection) -> None:
    """What a child does: answer until the pipe ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the node; SIGTERM is how multiprocessing ends us at exit
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's images
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # codecs write there what they like about what a stranger sent
        os.dup2(nowhere, stream)
    while True:
        try:
            function, portion = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send([_answer(function, arguments) for arguments in portion])


def _answer(function: Callable[..., T], arguments: tuple[Any, ...]) -> T | Failure:
    try:
        return function(*arguments)
    except OSError as error:
        return Failure(str(error), FailureKind.INPUT_OUTPUT)
    except NotOurFileError as error:
        return Failure(str(error), FailureKind.FOREIGN)
    except Exception as error:  # noqa: BLE001 - every failure of one file is an answer, and the node's to judge
        return Failure(f"{type(error).__name__}: {error}", FailureKind.FATAL)
