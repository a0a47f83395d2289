"""Plugins that are any command: it reads request.json and writes out/result.json itself."""

from __future__ import annotations

from pathlib import Path

from node.run.kinds.program import ProgramExecutor, require_program, without_system
from node.run.process import CommandLine
from node.run.sandbox import Isolation
from plugins.manifest import Manifest


def executor(manifest: Manifest, work: Path, isolation: Isolation) -> ProgramExecutor:
    """See `node.run.kinds.registry.ExecutorOf`."""
    first, *rest = manifest.runtime.command
    program = manifest.folder / first  # an absolute program stays as it is
    require_program(program, "runtime.command")
    readable = {manifest.folder, program.parent, program.resolve().parent}
    line = CommandLine((str(program), *rest), environment={}, readable=without_system(readable))
    return ProgramExecutor(line, work, isolation)
