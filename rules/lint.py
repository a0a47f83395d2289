"""What is wrong with rules that load: conditions that can never hold, unlikely values, rules that do the same twice.

A finding is `certain` only where no facts whatever could make the rule match; a test holds that against the engine.
Conditions are read as they were written, so that each finding has its place. What counts here follows from
`rules.conditions`: in a series or image all clauses are judged on the same image, under `when` each may find another.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf
from typing import Any

from rules import names, operators, terms, values
from rules.model import Rule
from rules.names import Dictionary, Kind, Name
from rules.reading import Level, Place, closest, shown

_QUIET = operators.MODIFIERS
_SINGLE_OF_STUDY = frozenset(
    {"origin", "revision", "received_date", "received_time", "received_weekday", "series_count", "image_count"}
)
"""Facts of which a study has exactly one value, so that clauses on them speak of the same."""
_SINGLE_TEXTS = frozenset({"Modality", "SOPClassUID", "SeriesInstanceUID", "origin", "received_weekday"})
"""Texts of which an image has exactly one, whatever its header says."""
_SLACK = 4e-6
"""More than twice the tolerance by which equal numbers may differ: a range is empty only beyond doubt."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is worth a look; `certain`: the rule can never match, or never otherwise."""

    place: Place
    message: str
    certain: bool
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """One line of a condition."""

    key: str
    asked: Any
    place: Place

    @property
    def text(self) -> str:
        return f"{self.key}: {shown(self.asked)}"


def lint(rules: Sequence[Rule], dictionary: Dictionary | None) -> Iterator[Finding]:
    """Every finding; its place begins with the number of the rule."""
    for index, rule in enumerate(rules):
        checker = _Checker(dictionary)
        for place, plain, level in _conditions(rule):
            if reason := checker.never(plain, level, (index, *place)):
                yield reason
            yield from _unusual(plain, (index, *place))
        yield from _left_out(rule, checker, index)
        yield from _in_vain(rule, checker, index)
        yield from _twice(rules, index)


def _conditions(rule: Rule) -> Iterator[tuple[Place, Mapping[str, Any], Level]]:
    yield ("when",), _mapping(rule.when.plain), "study"
    for place, choice in _choices(rule):
        if choice.only_images:
            yield (*place, "only_images"), _mapping(choice.only_images.plain), "image"
        if choice.where:
            yield (*place, "where"), _mapping(choice.where.plain), "series"


def _choices(rule: Rule) -> Iterator[tuple[Place, Any]]:
    """Each choice with its place; the first of several and the only one cannot be distinguished, and need not be."""
    for number, choice in enumerate(rule.choose):
        yield ("choose", number) if len(rule.choose) > 1 else ("choose",), choice


def _left_out(rule: Rule, checker: _Checker, index: int) -> Iterator[Finding]:
    """What `where` asks of images that `only_images` has left out."""
    for place, choice in _choices(rule):
        if choice.only_images and choice.where:
            at = (index, *place, "where")
            only = checker.parts(_mapping(choice.only_images.plain), (index, *place, "only_images"))
            where = checker.parts(_mapping(choice.where.plain), at)
            alone = checker.contradiction(only, "image") or checker.contradiction(where, "series")
            if not alone and (found := checker.contradiction([*only, *where], "series")):
                yield Finding(at, f"{found.message}, one of them in only_images: no series is ever chosen", True)


def _in_vain(rule: Rule, checker: _Checker, index: int) -> Iterator[Finding]:
    """A `wait` for what can never come; the rule never matches then, unless it does something `otherwise`."""
    if rule.wait is None:
        return
    place = (index, "wait", "until")
    until = _mapping(rule.wait.until.plain)
    certain = rule.wait.otherwise == "nothing"
    yield from _unusual(until, place)
    if found := checker.never(until, "study", place):
        yield Finding(found.place, found.message, certain)
        return
    when = checker.parts(_mapping(rule.when.plain), (index, "when"))
    alone = checker.contradiction(when, "study")
    if not alone and (found := checker.contradiction([*when, *checker.parts(until, place)], "study")):
        yield Finding(place, f"{found.message}, one of them in when: it waits in vain", certain)


