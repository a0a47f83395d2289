"""What is wrong with the earlier results that a rule's steps take: the step's plugin has to return some."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from node.config.problems import Problem
from node.config.source import Document, YamlPath
from plugins.manifest import MANIFEST, Manifest, Output

_TAKEN = (Output.SEGMENTATION, Output.FINDINGS)
"""What a later step gets of a result."""


def problems(
    document: Document,
    steps: Sequence[tuple[YamlPath, Mapping[str, Any]]],
    manifest_of: Callable[[str], Manifest | None],
) -> Iterator[Problem]:
    """Results that are taken of a step whose plugin returns neither findings nor a segmentation.

    That a step is there, and above, is the rule's own affair (`rules.model`).
    """
    plugins = {str(step.get("step") or step.get("plugin")): str(step.get("plugin")) for _, step in steps}
    for path, step in steps:
        inputs = step.get("inputs")
        for name, taken in inputs.items() if isinstance(inputs, Mapping) else ():
            manifest = manifest_of(plugins[taken]) if taken in plugins else None
            if manifest is not None and not any(each in manifest.outputs for each in _TAKEN):
                message = (
                    f"{taken} returns neither findings nor a segmentation (outputs in the {MANIFEST} of "
                    f"{plugins[taken]}): there is nothing to take"
                )
                yield document.problem((*path, "inputs", name), message)
