"""The kinds of plugin, by the name that `runtime.kind` of a manifest gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from node.run.executor import Executor, NoExecutor
from node.run.kinds import command, container, dicom, http, python
from node.run.sandbox import Isolation
from plugins.manifest import Manifest
from plugins.runtime import RuntimeKind

ExecutorOf = Callable[[Manifest, Path, Isolation], Executor]
"""Makes the executor of a plugin of its kind, given the folder `work/`; PermanentError where it cannot be used."""

ConfinementOf = Callable[[Manifest, Isolation], Isolation]
"""How a plugin of its kind is confined, where that is not as this machine's others are; PermanentError as above."""

KINDS: Mapping[RuntimeKind, ExecutorOf] = {
    RuntimeKind.PYTHON: python.executor,
    RuntimeKind.COMMAND: command.executor,
    RuntimeKind.CONTAINER: container.executor,
    RuntimeKind.ONNX: python.executor,
    RuntimeKind.DICOM: dicom.executor,
    RuntimeKind.HTTP: http.executor,
}
"""One module for each."""
CONFINEMENTS: Mapping[RuntimeKind, ConfinementOf] = {RuntimeKind.CONTAINER: container.confinement}
"""Of the kinds that bring a confinement of their own."""
STARTERS: Mapping[RuntimeKind, ExecutorOf] = {
    RuntimeKind.PYTHON: python.starter,
    RuntimeKind.ONNX: python.starter,
}
"""Of the kinds whose plugins can be started without images: what tries that they start."""


OUTLIVING: frozenset[str] = frozenset({RuntimeKind.CONTAINER})
"""Of which something may outlive both its guard and the node, until the next start removes it."""


def confinement_of(manifest: Manifest, isolation: Isolation) -> Isolation:
    """How this plugin is confined; PermanentError where it cannot be."""
    own = CONFINEMENTS.get(manifest.runtime.kind)
    return own(manifest, isolation) if own else isolation


def executor_of(manifest: Manifest, work: Path, isolation: Isolation) -> Executor:
    """The executor of this plugin; PermanentError where its program or interpreter cannot be used."""
    executor = KINDS[manifest.runtime.kind](manifest, work, isolation)
    return NoExecutor(f"it does not run: {isolation.refusal}") if isolation.refusal else executor
