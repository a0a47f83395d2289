"""Plain values, such as YAML or JSON hold, → `Configuration`.

It is apart from `loading`, because whoever uses what is in force (`in_force`) needs no YAML.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from node.config.dictionary import DataDictionary
from node.config.models import Configuration, Destination, Modality, Node, StorageCommitment
from node.config.people import Notifying, Person
from node.config.values import Section
from rules.model import DICTIONARY

S = TypeVar("S", bound=Section)


def validated(value: object, folder: Path) -> Configuration:
    """The configuration that plain values stand for, relative paths beginning at `folder`; ValidationError."""
    configuration = Configuration.model_validate(value, context={DICTIONARY: DataDictionary()})
    return _absolute(configuration, folder)


def _absolute(configuration: Configuration, folder: Path) -> Configuration:
    """The configuration with its paths beginning at `folder`, its own."""
    plugins = {
        name: use.model_copy(update={"folder": folder / use.folder}) if use.folder else use
        for name, use in configuration.plugins.items()
    }
    people, notify = _absolute_people(configuration, folder)
    changes = {
        "node": _absolute_node(configuration.node, folder),
        "modalities": {name: _absolute_modality(each, folder) for name, each in configuration.modalities.items()},
        "destinations": {name: _absolute_peer(each, folder) for name, each in configuration.destinations.items()},
        "plugins": plugins,
        "people": people,
        "notify": notify,
    }
    return configuration.model_copy(update=changes)


def _absolute_modality(modality: Modality, folder: Path) -> Modality:
    asking = modality.storage_commitment
    if asking is None or asking.tls is None:
        return modality
    return modality.model_copy(update={"storage_commitment": _absolute_peer(asking, folder)})


_Peer = TypeVar("_Peer", Destination, StorageCommitment)


def _absolute_peer(peer: _Peer, folder: Path) -> _Peer:
    if peer.tls is None:
        return peer
    files = {name: getattr(peer.tls, name) for name in ("authorities", "certificate", "key")}
    changes = {name: folder / path for name, path in files.items() if path is not None}
    return peer.model_copy(update={"tls": peer.tls.model_copy(update=changes)})


def _absolute_people(configuration: Configuration, folder: Path) -> tuple[dict[str, Person], Notifying]:
    people = {name: _absolute_files(person, "webhook", folder) for name, person in configuration.people.items()}
    return people, _absolute_files(configuration.notify, "mail", folder)


def _absolute_files(section: S, name: str, folder: Path) -> S:
    """The section with the files that its part of this name mentions beginning at `folder`."""
    part: Section | None = getattr(section, name)
    if part is None:
        return section
    files = {key: folder / value for key, value in part if isinstance(value, Path)}
    return section.model_copy(update={name: part.model_copy(update=files)})


def _absolute_node(node: Node, folder: Path) -> Node:
    changes: dict[str, Any] = {"data": folder / node.data}
    tls = node.listen.tls
    if tls is not None:
        authorities = folder / tls.authorities if tls.authorities else None
        files = {"certificate": folder / tls.certificate, "key": folder / tls.key, "authorities": authorities}
        changes["listen"] = node.listen.model_copy(update={"tls": tls.model_copy(update=files)})
    return node.model_copy(update=changes)
