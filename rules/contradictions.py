"""Conditions that can never hold, because their lines exclude each other.

Conditions are read as they were written, so that each finding has its place. What counts here follows from
`rules.conditions`: in a series or image all clauses are judged on the same image, under `when` each may find another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules import names, ranges, values
from rules.names import Dictionary, Name, ValueKind
from rules.reading import Level, Place, shown

_SINGLE_OF_STUDY = frozenset(
    {"origin", "revision", "received_date", "received_time", "received_weekday", "series_count", "image_count"}
)
"""Facts of which a study has exactly one value, so that clauses on them speak of the same."""
_SINGLE_TEXTS = frozenset({"Modality", "SOPClassUID", "SeriesInstanceUID", "origin", "received_weekday"})
"""Texts of which an image has exactly one, whatever its header says."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One thing that is worth a look; `certain`: the rule can never match, or never otherwise."""

    place: Place
    message: str
    certain: bool
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class ConditionLine:
    """One line of a condition."""

    key: str
    asked: Any
    place: Place

    @property
    def text(self) -> str:
        """As a person writes it."""
        return f"{self.key}: {shown(self.asked)}"

    @property
    def line(self) -> Mapping[str, Any]:
        """As a condition of its own."""
        return {self.key: self.asked}


class Checker:
    """Looks for what contradicts itself."""

    def __init__(self, dictionary: Dictionary | None) -> None:
        self.dictionary = dictionary

    def never(self, plain: Mapping[str, Any], level: Level, place: Place) -> Contradiction | None:
        """Why the condition can never hold; None where it perhaps can."""
        parts = self.parts(plain, place)
        for part in parts:
            if found := self._part_never(part, level):
                return found
        return self.contradiction(parts, level)

    def parts(self, plain: Mapping[str, Any], place: Place) -> list[ConditionLine]:
        """The lines that all have to hold, `all` taken apart."""
        found = []
        for key, asked in plain.items():
            if key == "all":
                for index, each in enumerate(asked):
                    found += self.parts(each, (*place, "all", index))
            else:
                found.append(ConditionLine(key, asked, (*place, key)))
        return found

    def _part_never(self, part: ConditionLine, level: Level) -> Contradiction | None:
        if part.key == "any":
            every = [self.never(each, level, (*part.place, index)) for index, each in enumerate(part.asked)]
            return every[0] if all(every) else None
        if part.key in ("any_series", "every_series"):
            return self.never(part.asked, "series", part.place)
        if part.key in ("any_image", "every_image"):
            return self.never(part.asked, "image", part.place)
        if part.key in ("count_series", "count_images"):
            return self._count_never(part)
        return None

    def _count_never(self, part: ConditionLine) -> Contradiction | None:
        asked = {key: each for key, each in part.asked.items() if key != "where"}
        if ranges.empty([asked, {"at_least": 0}], ValueKind.NUMBER, whole=True):
            return Contradiction(part.place, f"{part.text} can never hold: there is no such number", True)
        inner: Level = "series" if part.key == "count_series" else "image"
        found = self.never(part.asked["where"], inner, (*part.place, "where"))
        return found if ranges.empty([asked, {"is": 0}], ValueKind.NUMBER, whole=True) else None

    def contradiction(self, parts: Sequence[ConditionLine], level: Level) -> Contradiction | None:
        """Two lines, or one, that exclude each other."""
        negated = {text for part in parts if part.key == "not" for text in _negated(part.asked)}
        for part in parts:
            if part.key != "not" and part.text in negated:
                return Contradiction(part.place, f"{part.text} and not: it can never hold", True)
        by_name: dict[str, list[tuple[Name, ConditionLine]]] = {}
        for part in parts:
            name = self._name(part)
            if name is not None:
                by_name.setdefault(name.text, []).append((name, part))
        for name, *_ in (group[0] for group in by_name.values()):
            group = [part for _, part in by_name[name.text]]
            same = level != "study" or name.text in _SINGLE_OF_STUDY
            if found := _absent(group) or next(filter(None, (_empty(name, each) for each in _sets(group, same))), None):
                return found
        singles = {name: group for name, group in by_name.items() if level != "study" or name in _SINGLE_OF_STUDY}
        return self._excluded(singles, parts)

    def _name(self, part: ConditionLine) -> Name | None:
        if not (part.key[:1].isupper() or part.key.startswith("(") or part.key in names.FACTS):
            return None
        try:
            return names.parse(part.key, self.dictionary, lambda _word, _known: None)
        except names.NameProblem:
            return None

    def is_of_image(self, line: object) -> bool:
        """Whether this is one line on an attribute or fact of single images."""
        parts = self.parts(mapping(line), ())
        name = self._name(parts[0]) if len(parts) == 1 else None
        return name is not None and (name.fact is None or name.fact.of == "image")

    def _excluded(
        self, by_name: Mapping[str, list[tuple[Name, ConditionLine]]], parts: Sequence[ConditionLine]
    ) -> Contradiction | None:
        """A single text of which `not` leaves no value."""
        for part in parts:
            if part.key != "not" or len(mapping(part.asked)) != 1:
                continue
            (key, asked), *_ = part.asked.items()
            out = _texts(asked)
            group = by_name.get(key, [])
            if key not in _SINGLE_TEXTS or out is None or operands(asked).get("case_sensitive"):
                continue
            for _, other in group:
                allowed = _texts(other.asked)
                if allowed is not None and not may_miss(other) and not allowed - out:
                    return Contradiction(other.place, f"{other.text} and {part.text} exclude each other", True)
        return None


