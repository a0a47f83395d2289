"""A YAML file → plain values, and for each of them the place where it stands.

The file's node graph is walked by hand rather than loaded: so every duplicate key, custom tag and
self-containing alias is found and named with its line, nothing is ever constructed but mappings with
text keys, lists, texts, numbers, booleans and null, and an alias bomb ends at a count (case 75).
The language is YAML 1.2: `yes`, `no`, `on` and `off` are texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from node.config import yaml_mistakes
from node.config.problems import ConfigurationError, Place, Problem

YamlPath: TypeAlias = tuple[str | int, ...]
Drafts: TypeAlias = Mapping[Path, bytes]
"""What is to be read in place of files that are there, by their resolved paths."""

LARGEST_FILE = 2**20
"""Bytes; a configuration of a hospital has a few thousand."""
MOST_VALUES = 50_000
"""Values of one file with its aliases followed."""
DEEPEST = 40
"""Levels of nesting."""

_TAG = "tag:yaml.org,2002:"
_TEXTS = (f"{_TAG}str", f"{_TAG}timestamp")
"""A date stays the text that was written: only who reads it knows what it is to be."""
_TAG_AS_KEYS = re.compile(r"\(?([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)?\s*:")
_SCALARS = (f"{_TAG}int", f"{_TAG}float", f"{_TAG}bool", f"{_TAG}null")


@dataclass(slots=True)
class Document:
    """What a file says, and where."""

    file: str
    value: Any
    keys: dict[YamlPath, Place] = field(default_factory=dict)
    """Where the key of a path stands."""
    values: dict[YamlPath, Place] = field(default_factory=dict)
    """Where the value of a path begins."""
    names: dict[YamlPath, str] = field(default_factory=dict)
    """What a path is called in its own file, where that differs (rules taken from another file)."""
    _below: dict[int, dict[YamlPath, list[YamlPath]]] = field(default_factory=dict, repr=False)
    """Paths by their first steps, so that thousands of rules are not each looked for among all paths."""

    def place(self, path: YamlPath, *, key: bool = False) -> Place:
        """Where `path` stands, or else the nearest thing around it; its key rather than its value on demand."""
        if key and path in self.keys:
            return self.keys[path]
        for end in range(len(path), -1, -1):
            if path[:end] in self.values:
                part = path[:end]
                return self.keys[part] if end < len(path) and part in self.keys else self.values[part]
        return Place(self.file, 0, 0)

    def name(self, path: YamlPath) -> str:
        """`rules[2].run`, as the path is called in the file where it stands."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.names:
                return path_text(path[end:], self.names[path[:end]])
        return path_text(path)

    def problem(self, path: YamlPath, message: str, suggestion: str | None = None, *, key: bool = False) -> Problem:
        """A problem at `path`."""
        return Problem(self.place(path, key=key), self.name(path), message, suggestion)

    def adopt(self, other: Document, source: YamlPath, target: YamlPath) -> None:
        """Places of what stood at `source` in `other`, under `target` here."""
        self._below = {}
        for path in other._paths_below(source):
            for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
                if path in theirs:
                    mine[target + path[len(source) :]] = theirs[path]
        self.names[target] = path_text(source)

    def _paths_below(self, source: YamlPath) -> list[YamlPath]:
        grouped = self._below.get(len(source))
        if grouped is None:
            grouped = self._below[len(source)] = {}
            for path in {**self.keys, **self.values}:
                if len(path) >= len(source):
                    grouped.setdefault(path[: len(source)], []).append(path)
        return grouped.get(source, [])


def path_text(path: YamlPath, start: str = "") -> str:
    """`("rules", 2, "run")` → `rules[2].run`."""
    text = start
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read(path: Path, drafts: Drafts = MappingProxyType({})) -> Document:
    """Read one file, or its draft where there is one; ConfigurationError with every problem of its form."""
    draft = drafts.get(path.resolve()) if drafts else None
    text = _text(path) if draft is None else _decoded(path, draft)
    reader = _DocumentReader(str(path), text.splitlines())
    try:
        root = reader.yaml.compose(text)
    except YAMLError as error:
        raise ConfigurationError([_syntax_problem(str(path), text, error)]) from error
    except RecursionError as error:
        raise ConfigurationError([_whole(path, "is nested too deeply")]) from error
    if root is None:
        raise ConfigurationError([_whole(path, "is empty; config.example.yaml shows what it may say")])
    reader.document.value = reader.construct(root, (), ())
    if odd := yaml_mistakes.odd_space(reader.lines, anywhere=False):
        place = Place(str(path), odd.line + 1, odd.column + 1, 1, reader.lines[odd.line])
        reader.problems.insert(0, Problem(place, "", odd.message))
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return reader.document


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError([_whole(path, f"cannot be read: {error.strerror}")]) from error
    return _decoded(path, content)


