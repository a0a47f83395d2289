"""Plugins that are a program on this machine: a Python class run by `plugins.worker`, or any command.

A Python plugin gets an interpreter whose path begins with a zip of the contract (`plugins.bundle`) and
nothing of the node's; its own folder is added by the worker. `-P` keeps the working folder off the path.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import node
from node.errors import PermanentError
from node.run import process
from node.run.executor import Exit, Limits
from node.run.process import CommandLine
from node.run.sandbox import Isolation
from plugins.manifest import Manifest, RuntimeKind

BUNDLE = "plugins.zip"
"""In the folder `work/`: written when the run stage starts."""
_ASK = "import json, sys; print(json.dumps([list(sys.version_info[:2]), sys.prefix, sys.base_prefix, *sys.path]))"
_ASK_SECONDS = 30.0
_OLDEST = [3, 11]


@dataclass(frozen=True)
class CommandExecutor:
    """Runs one plugin in child processes."""

    manifest: Manifest
    interpreter: str
    """For a Python plugin; empty for a command."""
    readable: tuple[Path, ...]
    work: Path
    isolation: Isolation

    def execute(self, folder: Path, limits: Limits, cancel: threading.Event) -> Exit:
        """See `node.run.executor.Executor`."""
        folder = folder.resolve()  # the sandbox has the same paths, and no links on the way to them
        line = CommandLine(
            arguments=self._arguments(folder),
            environment={"PYTHONPATH": str(self.work / BUNDLE)} if self.interpreter else {},
            readable=(*self.readable, *([self.work / BUNDLE] if self.interpreter else [])),
        )
        return process.run(line, folder, limits, cancel, self.isolation, hidden=self.work.parent)

    def _arguments(self, folder: Path) -> list[str]:
        if self.interpreter:
            return [self.interpreter, "-P", "-m", "plugins.worker", str(folder)]
        program, *arguments = (part.replace("{folder}", str(folder)) for part in self.manifest.runtime.command)
        return [str(self.manifest.folder / program), *arguments]  # an absolute program stays as it is


def executor_for(manifest: Manifest, work: Path, isolation: Isolation) -> CommandExecutor:
    """The executor of a plugin; PermanentError where its program or interpreter cannot be used."""
    runtime = manifest.runtime
    if runtime.kind is RuntimeKind.COMMAND:
        program = manifest.folder / runtime.command[0]
        _require_program(program, "runtime.command")
        readable = {manifest.folder, program.parent, program.resolve().parent}
        return CommandExecutor(manifest, "", _without_system(readable), work, isolation)
    interpreter = manifest.folder / runtime.executable
    _require_program(interpreter, "runtime.interpreter")
    readable = {manifest.folder, interpreter.resolve().parent, *_paths_of(interpreter)}
    return CommandExecutor(manifest, str(interpreter), _without_system(readable), work, isolation)


def _require_program(path: Path, key: str) -> None:
    if not path.is_file() or not os.access(path, os.X_OK):
        raise PermanentError(f"{key}: {path} is not there, or may not be executed")


@cache
def _paths_of(interpreter: Path) -> frozenset[Path]:
    """What an interpreter reads, without the checkout of a node that is installed for development."""
    try:
        answer = subprocess.run(
            [str(interpreter), "-I", "-c", _ASK], capture_output=True, timeout=_ASK_SECONDS, check=True, text=True
        ).stdout
        version, *paths = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PermanentError(f"runtime.interpreter: {interpreter} does not run: {error}") from error
    if version < _OLDEST:
        shown = ".".join(map(str, version))
        raise PermanentError(f"runtime.interpreter: {interpreter} is Python {shown}, but 3.11 or newer is needed")
    checkout = Path(node.__file__).resolve().parent.parent
    found = {Path(entry) for entry in paths if entry and Path(entry).is_dir()}
    return frozenset(path for path in found if path != checkout)


def _below(path: Path, others: Iterable[Path]) -> bool:
    return any(path.is_relative_to(other) for other in others)


def _without_system(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Each path, and what it is a link to; without those that lie in another or in /usr, which every sandbox has."""
    both = {path for each in paths for path in (each, each.resolve())} - {Path("/")}
    outside = {path for path in both if not path.is_relative_to("/usr")}
    return tuple(sorted(path for path in outside if not _below(path, outside - {path})))