def _mapping(plain: object) -> Mapping[str, Any]:
    return plain if isinstance(plain, Mapping) else {}


# -- what can never hold


class _Checker:
    """Looks for what contradicts itself."""

    def __init__(self, dictionary: Dictionary | None) -> None:
        self._dictionary = dictionary

    def never(self, plain: Mapping[str, Any], level: Level, place: Place) -> Finding | None:
        """Why the condition can never hold; None where it perhaps can."""
        parts = self.parts(plain, place)
        for part in parts:
            if found := self._part_never(part, level):
                return found
        return self.contradiction(parts, level)

    def parts(self, plain: Mapping[str, Any], place: Place) -> list[_Part]:
        """The lines that all have to hold, `all` taken apart."""
        found = []
        for key, asked in plain.items():
            if key == "all":
                for index, each in enumerate(asked):
                    found += self.parts(each, (*place, "all", index))
            else:
                found.append(_Part(key, asked, (*place, key)))
        return found

    def _part_never(self, part: _Part, level: Level) -> Finding | None:
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

    def _count_never(self, part: _Part) -> Finding | None:
        low, high = _range({key: each for key, each in part.asked.items() if key != "where"}, Kind.NUMBER)
        if low > high or high < -_SLACK:
            return Finding(part.place, f"{part.text} can never hold: there is no such number", True)
        inner: Level = "series" if part.key == "count_series" else "image"
        found = self.never(part.asked["where"], inner, (*part.place, "where"))
        return found if low > _SLACK else None

    def contradiction(self, parts: Sequence[_Part], level: Level) -> Finding | None:
        """Two lines, or one, that exclude each other."""
        negated = {text for part in parts if part.key == "not" for text in _negated(part.asked)}
        for part in parts:
            if part.key != "not" and part.text in negated:
                return Finding(part.place, f"{part.text} and not: it can never hold", True)
        by_name: dict[str, list[tuple[Name, _Part]]] = {}
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

    def _name(self, part: _Part) -> Name | None:
        if not (part.key[:1].isupper() or part.key.startswith("(") or part.key in names.FACTS):
            return None
        try:
            return names.parse(part.key, self._dictionary, lambda _word, _known: None)
        except names.NameProblem:
            return None

    def _excluded(self, by_name: Mapping[str, list[tuple[Name, _Part]]], parts: Sequence[_Part]) -> Finding | None:
        """A single text of which `not` leaves no value."""
        for part in parts:
            if part.key != "not" or len(_mapping(part.asked)) != 1:
                continue
            (key, asked), *_ = part.asked.items()
            out = _texts(asked)
            group = by_name.get(key, [])
            if key not in _SINGLE_TEXTS or out is None or _operands(asked).get("case_sensitive"):
                continue
            for _, other in group:
                allowed = _texts(other.asked)
                if allowed is not None and not _may_miss(other) and not allowed - out:
                    return Finding(other.place, f"{other.text} and {part.text} exclude each other", True)
        return None


def _negated(plain: object) -> Iterator[str]:
    """What `not` excludes, where it is one line."""
    asked = _mapping(plain)
    if len(asked) == 1:
        for key, value in asked.items():
            yield f"{key}: {shown(value)}"


def _sets(group: Sequence[_Part], same: bool) -> list[list[_Part]]:
    """Lines that are judged on the same values: all on one name, or each for itself."""
    asking = [part for part in group if "present" not in _operands(part.asked)]
    return [asking] if same and asking else [[part] for part in asking]


