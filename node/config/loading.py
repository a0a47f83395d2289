"""config.yaml → `Configuration`, or every problem in it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from node.config import checks, rulefiles, source, validation
from node.config.dictionary import DataDictionary
from node.config.models import Configuration, Destination, Node
from node.config.problems import ConfigurationError, Problem
from node.config.source import Document, is_mapping
from rules.model import DICTIONARY

_MAY_BE_EMPTY = ("modalities", "destinations", "plugins", "rules")


def load(path: Path) -> Configuration:
    """Read and check a configuration, with the files of rules that it names.

    Relative paths in it are relative to its own folder; in the result they are absolute. Raises
    ConfigurationError with every problem, in the order of the files.
    """
    document = source.read(path)
    if not is_mapping(document.value):
        raise ConfigurationError([document.problem((), "expected sections: node, modalities, destinations, …")])
    _fill_in_empty_sections(document)
    problems = rulefiles.expand(document, path.parent)
    configuration = None
    try:
        configuration = Configuration.model_validate(document.value, context={DICTIONARY: DataDictionary()})
    except ValidationError as error:
        problems += validation.problems_of(error, document, Configuration)
    problems += checks.problems(document, path.parent)
    if configuration is None or problems:
        raise ConfigurationError(_in_order(problems, str(path)))
    return _absolute(configuration, path.parent.resolve())


def _fill_in_empty_sections(document: Document) -> None:
    """A section whose entries are all commented out is empty, and `lung-density:` alone asks for the defaults."""
    for name in _MAY_BE_EMPTY:
        if name in document.value and document.value[name] is None:
            document.value[name] = [] if name == "rules" else {}
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
    destinations = {name: _absolute_destination(each, folder) for name, each in configuration.destinations.items()}
    node = _absolute_node(configuration.node, folder)
    return configuration.model_copy(update={"node": node, "plugins": plugins, "destinations": destinations})


def _absolute_destination(destination: Destination, folder: Path) -> Destination:
    if destination.tls is None:
        return destination
    files = {name: getattr(destination.tls, name) for name in ("authorities", "certificate", "key")}
    changes = {name: folder / path for name, path in files.items() if path is not None}
    return destination.model_copy(update={"tls": destination.tls.model_copy(update=changes)})


def _absolute_node(node: Node, folder: Path) -> Node:
    changes: dict[str, Any] = {"data": folder / node.data}
    tls = node.listen.tls
    if tls is not None:
        authorities = folder / tls.authorities if tls.authorities else None
        files = {"certificate": folder / tls.certificate, "key": folder / tls.key, "authorities": authorities}
        changes["listen"] = node.listen.model_copy(update={"tls": tls.model_copy(update=files)})
    return node.model_copy(update=changes)
