"""Programs that know NIfTI files and nothing of the node: their command lines are filled in for each job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node.run import process
from node.run.executor import AttemptLimits, Exit, ProcessWatch
from node.run.kinds.program import ProgramExecutor
from node.run.process import JobPlace
from plugins import exchange
from plugins.exchanges import SIDECAR
from plugins.nifti_mapping import NiftiFolders


def words_of(mapping: NiftiFolders, given: str, left: str, parameters: Mapping[str, object]) -> dict[str, str]:
    """What each placeholder of a command line stands for.

    `given`, `left`: the folders that the program reads and writes, as it sees them.
    """
    words = {"{in}": given, "{out}": left}
    words |= {f"{{role:{each.role}}}": f"{given}/{each.file}" for each in mapping.inputs if each.role}
    return words | {f"{{parameter:{name}}}": _shown(value) for name, value in parameters.items()}


def parameters_of(folder: Path) -> Mapping[str, Any]:
    """The parameters in a sidecar that the node has written."""
    found: Mapping[str, Any] = json.loads((folder / exchange.IN / SIDECAR).read_text(encoding="utf-8"))["parameters"]
    return found


def filled(argument: str, words: Mapping[str, str]) -> str:
    """An argument with its placeholders replaced."""
    for word, value in words.items():
        argument = argument.replace(word, value)
    return argument


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class NiftiProgramExecutor(ProgramExecutor):
    """Runs one such plugin as a program that ends with its job."""

    mapping: NiftiFolders | None = None

    def execute(self, folder: Path, limits: AttemptLimits, watch: ProcessWatch) -> Exit:
        """See `node.run.executor.Executor`."""
        assert self.mapping is not None, "the manifest says that it has one"
        folder = folder.resolve()
        given, left = (str(folder / name) for name in (exchange.IN, exchange.OUT))
        words = words_of(self.mapping, given, left, parameters_of(folder))
        arguments = tuple(filled(argument, words) for argument in self.line.arguments)
        place = JobPlace(folder, logs=folder, hidden=self.work.parent)
        return process.run(replace(self.line, arguments=arguments), place, limits, watch, self.isolation)
