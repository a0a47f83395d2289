"""Which results are encoded at the same time: two, of which one at most is heavy, and refused reports beside them.

So while a giant result is encoded, those of other studies leave within seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import ParamSpec

from node.processes.pool import HEAVY
from node.results.encoder import PROCESSES
from node.wake import Stage, Wakes

P = ParamSpec("P")

REFUSED = "refused reports"
"""The name of what makes reports again; no job's id."""
_RESULTS = PROCESSES - 1
"""Results that are encoded at the same time."""
_LOOK_SECONDS = 1.0
"""How soon what came meanwhile is started beside what is under way."""


@dataclass(frozen=True, slots=True)
class _LaneWork:
    future: Future[None]
    heavy: bool


class Lanes:
    """Threads that each see to one result; started and waited for by one thread."""

    def __init__(self, wakes: Wakes) -> None:
        self._wakes = wakes
        self._threads = ThreadPoolExecutor(PROCESSES, thread_name_prefix="results")
        self._under_way: dict[str, _LaneWork] = {}
        self._stopping = False

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way)

    @property
    def full(self) -> bool:
        """Whether no more results can be started now."""
        return self._stopping or len(self._under_way.keys() - {REFUSED}) >= _RESULTS

    def start(self, name: str, seconds: float, work: Callable[P, None], *arguments: P.args, **named: P.kwargs) -> bool:
        """Do the work, which takes about so long, in a thread; false where there is no room for it now."""
        heavy = seconds >= HEAVY
        if self._stopping or name in self._under_way or (name != REFUSED and self.full):
            return False
        if heavy and any(each.heavy for each in self._under_way.values()):
            return False
        future = self._threads.submit(work, *arguments, **named)
        self._under_way[name] = _LaneWork(future, heavy)
        if heavy:  # nobody waits for it
            future.add_done_callback(lambda _: self._wakes.wake(Stage.RESULTS))
        return True

    def wait(self) -> bool:
        """Wait a moment for what is not heavy; false where there is nothing of that under way.

        Raises what the work raised.
        """
        waiting = any(not each.heavy for each in self._under_way.values())
        futures = [each.future for each in self._under_way.values()]
        done, _ = wait_for(futures, _LOOK_SECONDS if waiting else 0, FIRST_COMPLETED)
        self._under_way = {name: each for name, each in self._under_way.items() if each.future not in done}
        for future in done:
            future.result()
        return waiting

    def stop(self) -> None:
        """Start nothing more."""
        self._stopping = True

    def join(self) -> None:
        """Wait for the threads to end."""
        self._threads.shutdown(wait=True, cancel_futures=True)