def _negated(plain: object) -> Iterator[str]:
    """What `not` excludes, where it is one line."""
    asked = mapping(plain)
    if len(asked) == 1:
        for key, value in asked.items():
            yield f"{key}: {shown(value)}"


def _sets(group: Sequence[ConditionLine], same: bool) -> list[list[ConditionLine]]:
    """Lines that are judged on the same values: all on one name, or each for itself."""
    asking = [part for part in group if "present" not in operands(part.asked)]
    return [asking] if same and asking else [[part] for part in asking]


def _absent(group: Sequence[ConditionLine]) -> Contradiction | None:
    """A value asked of an attribute that is not to be there."""
    gone = next((part for part in group if operands(part.asked).get("present") is False), None)
    asked = next((part for part in group if operands(part.asked).get("present") is not False), None)
    if gone is None or asked is None or may_miss(asked):
        return None
    return Contradiction(asked.place, f"{asked.text} can never hold beside {gone.text}", True)


def _empty(name: Name, group: Sequence[ConditionLine]) -> Contradiction | None:
    """Lines on one value that no value satisfies; a line that holds for a missing value may still."""
    if all(may_miss(part) for part in group):
        return None
    said = " and ".join(dict.fromkeys(part.text for part in group))
    place = group[-1].place
    kind = name.kind
    if kind in ranges.RANGED:
        lines = [operands(part.asked) for part in group]
        whole = name.fact is not None and kind is ValueKind.NUMBER
        if ranges.empty(lines, kind, whole=whole):
            hint = "; over midnight, write the two halves under `any`" if kind is ValueKind.TIME else ""
            return Contradiction(place, f"{said} can never hold: no {kind} is between{hint}", True)
    if name.text in _SINGLE_TEXTS:
        allowed = [found for part in group if (found := _texts(part.asked)) is not None]
        if len(allowed) > 1 and not set.intersection(*map(set, allowed)):
            return Contradiction(place, f"{said} can never hold: {name.text} is only one of them", True)
    return None


def operands(asked: object) -> Mapping[str, Any]:
    """What a line asks, by operator; the short form spelled out."""
    if isinstance(asked, Mapping):
        return asked
    return {"in" if isinstance(asked, list | tuple) else "is": asked}


def may_miss(part: ConditionLine) -> bool:
    """Whether a missing value satisfies the line."""
    return operands(part.asked).get("missing") is True


def _texts(asked: object) -> frozenset[str] | None:
    """The only texts that a line allows, without regard to case; None where it allows others."""
    given = operands(asked)
    found: list[frozenset[str]] = []
    for operator in ("is", "in"):
        if operator in given:
            several = given[operator]
            several = several if isinstance(several, list | tuple) else [several]
            if not all(isinstance(each, str) for each in several):
                return None
            found.append(frozenset(values.fold(each.strip(values.PADDING)) for each in several))
    return frozenset.intersection(*found) if found else None


def mapping(plain: object) -> Mapping[str, Any]:
    """A condition as it was written; nothing where it is none."""
    return plain if isinstance(plain, Mapping) else {}
