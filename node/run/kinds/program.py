"""What kinds share whose plugins are programs on this machine: how one is started, and what it may read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from node.errors import PermanentError
from node.run import process
from node.run.executor import AttemptLimits, Exit, ProcessWatch
from node.run.process import CommandLine, JobPlace
from node.run.sandbox import Isolation

_LONGEST_LINE = 256
"""Bytes of a script's first line that the kernel reads."""


@dataclass(frozen=True)
class ProgramExecutor:
    """Runs one plugin as a program that ends with its job."""

    line: CommandLine
    work: Path
    isolation: Isolation

    def execute(self, folder: Path, limits: AttemptLimits, watch: ProcessWatch) -> Exit:
        """See `node.run.executor.Executor`."""
        folder = folder.resolve()  # the sandbox has the same paths, and no links on the way to them
        place = JobPlace(folder, logs=folder, hidden=self.work.parent)
        return process.run(self.line, place, limits, watch, self.isolation)


def require_program(path: Path, key: str) -> None:
    """PermanentError where it is not there, or may not be executed; `key` of the manifest names it."""
    if not path.is_file() or not os.access(path, os.X_OK):
        raise PermanentError(f"{key}: {path} is not there, or may not be executed")
    if problem := _interpreter_problem(path):
        raise PermanentError(f"{key}: {path}: {problem}")


def _interpreter_problem(path: Path) -> str:
    """What is wrong with the first line of a script; "" where nothing is, or it is not a script (execve(2))."""
    try:
        with path.open("rb") as file:
            first = file.readline(_LONGEST_LINE)
    except OSError:  # it may be executed and not be read
        return ""
    words = first[2:].split() if first.startswith(b"#!") else []
    if not words:
        return ""
    if first.endswith(b"\r\n"):
        return "its lines end as on Windows, which the system takes for a part of the interpreter's name"
    interpreter = os.fsdecode(words[0])
    return "" if os.path.exists(interpreter) else f"its first line names {interpreter}, which is not there"


def _below(path: Path, others: Iterable[Path]) -> bool:
    return any(path.is_relative_to(other) for other in others)


def without_system(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Each path, and what it is a link to; without those that lie in another or in /usr, which every sandbox has."""
    both = {path for each in paths for path in (each, each.resolve())} - {Path("/")}
    outside = {path for path in both if not path.is_relative_to("/usr")}
    return tuple(sorted(path for path in outside if not _below(path, outside - {path})))
