"""One process beside this one, for work that may die of what it works on: spawned, ended and replaced."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TypeVar

from node.lifeline import end_with

A = TypeVar("A")
R = TypeVar("R")


class ChildDiedError(Exception):
    """The child died of it, or took too long; the next call has a new one."""


class Child:
    """Made when it is first needed; for one thread, but `close` may come from another."""

    def __init__(self, begin: Callable[[], None] | None = None) -> None:
        """`begin` is called in it, once, after its imports."""
        self._begin = begin
        self._pool: ProcessPoolExecutor | None = None

    def call(self, function: Callable[[A], R], argument: A, seconds: float) -> R:
        """What `function` makes of `argument` there; both are pickled, and so is what it raises.

        Raises ChildDiedError.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=1, mp_context=get_context("spawn"), initializer=_first, initargs=(self._begin,)
            )
        try:
            return self._pool.submit(function, argument).result(timeout=seconds)
        except (BrokenProcessPool, TimeoutError) as error:
            self._kill()
            raise ChildDiedError(repr(error)) from error

    def close(self) -> None:
        """End the process, once it has done what it is doing."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _kill(self) -> None:
        """The process is dead or stuck."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for process in list((pool._processes or {}).values()):  # 3.14 has terminate_workers() for this
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def _first(begin: Callable[[], None] | None) -> None:
    """In the child: it holds both ends of its own queue, so it would outlive a node that was killed."""
    parent = parent_process()
    assert parent is not None, "the child is started by another process"
    end_with(parent.sentinel)
    if begin is not None:
        begin()
