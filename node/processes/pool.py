"""Child processes for work on bytes that may be hostile: a call has a deadline, a memory limit, and can be cancelled.

A call that kills, hangs or fills its child costs that call alone: the child is replaced. Children are forked from a
process of their own that has the imports and nothing else (`preload`), never from the node, which has threads and
patients' data: a new child costs milliseconds where its imports cost a second. A child ends with its parent and with
that process, whatever ended them. Plugins do not run here: they may need a GPU, and `RLIMIT_DATA` forbids that.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from node.observe import logs
from node.serve.lifeline import die_with_parent, end_with

A = TypeVar("A")
R = TypeVar("R")

HEAVY = 30.0
"""Weight from which a call never takes the last child of a pool: what is small gets through beside it."""
_POLL_SECONDS = 0.5
"""How soon a call notices that it was cancelled."""
_START_SECONDS = 120.0
"""For the start of a child and its imports, on a machine that is busy; not part of a call's deadline."""
_OOM_SCORE = 500
"""Where the machine runs out of memory, the kernel ends a child before the node and the receivers."""
_READY = "ready"
_context = get_context("forkserver")


class ChildError(Exception):
    """There is no answer; the text says how the child ended."""


class ChildDiedError(ChildError):
    """The child died, of this call or ended from outside: another try may succeed."""


class ChildLimitError(ChildError):
    """The call needed more time or memory than it may have; so would another try."""


class CallCancelledError(Exception):
    """Nobody wants the answer any more, or the pool is closed."""


@dataclass(frozen=True, slots=True)
class _ChildException:
    """What the function raised in the child."""

    error: Exception


class _OutOfMemory:
    """The function raised MemoryError in the child."""


@dataclass(frozen=True, slots=True)
class _LogLine:
    """What the function had to say, for the node's log."""

    level: str
    event: str
    values: dict[str, Any]


def preload(modules: Iterable[str]) -> None:
    """Start the process that children are forked from, with these modules; before the first call of any pool.

    It imports them while the caller goes on. Without this, each child imports what its calls need.
    """
    _context.set_forkserver_preload(["node.processes.unhurried", *modules, "node.processes.preloaded"])
    forkserver.ensure_running()