def _absent(group: Sequence[_Part]) -> Finding | None:
    """A value asked of an attribute that is not to be there."""
    gone = next((part for part in group if _operands(part.asked).get("present") is False), None)
    asked = next((part for part in group if _operands(part.asked).get("present") is not False), None)
    if gone is None or asked is None or _may_miss(asked):
        return None
    return Finding(asked.place, f"{asked.text} can never hold beside {gone.text}", True)


def _empty(name: Name, group: Sequence[_Part]) -> Finding | None:
    """Lines on one value that no value satisfies; a line that holds for a missing value may still."""
    if all(_may_miss(part) for part in group):
        return None
    said = " and ".join(dict.fromkeys(part.text for part in group))
    place = group[-1].place
    kind = name.kind
    if kind in _SPANS and kind is not None:
        ranges = [_range(_operands(part.asked), kind) for part in group]
        low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
        if low > high:
            hint = "; over midnight, write the two halves under `any`" if kind is Kind.TIME else ""
            return Finding(place, f"{said} can never hold: no {kind} is between{hint}", True)
    if name.text in _SINGLE_TEXTS:
        allowed = [found for part in group if (found := _texts(part.asked)) is not None]
        if len(allowed) > 1 and not set.intersection(*map(set, allowed)):
            return Finding(place, f"{said} can never hold: {name.text} is only one of them", True)
    return None


def _operands(asked: object) -> Mapping[str, Any]:
    if isinstance(asked, Mapping):
        return asked
    return {"in" if isinstance(asked, list | tuple) else "is": asked}


def _may_miss(part: _Part) -> bool:
    return _operands(part.asked).get("missing") is True


def _texts(asked: object) -> frozenset[str] | None:
    """The only texts that a line allows, without regard to case; None where it allows others."""
    operands = _operands(asked)
    found: list[frozenset[str]] = []
    for operator in ("is", "in"):
        if operator in operands:
            several = operands[operator]
            several = several if isinstance(several, list | tuple) else [several]
            if not all(isinstance(each, str) for each in several):
                return None
            found.append(frozenset(values.fold(each.strip(values.PADDING)) for each in several))
    return frozenset.intersection(*found) if found else None


# -- ranges


def _range(operands: Mapping[str, Any], kind: Kind) -> tuple[float, float]:
    """The values that operators leave, a little wider than they are; without end where that is not known."""
    read = _SPANS[kind]
    tolerance = operands.get("tolerance")
    low, high = -inf, inf
    for operator, operand in operands.items():
        bounds = operand if isinstance(operand, list | tuple) else [operand]
        known = [read(each) for each in bounds]
        if operator in _QUIET or not known or None in known:
            continue
        points = [each for each in known if each is not None]
        if operator == "between" and points[0] > points[-1]:
            return inf, -inf
        slack = float(tolerance) if tolerance is not None else _SLACK * max(map(abs, points))
        slack = slack if kind is Kind.NUMBER else 0.0
        step = 1.0 if kind is Kind.AGE else 0.0
        if operator in ("is", "in", "between", "at_least"):
            low = max(low, min(points) - slack)
        if operator in ("is", "in", "between", "at_most"):
            high = min(high, max(points) + slack)
        if operator in ("above", "after"):
            low = max(low, points[0] + step)
        if operator in ("below", "before"):
            high = min(high, points[0] - step)
    return low, high


def _number(operand: object) -> float | None:
    return None if isinstance(operand, bool) or not isinstance(operand, int | float) else float(operand)


def _years(operand: object) -> float | None:
    if isinstance(operand, int) and not isinstance(operand, bool):
        return float(operand)
    count, unit = values.duration(operand) or (0, "")
    return float(count) if unit == "years" else None


def _day(operand: object) -> float | None:
    found = operand if isinstance(operand, date) else values.day(operand) if isinstance(operand, str) else None
    return None if found is None else float(found.toordinal())


def _clock(operand: object) -> float | None:
    found = values.time_of_day(operand) if isinstance(operand, str) else None
    return None if found is None else found.hour * 3600.0 + found.minute * 60 + found.second


