"""What is wrong with a configuration, shown as a compiler shows it: place, words, the line, a caret."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.errors import PermanentError

_SHOWN_COLUMNS = 100
"""The most of a source line that is shown; a longer one is cut around the place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line of a file."""

    file: str
    """As it was named on the command line or by the configuration."""
    line: int
    """From 1; 0 where the file as a whole is meant."""
    column: int
    """From 1, in characters."""
    width: int = 1
    """Characters from `column` on that are meant."""
    source: str = ""
    """The line itself."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and what was probably meant."""

    place: Place
    yaml_path: str
    """`rules[2].run`; empty for the document as a whole."""
    message: str
    suggestion: str | None = None
    """The word that was probably meant."""
    plugin: str = ""
    """The plugin that it is about, where it leaves all others as they are."""

    @property
    def headline(self) -> str:
        """`config.yaml:41:10: rules[2].run: there is no plugin "x"; did you mean "y"?`."""
        place = self.place
        where = f"{place.file}:{place.line}:{place.column}" if place.line else place.file
        path = f"{self.yaml_path}: " if self.yaml_path else ""
        meant = f'; did you mean "{self.suggestion}"?' if self.suggestion else ""
        return printable(f"{where}: {path}{self.message}{meant}")

    def __str__(self) -> str:
        """The headline, the source line with its number, and a caret under the place."""
        if not self.place.line or not self.place.source.strip():
            return self.headline
        source, column, width = _cut(self.place)
        number = f"{self.place.line:>5}"
        before = " " * _cells(source[: column - 1])
        marked = max(1, _cells(source[column - 1 : column - 1 + width]))
        return f"{self.headline}\n{number} | {source}\n{' ' * len(number)} | {before}^{'~' * (marked - 1)}"


class ConfigurationError(PermanentError):
    """The configuration cannot be used; holds every problem that was found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant by `word`, compared without case; None where none is near."""
    folded = {candidate.casefold().replace("_", "-"): candidate for candidate in known}
    near = difflib.get_close_matches(word.casefold().replace("_", "-"), folded, n=1, cutoff=0.7)
    return folded[near[0]] if near else None


def printable(text: str) -> str:
    """`text` with control characters escaped, so that a file's content cannot steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cut(place: Place) -> tuple[str, int, int]:
    """The shown part of the source line, and column and width within it."""
    source = "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in place.source)
    start = 0
    if place.column + place.width > _SHOWN_COLUMNS:
        start = max(0, place.column - 1 - _SHOWN_COLUMNS // 3)
    shown = source[start : start + _SHOWN_COLUMNS].rstrip()
    if start + _SHOWN_COLUMNS < len(source.rstrip()):
        shown = f"{shown[:-1]}…"
    if start:
        shown = f"…{shown[1:]}"
    column = place.column - start
    return shown, column, max(1, min(place.width, len(shown) - column + 1))


def _cells(text: str) -> int:
    """Columns that `text` takes in a terminal: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )
