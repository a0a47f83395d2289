"""Stops a process of the node at a transition that the ledger names, and makes the disk refuse what it is asked.

Python imports it where a test puts this folder on its path. `PACSNODE_TEST_CRASH` names a folder of the test's:

`plan.json`
    `{"event": kind, "number": n, "when": "before" | "after"}`. The process that writes the n-th event of this kind
    waits right before or after the commit of its transaction, makes the file `reached`, and goes on when `go` is there:
    in between the test kills whom it likes.
`errno`
    as long as it is there, whatever is asked to change a file of the data folder fails with the number in it.

`jump`
    the wall clock is as many seconds off, for all processes.

The node itself knows nothing of this, but pauses in which nothing happens are shorter: after a failed attempt, before
an archive is asked for its commitment, and between the two answers by which another patient is adopted. A disk counts
as nearly full at 1 MiB: where a test fills one, it is small.
"""

from __future__ import annotations

import builtins
import contextlib
import datetime
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_FOLDER = Path(os.environ["PACSNODE_TEST_CRASH"])
_DATA = os.environ["PACSNODE_TEST_CRASH_DATA"]
_LONGEST = 60.0
_written = threading.local()
_seen: Counter[str] = Counter()


def _plan() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((_FOLDER / "plan.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


_PLAN = _plan()


def _reach() -> None:
    """Once in a run, whoever it is."""
    try:
        os.close(_real_open(str(_FOLDER / "reached"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    end = time.monotonic() + _LONGEST
    while not (_FOLDER / "go").exists() and time.monotonic() < end:
        time.sleep(0.01)


def _watch_events(module: ModuleType) -> None:
    record = module.record

    def noted(database: Any, at: Any, kind: Any, **more: Any) -> Any:
        value = record(database, at, kind, **more)
        if str(kind) == _PLAN.get("event"):
            _seen[str(kind)] += 1
            _written.due = _seen[str(kind)] == _PLAN["number"] or getattr(_written, "due", False)
        return value

    module.record = noted  # type: ignore[attr-defined] # it is replaced, whatever it is


def _watch_transactions(module: ModuleType) -> None:
    transaction = module.Ledger.transaction

    @contextlib.contextmanager
    def watched(ledger: Any) -> Iterator[Any]:
        _written.due = False
        with transaction(ledger) as database:
            yield database
            if _written.due and _PLAN["when"] == "before":
                _reach()
        if _written.due and _PLAN["when"] == "after":
            _reach()

    module.Ledger.transaction = watched


def _setting(name: str, value: Any) -> Callable[[ModuleType], None]:
    return lambda module: setattr(module, name, value)


def _jump(module: ModuleType) -> None:
    now = module.SystemClock.now

    def jumped(clock: Any) -> Any:
        return now(clock) + datetime.timedelta(seconds=_seconds_off())

    module.SystemClock.now = jumped


def _seconds_off() -> int:
    try:
        return int((_FOLDER / "jump").read_bytes())
    except (OSError, ValueError):
        return 0


_WATCHED: dict[str, Callable[[ModuleType], None]] = {
    "node.ledger.events": _watch_events,
    "node.ledger.database": _watch_transactions,
    "node.run.retry": _setting("_FIRST", datetime.timedelta(seconds=0.5)),  # half a minute otherwise
    "node.ledger.commit_batches": _setting("QUIET", datetime.timedelta(seconds=0.3)),  # 5 s
    "node.dimse.commitment_scu": _setting("_REPORT_MAY_FOLLOW", 1.5),
    "node.deliver.adopting": _setting("TWICE", datetime.timedelta(seconds=1)),  # a minute
    "node.app.watch": _setting("LOW_SPACE", 2**20),  # 5 GiB
    "node.clock": _jump,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Changes these modules when they are first imported, whoever imports them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        change = _WATCHED.pop(name, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.loader is not None, name
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_real_open = os.open
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _refuse(*paths: Any) -> None:
    if not any(isinstance(each, str | os.PathLike) and os.fspath(each).startswith(_DATA) for each in paths):
        return
    with contextlib.suppress(FileNotFoundError, ValueError):
        number = int((_FOLDER / "errno").read_bytes())
        raise OSError(number, os.strerror(number), os.fspath(paths[0]))


def _guard_files() -> None:
    def opened(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & _WRITES:
            _refuse(path)
        return _real_open(path, flags, *more, **named)

    def open_file(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        if set(mode) & set("wax+"):
            _refuse(file)
        return _real_file(file, mode, *more, **named)

    _real_file = builtins.open
    os.open, builtins.open, io.open = opened, open_file, open_file
    for name in ("rename", "replace", "link", "unlink", "remove", "mkdir", "rmdir", "truncate"):
        setattr(os, name, _refusing_paths(getattr(os, name)))
    for name in ("write", "pwrite", "pwritev", "writev", "fsync", "fdatasync", "ftruncate"):
        setattr(os, name, _refusing_files(getattr(os, name)))


def _refusing_paths(function: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*arguments: Any, **named: Any) -> Any:
        _refuse(*arguments[:2])
        return function(*arguments, **named)

    return guarded


def _refusing_files(function: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(number: int, *arguments: Any, **named: Any) -> Any:
        if (_FOLDER / "errno").exists():
            _refuse_descriptor(number)
        return function(number, *arguments, **named)

    return guarded


def _refuse_descriptor(number: int) -> None:
    try:
        path = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return
    _refuse(path)


_time_ns = time.time_ns
time.time_ns = lambda: _time_ns() + _seconds_off() * 10**9
time.time = lambda: time.time_ns() / 1e9
sys.meta_path.insert(0, _Finder())
_guard_files()
