"""Plugins that are any command: what lies in the folders between it and the node, the manifest's `exchange` says."""

from __future__ import annotations

from pathlib import Path

from node.run.interpreter import environment_of
from node.run.kinds.nifti_program import NiftiProgramExecutor
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
    if (asked := environment_of(program)) is not None:
        readable |= {*asked.prefixes, *asked.imports_from}
    arguments = (str(program), *(each.replace("{plugin}", str(manifest.folder)) for each in rest))
    line = CommandLine(arguments, environment={}, readable=without_system(readable), says_when=manifest.nifti is None)
    if manifest.nifti is not None:
        return NiftiProgramExecutor(line, work, isolation, manifest.nifti)
    return ProgramExecutor(line, work, isolation)
