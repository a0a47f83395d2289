"""Plugins that are a Python class or a model file, run by `plugins.worker`.

The interpreter gets a path that begins with a zip of the contract (`plugins.bundle`) and has nothing of the node's; the
plugin's own folder is added by the worker. `-P` keeps the working folder off the path. The process is a worker: it does
further jobs where the site keeps it (`node.run.workers`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from node.errors import PermanentError
from node.run import variables, worker_channel
from node.run.executor import AttemptLimits, Exit, ExitKind, ProcessWatch
from node.run.file_digests import status_below
from node.run.interpreter import Interpreter, ask, lacks
from node.run.kinds.program import ProgramExecutor, require_program, without_system
from node.run.process import CommandLine
from node.run.sandbox import Isolation
from node.run.workers import WorkerRecipe
from plugins import onnx_session
from plugins.manifest import Manifest

EXTRAS = {"onnxruntime": onnx_session.INSTALL}
"""Modules that the node itself can have → how."""
BUNDLE = "plugins.zip"
"""In the folder `work/`: written when the run stage starts."""


@dataclass(frozen=True)
class PythonExecutor:
    """Runs one plugin in workers."""

    manifest: Manifest
    line: CommandLine
    isolation: Isolation

    def execute(self, folder: Path, limits: AttemptLimits, watch: ProcessWatch) -> Exit:
        """See `node.run.executor.Executor`."""
        try:
            granted = variables.script(variables.values(self.isolation.privileges))
        except OSError as error:
            return Exit(ExitKind.NOT_STARTED, detail=variables.unreadable(error))
        readable = status_below(self.isolation.privileges.readable)
        granted_digest = hashlib.sha256(f"{granted}\0{readable}".encode(errors="surrogateescape")).hexdigest()
        recipe = WorkerRecipe(
            self.manifest.folder, watch.code_digest, self.line, limits, self.isolation, granted_digest
        )
        return watch.workers.run(recipe, folder, watch)


def executor(manifest: Manifest, work: Path, isolation: Isolation) -> PythonExecutor:
    """See `node.run.kinds.registry.ExecutorOf`."""
    line = _line("plugins.worker", ("--orders", worker_channel.PLACE), manifest, work, is_worker=True)
    return PythonExecutor(manifest, line, isolation)


def starter(manifest: Manifest, work: Path, isolation: Isolation) -> ProgramExecutor:
    """Only imports and makes the plugin's class, in the same confinement (`plugins.starting`)."""
    return ProgramExecutor(_line("plugins.starting", (), manifest, work, is_worker=False), work, isolation)


def _line(module: str, options: tuple[str, ...], manifest: Manifest, work: Path, *, is_worker: bool) -> CommandLine:
    interpreter = manifest.folder / manifest.runtime.executable
    require_program(interpreter, "runtime.interpreter")
    asked = ask(interpreter)
    _require_modules(manifest, asked)
    readable = {manifest.folder, interpreter.resolve().parent, *asked.prefixes, *asked.imports_from}
    return CommandLine(
        arguments=(str(interpreter), "-P", "-m", module, *options, "{folder}"),
        environment={"PYTHONPATH": str(work / BUNDLE), **_providers(manifest)},
        readable=(*without_system(readable), work / BUNDLE),
        code_folder=str(manifest.folder),
        is_worker=is_worker,
    )


def _providers(manifest: Manifest) -> dict[str, str]:
    names = manifest.runtime.providers
    return {onnx_session.PROVIDERS_VARIABLE: " ".join(names)} if names else {}


def _require_modules(manifest: Manifest, asked: Interpreter) -> None:
    """PermanentError where the interpreter has not what the plugin needs."""
    lacking = lacks(asked, manifest.folder, manifest.runtime.requires)
    if not lacking:
        return
    own = manifest.runtime.interpreter
    where = f" for {own}" if own else ""
    how = "" if own else EXTRAS.get(lacking[0], "")
    raise PermanentError(f"{', '.join(lacking)} is not installed{where}{f': {how}' if how else ''}")
