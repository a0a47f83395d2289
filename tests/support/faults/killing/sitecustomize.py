"""Ends a process of the node at a chosen point, once; Python imports it where a test puts this folder on its path.

`PACSNODE_TEST_KILL=module:function:before|after[:n]` names the point, the n-th call if given;
`PACSNODE_TEST_KILL_ONCE` is a file that is made when it happens, so that the process started in its place
lives. The node itself knows nothing of this.

`PACSNODE_TEST_AHEAD` names a file: `node.clock.SystemClock` is as many seconds ahead as it says.
"""

from __future__ import annotations

import datetime
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


def _die() -> None:
    once = Path(os.environ["PACSNODE_TEST_KILL_ONCE"])
    try:
        once.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(module: ModuleType, path: str, when: str, number: int) -> None:
    *owners, name = path.split(".")
    owner: Any = functools.reduce(getattr, owners, module)
    function = getattr(owner, name)
    calls = itertools.count(1)

    @functools.wraps(function)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        reached = next(calls) >= number
        if reached and when == "before":
            _die()
        value = function(*arguments, **keywords)
        if reached and when == "after":
            _die()
        return value

    setattr(owner, name, wrapped)


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the function when its module is first imported, whoever imports it."""

    def __init__(self, module: str, path: str, when: str, number: str = "1") -> None:
        self._module, self._path, self._when, self._number = module, path, when, int(number)

    def wrap(self, module: ModuleType) -> None:
        _wrap(module, self._path, self._when, self._number)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        assert spec.loader is not None, name
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.wrap(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class _Ahead(_Finder):
    """Sets the clock of whoever imports it."""

    def __init__(self, file: str) -> None:
        super().__init__("node.clock", "SystemClock.now", "never")
        self._file = Path(file)

    def wrap(self, module: ModuleType) -> None:
        now = module.SystemClock.now

        def ahead(clock: Any) -> Any:
            return now(clock) + datetime.timedelta(seconds=float(self._file.read_text() or 0))

        module.SystemClock.now = ahead


if "PACSNODE_TEST_KILL" in os.environ:
    sys.meta_path.insert(0, _Finder(*os.environ["PACSNODE_TEST_KILL"].split(":")))
if "PACSNODE_TEST_AHEAD" in os.environ:
    sys.meta_path.insert(0, _Ahead(os.environ["PACSNODE_TEST_AHEAD"]))
