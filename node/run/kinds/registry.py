"""The kinds of plugin, by the name that `runtime.kind` of a manifest gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from node.run.executor import Executor, NoExecutor
from node.run.kinds import command, dicom, python
from node.run.sandbox import Isolation
from plugins.manifest import Manifest, RuntimeKind

ExecutorOf = Callable[[Manifest, Path, Isolation], Executor]
"""Makes the executor of a plugin of its kind, given the folder `work/`; PermanentError where it cannot be used."""

KINDS: Mapping[RuntimeKind, ExecutorOf] = {
    RuntimeKind.PYTHON: python.executor,
    RuntimeKind.COMMAND: command.executor,
    RuntimeKind.DICOM: dicom.executor,
}
"""One module for each."""
STARTERS: Mapping[RuntimeKind, ExecutorOf] = {RuntimeKind.PYTHON: python.starter}
"""Of the kinds whose plugins can be started without images: what tries that they start."""


def executor_of(manifest: Manifest, work: Path, isolation: Isolation) -> Executor:
    """The executor of this plugin; PermanentError where its program or interpreter cannot be used."""
    executor = KINDS[manifest.runtime.kind](manifest, work, isolation)
    return NoExecutor(f"it does not run: {isolation.refusal}") if isolation.refusal else executor