def _decoded(path: Path, content: bytes) -> str:
    if len(content) > LARGEST_FILE:
        raise ConfigurationError([_whole(path, f"is larger than {LARGEST_FILE} bytes: this is not a configuration")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        source = content.splitlines()[line - 1].decode("utf-8", "replace")
        message = f"the byte 0x{content[error.start]:02X} is not UTF-8; save the file as UTF-8"
        raise ConfigurationError([Problem(Place(str(path), line, column, 1, source), "", message)]) from error


def _whole(path: Path, message: str) -> Problem:
    return Problem(Place(str(path), 0, 0), "", message)


def _syntax_problem(file: str, text: str, error: YAMLError) -> Problem:
    """The parser's complaint in plain words, at the place of the mistake."""
    lines = text.splitlines()
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line, column = before.count("\n"), error.position - (before.rfind("\n") + 1)
        message = f"the character U+{int(error.character):04X} is not allowed in YAML"
    elif isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        line, column, message = yaml_mistakes.explained(error, lines)
        if "expected a single document" in message:
            message = "a second document begins here (---); write one document a file"
    else:
        line, column, message = 0, 0, str(error)
    source = lines[line] if line < len(lines) else ""
    return Problem(Place(file, line + 1, column + 1, 1, source), "", message)


@dataclass
class _DocumentReader:
    """Walks the nodes of one file and collects values, places and problems."""

    file: str
    lines: list[str]
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        self.yaml = YAML(typ="safe", pure=True)
        self.document = Document(self.file, None)

    def construct(self, node: Node, path: YamlPath, around: tuple[Node, ...]) -> Any:
        self.document.values[path] = self._place(node)
        self.count += 1
        if any(node is other for other in around):
            return self._problem(node, path, "this alias contains itself")
        if self._too_much(node, path, len(around)):
            return None
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return dict(self._items(node, path, (*around, node)))
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.construct(item, (*path, i), (*around, node)) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        return self._refuse_tag(node, path)

    def _too_much(self, node: Node, path: YamlPath, depth: int) -> bool:
        """Whether reading has to end here; said once."""
        if self.count <= MOST_VALUES and depth < DEEPEST:
            return False
        if self.count <= MOST_VALUES + 1:
            what = f"more than {MOST_VALUES} values" if self.count > MOST_VALUES else f"over {DEEPEST} levels"
            self._problem(node, path[:1], f"with aliases followed the file holds {what}; it is not read further")
            self.count = MOST_VALUES + 2
        return True

    def _items(self, node: MappingNode, path: YamlPath, around: tuple[Node, ...]) -> Iterator[tuple[str, Any]]:
        for key_node, value_node in node.value:
            if self.count > MOST_VALUES:
                return
            key = self._key(key_node, path)
            if key is None:
                continue
            if (*path, key) in self.document.keys:
                first = self.document.keys[*path, key].line
                self._problem(key_node, (*path, key), f'the key "{key}" stands here twice; first on line {first}')
                continue
            self.document.keys[*path, key] = self._place(key_node)
            yield key, self.construct(value_node, (*path, key), around)

    def _key(self, node: Node, path: YamlPath) -> str | None:
        if isinstance(node, ScalarNode) and (split := self._split_key(node)) is not None:
            if split:
                self._problem(node, path, split)
            return None
        if isinstance(node, ScalarNode) and node.tag in _TEXTS:
            return str(node.value)
        if isinstance(node, ScalarNode) and node.tag == f"{_TAG}merge":
            self._problem(node, path, "merge keys (<<) are not understood here; write the keys out")
        elif isinstance(node, ScalarNode) and node.tag in _SCALARS:
            self._problem(node, path, f'the key {node.value} is not a text; put it in quotes: "{node.value}"')
        elif isinstance(node, ScalarNode):
            self._refuse_tag(node, path)
        else:
            self._problem(node, path, "a key has to be a text, not a list or a mapping")
        return None

    def _split_key(self, node: ScalarNode) -> str | None:
        """What is wrong with a key that is one half of `0018,0050` or `1,5`; "" of the half that was reported."""
        line = self.lines[node.start_mark.line] if node.start_mark.line < len(self.lines) else ""
        before, after = line[: node.start_mark.column], line[node.start_mark.column :]
        if "," not in str(node.value) and (tag := _TAG_AS_KEYS.match(after)):
            return f'a tag is written in parentheses, and in quotes here: "({tag[1]},{tag[2]})"'
        if re.search(r"[{,]\s*\(?[0-9A-Fa-f]{4},$", before) and re.match(r"[0-9A-Fa-f]{4}\)?\s*:", after):
            return ""
        if (number := re.search(r":\s*(-?\d+),$", before)) and str(node.value).isdigit():
            return f"{number[1]},{node.value} is two values: write a decimal point, {number[1]}.{node.value}"
        return None

    def _scalar(self, node: ScalarNode, path: YamlPath) -> Any:
        if node.tag in _TEXTS:
            return str(node.value)
        if node.tag not in _SCALARS:
            return self._refuse_tag(node, path)
        if "_" in str(node.value):
            return self._problem(node, path, f'{node.value} is not a number here: write it without "_", or in quotes')
        digits = str(node.value).lstrip("+-")
        if node.tag == f"{_TAG}int" and len(digits) > 1 and digits[0] == "0" and digits.isdigit():
            message = f'{node.value} would lose its leading zeros as a number; put it in quotes: "{node.value}"'
            return self._problem(node, path, message)
        try:
            return self.yaml.constructor.yaml_constructors[node.tag](self.yaml.constructor, node)
        except (ValueError, ConstructorError) as error:
            return self._problem(node, path, f"cannot be read as a value: {error}")

    def _refuse_tag(self, node: Node, path: YamlPath) -> None:
        tag = str(node.tag).removeprefix(_TAG)
        if tag.startswith("!="):
            what = f"{tag[2:]} {node.value if isinstance(node, ScalarNode) else ''}".strip() or "…"
            self._problem(node, path, f"there is no !=: write not: {{{path[-1] if path else '…'}: {what}}}")
            return
        shown = tag if tag.startswith("!") else f"!!{tag}"
        self._problem(node, path, f"the tag {shown} is refused: a configuration holds plain values only")

    def _problem(self, node: Node, path: YamlPath, message: str) -> None:
        self.problems.append(Problem(self._place(node), path_text(path), message))

    def _place(self, node: Node) -> Place:
        start, end = node.start_mark, node.end_mark
        source = self.lines[start.line] if start.line < len(self.lines) else ""
        width = end.column - start.column if end.line == start.line else len(source) - start.column
        return Place(self.file, start.line + 1, start.column + 1, max(1, width), source)