class _PoolChild:
    """One process and the pipe to it."""

    def __init__(self, begin: Callable[[], None] | None) -> None:
        self.pipe, far = _context.Pipe()
        self.process = _context.Process(target=_serve, args=(far, begin), name="pacsnode-child", daemon=True)
        self.process.start()
        far.close()
        self.ready = False

    def end(self) -> str:
        """Kill and reap it, and forget its pipe; how it ended, in words."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        code = self.process.exitcode or 0
        return f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _never() -> bool:
    return False


class ChildPool:
    """At most `size` children, each started with the first call that needs it; for any number of threads.

    Who waits for a child gets one in the order of arrival plus weight: a call of weight 60 lets pass whatever comes
    within a minute and weighs nothing. So what is small goes first, and nothing waits for ever.
    """

    def __init__(self, size: int, begin: Callable[[], None] | None = None) -> None:
        """`begin` is called in each child, once, after its imports."""
        self._size, self._begin = size, begin
        self._idle: list[_PoolChild] = []
        self._busy: dict[_PoolChild, float] = {}
        self._waiting: list[tuple[float, int, float]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False

    def call(
        self,
        function: Callable[[A], R],
        argument: A,
        *,
        deadline: float,
        memory: int,
        cancelled: Callable[[], bool] = _never,
        weight: float = 0.0,
    ) -> R:
        """What `function` makes of `argument` in a child; both are pickled, and so is what it returns or raises.

        `deadline`: seconds. `memory`: bytes that the call may add to what its child has. `cancelled` is asked about
        twice a second. `weight`: the seconds that it will take, roughly.

        Raises what `function` raises; ChildDiedError, ChildLimitError, CallCancelledError.
        """
        child = self._take(weight, cancelled)
        keep = False
        try:
            answer = self._answer(child, (function, argument, memory), deadline, cancelled)
            keep = weight < HEAVY and not isinstance(answer, _OutOfMemory)  # else its memory would stay taken
        finally:
            self._give_back(child, keep)
        if isinstance(answer, _OutOfMemory):
            raise ChildLimitError(f"it needed more than the {memory / 2**20:.0f} MiB of memory that it may have")
        if isinstance(answer, _ChildException):
            raise answer.error
        result: R = answer
        return result

    def close(self) -> None:
        """End the children, whatever they are doing; who waits for an answer gets CallCancelledError."""
        with self._changed:
            self._closed = True
            for child in [*self._idle, *self._busy]:
                child.process.kill()
            for child in self._idle:
                child.end()
            self._idle.clear()
            self._changed.notify_all()

    def _take(self, weight: float, cancelled: Callable[[], bool]) -> _PoolChild:
        with self._changed:
            place = (time.monotonic() + weight, next(self._numbers), weight)
            self._waiting.append(place)
            try:
                while True:
                    if self._closed or cancelled():
                        raise CallCancelledError
                    if min(filter(self._may_start, self._waiting), default=None) == place:
                        child = self._living() or self._started()
                        self._busy[child] = weight
                        return child
                    self._changed.wait(_POLL_SECONDS)
            finally:
                self._waiting.remove(place)
                self._changed.notify_all()

    def _started(self) -> _PoolChild:
        try:
            return _PoolChild(self._begin)
        except (EOFError, OSError) as error:  # what it is forked from was killed, and is started by the next call
            raise ChildDiedError(f"the process that should work on it could not be started ({error})") from error

    def _may_start(self, place: tuple[float, int, float]) -> bool:
        """Whether there is a child for it: for what is heavy, one other than the last."""
        if place[2] >= HEAVY and sum(each >= HEAVY for each in self._busy.values()) >= max(1, self._size - 1):
            return False
        return len(self._busy) < self._size

    def _living(self) -> _PoolChild | None:
        """A child that is idle, and was not ended meanwhile."""
        while self._idle:
            child = self._idle.pop()
            if child.process.is_alive():
                return child
            child.end()
        return None

    def _give_back(self, child: _PoolChild, keep: bool) -> None:
        with self._changed:
            del self._busy[child]
            if keep and not self._closed:
                self._idle.append(child)
            elif child.process.is_alive() or not child.pipe.closed:
                child.end()
            self._changed.notify_all()

    def _answer(self, child: _PoolChild, question: Any, deadline: float, cancelled: Callable[[], bool]) -> Any:
        end = time.monotonic() + deadline + (0 if child.ready else _START_SECONDS)
        try:
            child.pipe.send(question)
            while True:
                if wait([child.pipe], timeout=max(0.0, min(_POLL_SECONDS, end - time.monotonic()))):
                    answer = child.pipe.recv()
                    if isinstance(answer, _LogLine):
                        logs.pass_on(answer.level, answer.event, answer.values)
                        continue
                    if child.ready:
                        return answer
                    child.ready = answer == _READY
                    end = time.monotonic() + deadline
                elif self._closed or cancelled():
                    raise CallCancelledError
                elif time.monotonic() >= end:
                    raise ChildLimitError(f"it took too long: not done after {deadline:g} s")
        except (EOFError, OSError) as error:
            if self._closed:
                raise CallCancelledError from error
            raise ChildDiedError(f"the process that worked on it died ({child.end()})") from error


# --- in the child ---------------------------------------------------------------------------------


def _serve(pipe: Connection, begin: Callable[[], None] | None) -> None:
    """Answer until the pipe ends."""
    parent = parent_process()
    assert parent is not None, "the child is started by another process"
    end_with(parent.sentinel)
    die_with_parent()  # that the child was forked from: without it, nobody could end the child or say how it ended
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's images
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # codecs and parsers write there what they like about what a stranger sent
        os.dup2(nowhere, stream)
    logs.configure_child(lambda level, event, values: pipe.send(_LogLine(level, event, values)))
    if begin is not None:
        begin()
    pipe.send(_READY)
    while True:
        try:
            function, argument, memory = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(_made(function, argument, memory))


def _made(function: Callable[[Any], Any], argument: Any, memory: int) -> Any:
    limit = memory + _data_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    try:
        return function(argument)
    except MemoryError:
        return _OutOfMemory()
    except Exception as error:  # noqa: BLE001 - raised again where the call was made
        return _ChildException(error.with_traceback(None))


def _data_bytes() -> int:
    """What `RLIMIT_DATA` counts of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
