"""Rules that live in files of their own: `rules: [rules.d/*.yaml]`.

Such a file holds a list of rules, or `rules:` with one and `tests:` of them. Its rules take the place of the pattern
that named it, files in the order of their names; a file that two patterns match is taken once. A test may name a file
that holds its study.
"""

from __future__ import annotations

import glob
from copy import copy
from pathlib import Path
from types import MappingProxyType

from node.config import source
from node.config.problems import ConfigurationError, Problem
from node.config.source import Document, Drafts
from node.config.values import is_mapping


def expand(document: Document, folder: Path, drafts: Drafts = MappingProxyType({})) -> tuple[list[Path], list[Problem]]:
    """Replace every pattern in the document's `rules` by the rules of its files: those files, what is wrong with them.

    Patterns are relative to `folder`. A file of which there is a draft is read from that.
    """
    entries = document.value.get("rules")
    if not isinstance(entries, list):
        return [], []
    before = _take_rules_out(document)
    rules: list[object] = []
    problems: list[Problem] = []
    seen: dict[Path, Path] = {}
    for index, entry in enumerate(entries):
        if isinstance(entry, str):
            files, problem = _matches(before, index, entry, folder)
            problems += problem
            for file in files:
                if file.resolve() not in seen:
                    seen[file.resolve()] = file
                    problems += _append(document, rules, file, drafts)
        else:
            document.adopt(before, ("rules", index), ("rules", len(rules)))
            rules.append(entry)
    document.value["rules"] = rules
    return list(seen.values()), problems


def _take_rules_out(document: Document) -> Document:
    """Forget the places of single rules, whose numbers are about to change; returns the document as it was."""
    before = copy(document)
    document.keys = {path: place for path, place in before.keys.items() if path[:1] != ("rules",) or len(path) == 1}
    document.values = {path: place for path, place in before.values.items() if path[:1] != ("rules",) or len(path) == 1}
    return before


def _matches(document: Document, index: int, pattern: str, folder: Path) -> tuple[list[Path], list[Problem]]:
    found = sorted(folder / name for name in glob.glob(pattern, root_dir=folder, recursive=True))
    files = [path for path in found if path.is_file()]
    if files:
        return files, []
    message = f'"{pattern}" matches no file (it is looked for beside the configuration, in {folder.resolve()})'
    return [], [document.problem(("rules", index), message)]


def _append(document: Document, rules: list[object], file: Path, drafts: Drafts) -> list[Problem]:
    """Add the rules of one file to `rules`, and their places to the document."""
    try:
        other = source.read(file, drafts)
    except ConfigurationError as error:
        return list(error.problems)
    start: tuple[str, ...] = ("rules",) if is_mapping(other.value) else ()
    problems = []
    if start:
        extra = [key for key in other.value if key not in ("rules", "tests", "ignore", "vendors")]
        problems = [
            other.problem((key,), f'beside "rules:" a file of rules holds no "{key}"', key=True) for key in extra
        ]
        for part in ("tests", "ignore", "vendors"):
            problems += _append_part(document, other, part)
    entries = other.value.get("rules") if start else other.value
    if not isinstance(entries, list):
        return [*problems, other.problem(start, "expected a list of rules", key=True)]
    for index, entry in enumerate(entries):
        if isinstance(entry, str):
            problems.append(other.problem((*start, index), "only the configuration itself names files of rules"))
            continue
        document.adopt(other, (*start, index), ("rules", len(rules)))
        rules.append(entry)
    return problems


def _append_part(document: Document, other: Document, part: str) -> list[Problem]:
    """Add the tests of one file, or what it ignores, to the document's own."""
    entries, own = other.value.get(part), document.value.setdefault(part, [])
    if entries is None or not isinstance(own, list):
        return []  # none, or a mistake of the configuration's own, which its model tells
    if not isinstance(entries, list):
        return [other.problem((part,), f"expected a list after {part}", key=True)]
    for index, entry in enumerate(entries):
        document.adopt(other, (part, index), (part, len(own)))
        own.append(entry)
    return []


def put_studies_in(document: Document) -> tuple[list[Path], list[Problem]]:
    """Replace the name of a file after `given:` by what the file holds: those files, what is wrong with them."""
    files: list[Path] = []
    problems: list[Problem] = []
    tests = document.value.get("tests")
    for index, test in enumerate(tests if isinstance(tests, list) else ()):
        if not is_mapping(test) or not isinstance(test.get("given"), str):
            continue
        path = ("tests", index, "given")
        file = Path(document.place(path).file).parent / test["given"]
        if not file.is_file():
            problems.append(document.problem(path, f"there is no file {file.resolve()} with the study of the test"))
            continue
        files.append(file)
        try:
            study = source.read(file)
        except ConfigurationError as error:
            problems += error.problems
            continue
        document.adopt(study, (), path)
        tests[index] = {**test, "given": study.value}
    return files, problems
