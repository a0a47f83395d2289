"""What is wrong with boxes, and with the plugins that name one; and what a site should know before it sends images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from node.config.destination_checks import is_dicom
from node.config.models import Listen
from node.config.problems import Problem, closest
from node.config.source import Document, YamlPath
from node.config.values import is_mapping, section
from node.dimse.addresses import own_names
from plugins.manifest import MANIFEST, Manifest
from plugins.runtime import PatientIdentity

ManifestOf = Callable[[str], Manifest | None]
"""The manifest of a plugin by its name; None where there is none, or it is broken."""


def problems(document: Document, manifest_of: ManifestOf) -> Iterator[Problem]:
    """Every contradiction between a box and the rest of the configuration."""
    boxes = _sections(document, "boxes")
    taken = {
        str(each.get("ae_title")).strip(): f"modalities.{name}"
        for name, each in _sections(document, "modalities").items()
    }
    taken |= {
        str(each.get("ae_title")).strip(): f"destinations.{name}"
        for name, each in _sections(document, "destinations").items()
        if is_dicom(each)
    }
    for name, box in boxes.items():
        if name in _sections(document, "destinations"):
            message = "is the name of a destination already: commands name either by it"
            yield document.problem(("boxes", name), message, key=True)
        yield from _titles(document, name, box, taken)
        yield from _itself(document, name, box)
        yield from _answers(document, name, box)
    for name, use in _sections(document, "plugins").items():
        yield from _plugin(document, name, use, manifest_of(name), boxes)


def warnings(document: Document, manifest_of: ManifestOf) -> Iterator[Problem]:
    """Which boxes learn who the patients are; and what of a box's answers no pseudonym can be taken out of."""
    boxes = _sections(document, "boxes")
    for name in _sections(document, "plugins"):
        manifest = manifest_of(name)
        use = manifest.runtime.box if manifest else None
        if manifest is None or use is None or use.box not in boxes:
            continue
        path: YamlPath = ("plugins", name)
        if manifest.runtime.identity is PatientIdentity.FULL:
            message = f'the box {use.box} gets the images as received, with the patient\'s identity (identity = "full")'
        else:
            message = (
                f"the box {use.box} gets pseudonyms: where it writes them into pixels or a PDF, they stay there,"
                " because these cannot be changed back"
            )
        yield document.problem(path, message, key=True)


def _sections(document: Document, name: str) -> dict[str, Mapping[str, Any]]:
    return {key: part for key, part in section(document.value, name).items() if is_mapping(part)}


def _titles(document: Document, name: str, box: Mapping[str, Any], taken: dict[str, str]) -> Iterator[Problem]:
    """What comes under the AE title of a box is an answer: nothing else may come under it."""
    if box.get("answers", "here") != "here":
        return
    given = box.get("answering")
    listed: list[tuple[YamlPath, Any]] = [(("boxes", name, "ae_title"), box.get("ae_title"))]
    if isinstance(given, list) and given:
        listed = [(("boxes", name, "answering", index), title) for index, title in enumerate(given)]
    for path, title in listed:
        if not isinstance(title, str):
            continue
        if taken.setdefault(title.strip(), f"boxes.{name}") != f"boxes.{name}":
            message = (
                f'the AE title "{title}" is that of {taken[title.strip()]} already: what comes under it would be'
                " taken for an answer of the box"
            )
            yield document.problem(path, message)


def _itself(document: Document, name: str, box: Mapping[str, Any]) -> Iterator[Problem]:
    listen = section(document.value, "node", "listen")
    ports = {listen.get("port", Listen().port), section(listen, "tls").get("port", Listen().port)}
    if box.get("host") in own_names(str(listen.get("host", Listen().host))) and box.get("port") in ports:
        yield document.problem(("boxes", name, "port"), f"{box['host']}:{box['port']} is this node itself")


def _answers(document: Document, name: str, box: Mapping[str, Any]) -> Iterator[Problem]:
    """Where answers are fetched from is a destination that can be asked."""
    source = section(box, "answers").get("from")
    destinations = _sections(document, "destinations")
    path: YamlPath = ("boxes", name, "answers", "from")
    if not isinstance(source, str):
        return
    if source not in destinations:
        yield document.problem(path, f'there is no destination "{source}"', closest(source, destinations))
    elif not is_dicom(destinations[source]):
        yield document.problem(path, f'"{source}" cannot be asked: it is not of kind dicom')


def _plugin(
    document: Document,
    name: str,
    use: Mapping[str, Any],
    manifest: Manifest | None,
    boxes: Mapping[str, Mapping[str, Any]],
) -> Iterator[Problem]:
    if manifest is None:
        return
    wanted = manifest.runtime.box
    if wanted is None:
        if "calling_ae_title" in use:
            message = f"means nothing here: its {MANIFEST} is not of kind dicom"
            yield document.problem(("plugins", name, "calling_ae_title"), message, key=True)
        return
    path: YamlPath = ("plugins", name)
    if wanted.box not in boxes:
        message = f'its {MANIFEST} names the box "{wanted.box}", which is not under boxes:'
        yield document.problem(path, message, closest(wanted.box, boxes), key=True)
    elif boxes[wanted.box].get("answers", "here") != "here" and manifest.runtime.identity is not PatientIdentity.FULL:
        message = (
            f"the answers of the box {wanted.box} do not come here, so nobody maps its pseudonyms back:"
            f' it needs identity = "full" in [runtime] of its {MANIFEST}'
        )
        yield document.problem(path, message, key=True)
