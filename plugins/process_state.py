"""What of a process a job may change and the next one in the same process finds as it was.

What a plugin keeps in its own modules and objects stays: that is what a worker is kept for. Restored is what belongs to
the process: standard streams, working folder, umask, environment, locale, signal handlers and timers, limits, the
random generators of Python and NumPy, NumPy's error state and way of printing, warning filters, the search path.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import io
import locale
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

_HIGH = 200
"""Copies of descriptors are kept above this number, or half of what a process may have: nobody looks for free ones."""
_STREAMS = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_RESOURCES = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})


class ProcessState:
    """A process as it is when this is made."""

    def __init__(self) -> None:
        high = min(_HIGH, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._descriptors = {number: fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, high) for _, number, _ in _STREAMS}
        self._streams = {name: getattr(sys, name) for name, _, _ in _STREAMS}
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._threads = set(sys._current_frames())
        self._restorers = {
            "working folder": _restorer(os.getcwd, os.chdir),
            "umask": _restorer(_umask, os.umask),
            "environment": _restorer(lambda: dict(os.environ), _set_environment),
            "locale": _restorer(lambda: locale.setlocale(locale.LC_ALL), _set_locale),
            "signal mask": _restorer(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()), _set_mask),
            "random": _restorer(random.getstate, random.setstate),
            "random of NumPy": _restorer(_random_state_of_numpy, lambda restore: restore()),
            "NumPy's error state": _restorer(np.geterr, lambda state: np.seterr(**state)),
            "NumPy's error call": _restorer(np.geterrcall, np.seterrcall),
            "NumPy's printing": _restorer(np.get_printoptions, lambda options: np.set_printoptions(**options)),
            "warning filters": _restorer(lambda: list(warnings.filters), _set_filters),
            "search path": _restorer(lambda: list(sys.path), _set_path),
            "time-out of sockets": _restorer(socket.getdefaulttimeout, socket.setdefaulttimeout),
            "recursion limit": _restorer(sys.getrecursionlimit, sys.setrecursionlimit),
            "temporary folder": _restorer(lambda: tempfile.tempdir, _set_temporary_folder),
            "processors": _restorer(lambda: os.sched_getaffinity(0), lambda cpus: os.sched_setaffinity(0, cpus)),
            "limits": _restorer(_limits, _set_limits),
            "standard streams": self._restore_streams,
            "signal handlers": self._restore_signals,
        }

    def restore(self) -> str:
        """Make it so again; what could not be made so, in words, or "".

        What was printed and not yet written is written before, so that it is in the log of its job.
        """
        _flush()
        problems = []
        for what, restore in self._restorers.items():
            try:
                restore()
            except Exception:  # noqa: BLE001 - a plugin may have changed anything to anything
                problems.append(what)
        left = len(set(sys._current_frames()) - self._threads)
        if left:
            return f"it left {left} thread{'s' if left > 1 else ''} running"
        gc.collect()  # what nobody holds any more must not keep a file of the job open
        return f"what it changed in its process could not be put back: {', '.join(problems)}" if problems else ""

    def _restore_streams(self) -> None:
        for name, number, mode in _STREAMS:
            os.dup2(self._descriptors[number], number)
            if self._streams[name] is None or self._streams[name].closed:
                file = os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)
                self._streams[name] = file
            setattr(sys, name, self._streams[name])

    def _restore_signals(self) -> None:
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        for number, handler in self._handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _restorer(read: Callable[[], Any], write: Callable[[Any], Any]) -> Callable[[], None]:
    """Writes what is read now."""
    value = read()

    def restore() -> None:
        write(value)

    return restore


def _flush() -> None:
    """What Python and the C library hold back of what was printed."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):  # closed, or not a stream at all
            assert isinstance(stream, io.TextIOBase)
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _set_environment(wanted: dict[str, str]) -> None:
    if list(os.environ.items()) != list(wanted.items()):  # the order, too, is what a plugin may see
        os.environ.clear()
        os.environ.update(wanted)
        time.tzset()


def _set_locale(name: str) -> None:
    locale.setlocale(locale.LC_ALL, name)


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


def _set_temporary_folder(folder: str | None) -> None:
    tempfile.tempdir = folder


def _set_mask(mask: set[int]) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _random_state_of_numpy() -> Callable[[], None]:
    """Sets the state of NumPy's old generator; one that is imported later gets a seed as at its first use."""
    if "numpy.random" not in sys.modules:
        return lambda: np.random.seed() if "numpy.random" in sys.modules else None
    state = np.random.get_state()
    return lambda: np.random.set_state(state)


def _set_filters(filters: list[Any]) -> None:
    if warnings.filters != filters:
        with contextlib.suppress(AttributeError):
            warnings._filters_mutated()  # type: ignore[attr-defined]  # else what it remembers counts
        warnings.filters[:] = filters  # type: ignore[index]  # typeshed says Sequence; it is a list


def _limits() -> dict[int, tuple[int, int]]:
    return {number: resource.getrlimit(number) for number in _RESOURCES}


def _set_limits(limits: dict[int, tuple[int, int]]) -> None:
    for number, limit in limits.items():
        if resource.getrlimit(number) != limit:
            resource.setrlimit(number, limit)
