"""Child processes that read headers and decode pixels, so that no file can bring the node down.

A child that dies of a file (a fault in a codec, memory, a hang) is replaced; its files are tried again one by one,
and the one that kills a child twice is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import structlog

from node.errors import TransientError
from node.index import alike, decode, header
from node.index.header import UNSTATED, HeaderReading
from node.items import defect_of, frames_of, place_of
from node.processes.pool import CallCancelledError, ChildError, ChildPool
from node.store.arrival import NotOurFileError

log = structlog.get_logger(__name__)

CHILDREN = 2
FILES_A_TASK = 16
BYTES_A_TASK = 256 * 2**20
MEMORY = 3 * 2**30
"""Bytes of its own that a child may have (files are mapped, and do not count)."""
SECONDS_A_TASK = 120.0
SECONDS_A_GIBIBYTE = 120.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HeaderFailure:
    """Why there is no answer for a file."""

    reason: str
    kind: HeaderFailureKind


class HeaderFailureKind(StrEnum):
    """What can be done about a failure."""

    FATAL = "fatal"
    """Reading it kills or confuses the reader, every time."""
    INPUT_OUTPUT = "input-output"
    """The disk or the system refused: trying again may help."""
    FOREIGN = "foreign"
    """This node did not write the file."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One function on several files."""

    function: Callable[..., Any]
    arguments: list[tuple[Any, ...]]
    places: list[int]
    seconds: float
    lives: int = 2


class HeaderReader:
    """Reads files in children; made once, used by one thread.

    `close` may be called by another thread: who is waiting for an answer then gets TransientError, and
    no file is blamed for the end of its reader.
    """

    def __init__(self, children: int = CHILDREN) -> None:
        self.terms = UNSTATED
        """What is known of senders; may be swapped between two calls (a reload)."""
        self._pool = ChildPool(children)
        self._threads = ThreadPoolExecutor(children, thread_name_prefix="read")

    def read(self, paths: Sequence[Path]) -> list[HeaderReading | HeaderFailure]:
        """One answer a path, in their order."""
        tasks = [
            _Task(header.read, [(paths[place], self.terms) for place in places], places, _seconds(size))
            for places, size in _portions(paths)
        ]
        return self._run(tasks, len(paths))

    def same_pixels(self, one: Path, other: Path) -> bool | None:
        """Whether both decode to the same pixels; None where one cannot be decoded."""
        size = _size(one) + _size(other)
        answer = self._run([_Task(decode.same_pixels, [(one, other)], [0], _seconds(size), lives=1)], 1)[0]
        if isinstance(answer, HeaderFailure):
            log.warning("index.pixels-not-compared", reason=answer.reason, receipts=[one.stem, other.stem])
            return None
        return bool(answer)

    def differing_in_form(self, one: Path, other: Path, keywords: Sequence[str]) -> Sequence[str]:
        """Those of the differences between both that change no meaning; none where a file cannot be read."""
        size = _size(one) + _size(other)
        task = _Task(alike.differing_in_form, [(one, other, keywords, self.terms)], [0], _seconds(size), lives=1)
        answer = self._run([task], 1)[0]
        if isinstance(answer, HeaderFailure):
            log.warning("index.receipts-not-compared", reason=answer.reason, receipts=[one.stem, other.stem])
            return ()
        found: Sequence[str] = answer
        return found

    def close(self) -> None:
        """End the children, whatever they are doing."""
        self._pool.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, tasks: Iterable[_Task], count: int) -> list[Any]:
        answers: list[Any] = [None] * count
        try:
            under_way = [(task.places, self._threads.submit(self._answers, task)) for task in tasks]
            for places, future in under_way:
                for place, answer in zip(places, future.result(), strict=True):
                    answers[place] = answer
        except (CallCancelledError, CancelledError, RuntimeError) as error:
            raise TransientError("the indexer is stopping: the rest is read at the next start") from error
        return answers

    def _answers(self, task: _Task) -> list[Any]:
        """One for each of its files; those of a child that died or hung are tried again one by one, then given up."""
        lives = task.lives if len(task.arguments) == 1 else 1
        for life in range(1, lives + 1):
            try:
                return self._pool.call(
                    _answer_each, (task.function, task.arguments), deadline=task.seconds, memory=MEMORY
                )
            except ChildError as error:
                reason = str(error)
                files = [str(arguments[0]) for arguments in task.arguments]
                log.warning("index.child-died", why=reason, life=life, files=files)
        if len(task.arguments) == 1:
            return [HeaderFailure(reason, HeaderFailureKind.FATAL)]
        alone = [_Task(task.function, [each], [0], task.seconds, task.lives) for each in task.arguments]
        return [answer for each in alone for answer in self._answers(each)]


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


def _answer_each(task: tuple[Callable[..., Any], list[tuple[Any, ...]]]) -> list[Any]:
    """In the child."""
    function, portion = task
    return [_answer(function, arguments) for arguments in portion]


def _answer(function: Callable[..., T], arguments: tuple[Any, ...]) -> T | HeaderFailure:
    try:
        return function(*arguments)
    except OSError as error:
        return HeaderFailure(str(error), HeaderFailureKind.INPUT_OUTPUT)
    except NotOurFileError as error:
        return HeaderFailure(str(error), HeaderFailureKind.FOREIGN)
    except Exception as error:  # noqa: BLE001 - every failure of one file is an answer, and the node's to judge
        log.error("index.reading-failed", place=place_of(error), frames=frames_of(error))
        return HeaderFailure(defect_of(error), HeaderFailureKind.FATAL)  # its text may hold a patient's data
