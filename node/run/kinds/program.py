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


def _below(path: Path, others: Iterable[Path]) -> bool:
    return any(path.is_relative_to(other) for other in others)


def without_system(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Each path, and what it is a link to; without those that lie in another or in /usr, which every sandbox has."""
    both = {path for each in paths for path in (each, each.resolve())} - {Path("/")}
    outside = {path for path in both if not path.is_relative_to("/usr")}
    return tuple(sorted(path for path in outside if not _below(path, outside - {path})))
