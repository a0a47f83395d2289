"""One table of a plugin.toml: hands out its keys, and complains with file, line and key."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from plugins.spelling import did_you_mean

TYPE_NAMES: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_TOML_NAMES: dict[type, str] = {**TYPE_NAMES, list: "a list", dict: "a table"}

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""All but tabulators and ends of lines."""


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names file, line and key."""


@dataclass
class ManifestTable:
    """One table of the document; every mistake that it finds is a `ManifestError`."""

    values: dict[str, Any]
    place: str
    path: Path
    text: str
    taken: set[str] = field(default_factory=set)

    def error(self, key: str, problem: str) -> ManifestError:
        """A complaint about this key."""
        where = f"{self.place}.{key}".strip(".")
        line = _line(self.text, self.place, key)
        return ManifestError(f"{self.path}{f':{line}' if line else ''}: {where}: {problem}")

    def take(self, key: str, kind: type, default: Any = ...) -> Any:
        """The value of a key; the default where it is absent, which must not be without one."""
        self.taken.add(key)
        if key not in self.values:
            if default is ...:
                raise self.error(key, "is missing")
            return default
        value = self.values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.error(key, f"expected {_TOML_NAMES[kind]}, got {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(key, f"must not be {value}")  # no number is above or below it
        if isinstance(value, str):
            self._check_text(key, value)
        return value

    def texts(self, key: str, default: Any = ...) -> tuple[str, ...]:
        """A list of texts."""
        values = self.take(key, list, default)
        if not all(isinstance(value, str) for value in values):
            raise self.error(key, "expected a list of texts")
        for value in values:
            self._check_text(key, value)
        return tuple(values)

    def _check_text(self, key: str, value: str) -> None:
        """Complain about what neither a command line nor a report can hold."""
        if found := _CONTROL.search(value):
            raise self.error(key, f"has the control character U+{ord(found[0]):04X}")

    def member(self, key: str, kind: type[StrEnum], name: str) -> Any:
        """The member of an enumeration that a text names."""
        try:
            return kind(name)
        except ValueError:
            known = [member.value for member in kind]
            raise self.error(key, f"{name!r} is none of {', '.join(known)}{did_you_mean(name, known)}") from None

    def table(self, key: str, default: Any = ...) -> ManifestTable:
        """The table under a key."""
        return ManifestTable(self.take(key, dict, default), f"{self.place}.{key}".strip("."), self.path, self.text)

    def tables(self, key: str) -> list[ManifestTable]:
        """The tables of a `[[list]]`, one or more."""
        entries = self.take(key, list)
        if not entries or not all(isinstance(entry, dict) for entry in entries):
            raise self.error(key, f"expected one table [[{key}]] or more")
        place = f"{self.place}.{key}".strip(".")
        return [ManifestTable(entry, f"{place}[{index}]", self.path, self.text) for index, entry in enumerate(entries)]

    def named_tables(self, key: str) -> list[tuple[str, ManifestTable]]:
        """The tables in a table, by their names."""
        parent = self.table(key, {})
        return [(name, parent.table(name)) for name in parent.values]

    def finish(self) -> None:
        """Complain where a key was handed out to nobody."""
        for key in self.values:
            if key not in self.taken:
                raise self.error(key, f"unknown key{did_you_mean(key, self.taken)}")


def _line(text: str, place: str, key: str) -> int | None:
    """Line on which a key stands (or else its table begins), found by reading the text as a person would."""
    table, wanted = re.sub(r"\[\d+\]", "", place), int(match[1]) if (match := re.search(r"\[(\d+)\]", place)) else 0
    current, seen, header = "", -1, None
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            current = match[1]
            seen += current == table
            if current in (table, f"{table}.{key}".strip(".")) and (seen == wanted or current != table):
                header = number
        elif current == table and (not table or seen == wanted) and re.match(rf'\s*"?{re.escape(key)}"?\s*=', line):
            return number
    return header
