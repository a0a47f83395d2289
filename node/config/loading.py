"""config.yaml → `Configuration`, or every problem in it at once."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from node.config import checks, rulefiles, source, validation
from node.config.dictionary import DataDictionary
from node.config.models import Configuration, Destination, Modality, Node, StorageCommitment
from node.config.people import Notifying, Person
from node.config.plugins import folder_of
from node.config.problems import ConfigurationError, Problem
from node.config.source import Document, is_mapping, section
from node.config.values import Section
from plugins.manifest import MANIFEST
from rules import examples, lint
from rules.model import DICTIONARY, Rule

S = TypeVar("S", bound=Section)
_MAY_BE_EMPTY = ("modalities", "destinations", "plugins", "people", "notify", "rules", "tests")


@dataclass(frozen=True)
class Loaded:
    """A right configuration, and where it came from."""

    path: Path
    configuration: Configuration
    value: Mapping[str, Any]
    """As written, with the rules of other files put in: plain values."""
    files: tuple[Path, ...]
    """What was read: the configuration itself, the files of rules, the plugins' manifests, the certificate."""
    patterns: tuple[str, ...]
    """Of the files of rules: a further file that one of them matches belongs to it too."""
    warnings: tuple[Problem, ...]
    """What is right, and hardly what was meant."""


def load(path: Path) -> Configuration:
    """Read and check a configuration, with the files of rules that it names.

    Relative paths in it are relative to its own folder; in the result they are absolute. Raises
    ConfigurationError with every problem, in the order of the files.
    """
    return read(path).configuration


def read_draft(path: Path, draft: Path) -> tuple[Rule, ...]:
    """The rules of `draft`, a file of rules or a whole configuration, checked beside the rest of a configuration.

    Raises ConfigurationError.
    """
    if "node" in section(source.read(draft).value):
        return read(draft).configuration.rules
    document = _sections(path)
    document.value["rules"] = [glob.escape(str(draft.resolve()))]
    document.value.pop("tests", None)  # of the rules that the draft is to replace
    return _read(path, document).configuration.rules


def read(path: Path) -> Loaded:
    """As `load`, with what a reload has to know."""
    return _read(path, _sections(path))


def _sections(path: Path) -> Document:
    document = source.read(path)
    if not is_mapping(document.value):
        raise ConfigurationError([document.problem((), "expected sections: node, modalities, destinations, …")])
    _fill_in_empty_sections(document)
    return document


def _read(path: Path, document: Document) -> Loaded:
    entries = document.value.get("rules")
    patterns = tuple(entry for entry in entries if isinstance(entry, str)) if isinstance(entries, list) else ()
    files, problems = rulefiles.expand(document, path.parent)
    studies, more = rulefiles.put_studies_in(document)
    problems += more
    configuration = None
    try:
        configuration = validated(document.value, path.parent.resolve())
    except ValidationError as error:
        problems += validation.problems_of(error, document, Configuration)
    problems += checks.problems(document, path.parent)
    warnings: list[Problem] = []
    if configuration is not None:
        findings = list(lint.lint(configuration.rules, DataDictionary()))
        told = [
            (found, document.problem(("rules", *found.place), found.message, found.suggestion, key=True))
            for found in findings
        ]
        problems += [problem for found, problem in told if found.certain]
        warnings = [problem for found, problem in told if not found.certain]
        problems += [
            document.problem(("tests", *found.place), found.message, found.suggestion, key=True)
            for found in examples.failures(configuration.tests, configuration.rules)
        ]
    if configuration is None or problems:
        raise ConfigurationError(_in_order(problems, str(path)))
    manifests = [folder_of(step.plugin, configuration.plugins) for rule in configuration.rules for step in rule.run]
    manifests += [use.folder for use in configuration.plugins.values()]
    read_too = {folder / MANIFEST for folder in manifests if folder is not None}
    tls = configuration.node.listen.tls
    read_too |= set(tls.files.values()) if tls else set()
    return Loaded(
        path, configuration, document.value, (path, *files, *studies, *sorted(read_too)), patterns, tuple(warnings)
    )


def validated(value: object, folder: Path) -> Configuration:
    """The configuration that plain values stand for, relative paths beginning at `folder`; ValidationError."""
    configuration = Configuration.model_validate(value, context={DICTIONARY: DataDictionary()})
    return _absolute(configuration, folder)


def _fill_in_empty_sections(document: Document) -> None:
    """A section whose entries are all commented out is empty, and `lung-density:` alone asks for the defaults."""
    for name in _MAY_BE_EMPTY:
        if name in document.value and document.value[name] is None:
            document.value[name] = [] if name in ("rules", "tests") else {}
    plugins = document.value.get("plugins")
    if is_mapping(plugins):
        document.value["plugins"] = {name: {} if use is None else use for name, use in plugins.items()}


def _in_order(problems: list[Problem], file: str) -> list[Problem]:
    """By file, the configuration itself first, then by place; what two checks both say is said once."""
    unique = {(problem.place, problem.message): problem for problem in problems}
    return sorted(
        unique.values(),
        key=lambda problem: (
            problem.place.file != file,
            problem.place.file,
            problem.place.line,
            problem.place.column,
        ),
    )


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
