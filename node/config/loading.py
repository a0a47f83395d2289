"""config.yaml → `Configuration`, or every problem in it at once."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from node.config import checks, credentials, exposure, rulefiles, source, validation
from node.config.dictionary import DataDictionary
from node.config.digests import digest_at, files_at
from node.config.from_values import validated
from node.config.models import MAY_BE_EMPTY, Configuration
from node.config.plugins import folder_of
from node.config.problems import ConfigurationError, Problem
from node.config.sections import Party, paths
from node.config.source import Document, Drafts
from node.config.values import is_mapping, section
from plugins.manifest import MANIFEST
from rules import example_runs, lint
from rules.model import Rule

_CLOCK_TICK = 20_000_000
"""Nanoseconds by which the time of a file may lag behind the clock."""
_LISTS = ("ignore", "rules", "tests", "vendors")


@dataclass(frozen=True)
class LoadedConfiguration:
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
    digests: Mapping[str, str]
    """SHA-256 of each of the files by its absolute path; empty where one was saved while they were being read."""


class PluginProblemsError(ConfigurationError):
    """All that is wrong is about single plugins: whoever only looks at plugins can go on with the others."""

    def __init__(self, problems: Sequence[Problem], configuration: Configuration) -> None:
        super().__init__(problems)
        self.configuration = configuration
        """It must not be put in force."""


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
    began, document = _began(), _sections(path)
    document.value["rules"] = [glob.escape(str(draft.resolve()))]
    document.value.pop("tests", None)  # of the rules that the draft is to replace
    return _read(path, document, began).configuration.rules


def read(path: Path, drafts: Drafts = MappingProxyType({})) -> LoadedConfiguration:
    """As `load`, with what a reload has to know; drafts are read in place of what is in their files."""
    began = _began()
    return _read(path, _sections(path, drafts), began, drafts)


def _sections(path: Path, drafts: Drafts = MappingProxyType({})) -> Document:
    document = source.read(path, drafts)
    if not is_mapping(document.value):
        raise ConfigurationError([document.problem((), "expected sections: node, modalities, destinations, …")])
    _fill_in_empty_sections(document)
    return document


def _began() -> int:
    return time.time_ns() - _CLOCK_TICK


def _digests(files: Iterable[Path], began: int) -> dict[str, str]:
    """See `LoadedConfiguration.digests`; `began`, in nanoseconds, is when the first of them was opened."""
    found: dict[str, str] = {}
    for file in {path.absolute() for path in files}:
        try:
            if file.stat().st_mtime_ns >= began:
                return {}
            found[str(file)] = digest_at(file)
        except OSError:  # gone meanwhile
            return {}
    return found


def _read(path: Path, document: Document, began: int, drafts: Drafts = MappingProxyType({})) -> LoadedConfiguration:
    entries = document.value.get("rules")
    patterns = tuple(entry for entry in entries if isinstance(entry, str)) if isinstance(entries, list) else ()
    files, problems = rulefiles.expand(document, path.parent, drafts)
    studies, more = rulefiles.put_studies_in(document)
    problems += [*more, *credentials.put_in(document, exposure.secrets(document.value))]
    configuration = None
    try:
        configuration = validated(document.value, path.parent.resolve())
    except ValidationError as error:
        problems += validation.problems_of(error, document, Configuration)
    problems += checks.problems(document, path.parent)
    warnings: list[Problem] = []
    if configuration is not None:
        findings = [("rules", found) for found in lint.lint(configuration.rules, DataDictionary())]
        findings += [("ignore", found) for found in lint.ignored(configuration.ignore, DataDictionary())]
        told = [
            (found, document.problem((part, *found.place), found.message, found.suggestion, key=True))
            for part, found in findings
        ]
        problems += [problem for found, problem in told if found.certain]
        warnings = [problem for found, problem in told if not found.certain]
        warnings += [*exposure.warnings(document, path.parent), *checks.warnings(document, path.parent)]
        problems += [
            document.problem(("tests", *found.place), found.message, found.suggestion, key=True)
            for found in example_runs.failures(configuration.tests, configuration.rules)
        ]
    if configuration is not None and problems and all(each.plugin for each in problems):
        raise PluginProblemsError(_in_order(problems, str(path)), configuration)
    if configuration is None or problems:
        raise ConfigurationError(_in_order(problems, str(path)))
    manifests = [folder_of(step.plugin, configuration.plugins) for rule in configuration.rules for step in rule.run]
    manifests += [use.folder for use in configuration.plugins.values()]
    read_too = {folder / MANIFEST for folder in manifests if folder is not None}
    read_too |= {file for path in paths(configuration, Party.RECEIVERS) for file in files_at(path)}
    every = (path, *files, *studies, *sorted(read_too))
    return LoadedConfiguration(
        path, configuration, document.value, every, patterns, tuple(warnings), _digests(every, began)
    )


def _fill_in_empty_sections(document: Document) -> None:
    """A section whose entries are all commented out is empty, and `lung-density:` alone asks for the defaults."""
    for name in MAY_BE_EMPTY:
        if name in document.value and document.value[name] is None:
            document.value[name] = [] if name in _LISTS else {}
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