_SPANS: Mapping[Kind, Callable[[object], float | None]] = {
    Kind.NUMBER: _number,
    Kind.AGE: _years,
    Kind.DATE: _day,
    Kind.TIME: _clock,
}


# -- what is unlikely


def _unusual(plain: object, place: Place) -> Iterator[Finding]:
    """Values that are none of the terms which the Standard defines for the attribute."""
    if isinstance(plain, list | tuple):
        for index, each in enumerate(plain):
            yield from _unusual(each, (*place, index))
    for key, asked in _mapping(plain).items():
        yield from _misspelt(key, asked, (*place, key))
        known = terms.USUAL.get(key.rpartition(".")[2])
        if known is None:
            yield from _unusual(asked, (*place, key)) if isinstance(asked, Mapping | list | tuple) else ()
            continue
        folded = {values.fold(term) for term in known}
        for operator in ("is", "in", "contains"):
            operand = _operands(asked).get(operator, ())
            for text in operand if isinstance(operand, list | tuple) else (operand,):
                if isinstance(text, str) and values.fold(text.strip()) not in folded:
                    message = f"{key} is usually one of {', '.join(known)}, and hardly ever {text!r}"
                    yield Finding((*place, key), message, False, closest(text, known))
        yield from _no_term(key, asked, known, (*place, key))


def _misspelt(key: str, asked: object, place: Place) -> Iterator[Finding]:
    """A value that looks like a well-known one and is none."""
    known = {values.fold(term): term for term in terms.WELL_KNOWN.get(key, ())}
    for operator in ("is", "in", "contains") if known else ():
        operand = _operands(asked).get(operator, ())
        for text in operand if isinstance(operand, list | tuple) else (operand,):
            word = values.fold(text.strip()) if isinstance(text, str) else ""
            near = difflib.get_close_matches(word, known, n=1, cutoff=_LOOKS_ALIKE) if word.isalpha() else []
            if near and word not in known:
                yield Finding(place, f"{key}: images hardly ever say {text!r}", False, known[near[0]])


_LOOKS_ALIKE = 0.85


def _no_term(key: str, asked: object, known: Sequence[str], place: Place) -> Iterator[Finding]:
    patterns = _operands(asked).get("matches", ())
    for pattern in patterns if isinstance(patterns, list | tuple) else (patterns,):
        if isinstance(pattern, str) and not any(map(operators.wildcard(pattern, values.fold), known)):
            yield Finding(place, f"{pattern!r} matches none of the usual values of {key}: {', '.join(known)}", False)


def _twice(rules: Sequence[Rule], index: int) -> Iterator[Finding]:
    """An earlier rule that matches whenever this one does, and runs the same on the same series."""
    mine = rules[index]
    for other in rules[:index]:
        shared = [step.plugin for step in mine.run if any(_same_step(step, each) for each in other.run)]
        if not (shared and mine.enabled and other.enabled and _rest(mine) == _rest(other)):
            continue
        ours, theirs = _lines(mine), _lines(other)
        what = f"{shared[0]} on the same series, so it runs twice"
        if ours == theirs:
            found = f"asks the same as the rule {other.name}"
        elif theirs < ours:
            found = f"the rule {other.name} matches whatever this one does"
        elif ours < theirs:
            found = f"matches whatever the rule {other.name} does"
        else:
            continue
        yield Finding((index, "when"), f"{found}, and runs {what}", False)


def _rest(rule: Rule) -> dict[str, Any]:
    """All that bears on when a rule runs and on what, but its `when`."""
    return rule.model_dump(exclude={"name", "description", "when", "run", "send", "mode", "priority", "on_correction"})


def _same_step(one: Any, other: Any) -> bool:
    return bool(one.plugin == other.plugin and one.parameters == other.parameters)


def _lines(rule: Rule) -> frozenset[str]:
    parts = _Checker(None).parts(_mapping(rule.when.plain), ())
    return frozenset(part.text for part in parts)
