"""What the manifests of plugins say against a rule's steps: results that none returns, documents that name nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from node.config.problems import Problem
from node.config.source import Document, YamlPath
from node.config.values import is_mapping, section
from plugins.exchanges import ExchangeForm
from plugins.manifest import MANIFEST, Manifest, Output
from plugins.runtime import PatientIdentity, RuntimeKind

_TAKEN = (Output.SEGMENTATION, Output.FINDINGS)
"""What a later step gets of a result."""


def problems(
    document: Document,
    steps: Sequence[tuple[YamlPath, Mapping[str, Any]]],
    manifest_of: Callable[[str], Manifest | None],
) -> Iterator[Problem]:
    """Results that are taken of a step whose plugin returns none that can be taken, or by a plugin that reads none.

    That a step is there, and above, is the rule's own affair (`rules.model`).
    """
    plugins = {str(step.get("step") or step.get("plugin")): str(step.get("plugin")) for _, step in steps}
    for path, step in steps:
        inputs = step.get("inputs")
        if inputs and (why := _reads_none(manifest_of(str(step.get("plugin"))))):
            yield document.problem((*path, "inputs"), f"{step.get('plugin')} gets images alone: {why}", key=True)
        yield from _unread(document, path, step, manifest_of(str(step.get("plugin"))))
        for name, taken in inputs.items() if isinstance(inputs, Mapping) else ():
            manifest = manifest_of(plugins[taken]) if taken in plugins else None
            if manifest is not None and not any(each in manifest.outputs for each in _TAKEN):
                message = (
                    f"{taken} returns neither findings nor a segmentation (outputs in the {MANIFEST} of "
                    f"{plugins[taken]}): there is nothing to take"
                )
                yield document.problem((*path, "inputs", name), message)


def _unread(
    document: Document, path: YamlPath, step: Mapping[str, Any], manifest: Manifest | None
) -> Iterator[Problem]:
    """Names of results that the files of a NIfTI program do not have, and files that nothing is given for."""
    reads = {each.result for each in manifest.nifti.masks} if manifest and manifest.nifti else set()
    given = set(section(step, "inputs"))
    for name in sorted(given - reads) if reads else ():
        message = f"{step.get('plugin')} reads no result {name}; [[nifti.masks]] of its {MANIFEST}: {_names(reads)}"
        yield document.problem((*path, "inputs", name), message, key=True)
    if reads - given:
        message = f"{step.get('plugin')} reads the mask {_names(reads - given)}: name the step that makes it in inputs"
        yield document.problem(path, message)


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _reads_none(manifest: Manifest | None) -> str:
    """Why a plugin cannot take results of earlier steps; "" where it can."""
    if manifest is None:
        return ""
    if manifest.runtime.kind is RuntimeKind.DICOM:
        return "it is a vendor's box"
    form = manifest.runtime.exchange
    if form is ExchangeForm.NIFTI and manifest.nifti is not None and manifest.nifti.masks:
        return ""
    return "" if form is ExchangeForm.PACSNODE else f'its exchange is "{form}"'


def warnings(document: Document, manifest_of: Callable[[str], Manifest | None]) -> Iterator[Problem]:
    """Steps whose plugin makes documents under pseudonyms for a destination that gets them: pages stay as they are."""
    value = document.value
    destinations, rules = section(value, "destinations"), value.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        sent_to = _list(rule.get("send")) if is_mapping(rule) else []
        if not any(_takes_documents(destinations.get(name)) for name in sent_to if isinstance(name, str)):
            continue
        for step in map(_as_step, _list(rule.get("run"))):
            manifest = manifest_of(str(step.get("plugin")))
            if manifest is None or Output.DOCUMENTS not in manifest.outputs:
                continue
            if (step.get("identity") or manifest.runtime.identity) != PatientIdentity.FULL:
                message = (
                    f"{step.get('plugin')} makes PDF documents and knows the patient by a pseudonym: their pages show "
                    "that, or nobody; identity: full gives it the images as received"
                )
                yield document.problem(("rules", index, "run"), message, key=True)


def _takes_documents(destination: Any) -> bool:
    return is_mapping(destination) and "pdf" in _list(destination.get("kinds"))


def _as_step(step: Any) -> Mapping[str, Any]:
    return step if is_mapping(step) else {"plugin": step}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
