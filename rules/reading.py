"""From the YAML form of a condition (plain Python objects) to the condition, or to what is wrong with it.

Every problem carries the path to the offending value, so whoever has the file can point at the line.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, ParamSpec, TypeVar

from rules import names, operators
from rules.conditions import AllOf, AnyOf, Clause, Condition, CountCondition, Not, Quantifier
from rules.names import Dictionary, Name, ValueKind
from rules.operators import OperandError, Options, Test

Level = Literal["study", "series", "image"]
Place = tuple[str | int, ...]
P = ParamSpec("P")
T = TypeVar("T")

DEEPEST = 20
LARGEST = 5000
"""Keys and values of one condition; with `DEEPEST`, what a file full of YAML aliases can cost (case 75)."""
_QUANTITIES = ("any", "every", "no")
_COMBINING = ("all", "any", "not")
_SERIES_BLOCKS = (*(f"{quantity}_series" for quantity in _QUANTITIES), "count_series")
_IMAGE_BLOCKS = (*(f"{quantity}_image" for quantity in _QUANTITIES), "count_images")
BLOCKS: Mapping[Level, tuple[str, ...]] = {
    "study": (*_COMBINING, *_SERIES_BLOCKS, *_IMAGE_BLOCKS),
    "series": (*_COMBINING, *_IMAGE_BLOCKS),
    "image": _COMBINING,
}
MOST_TERMS = 8
"""At most this many are listed where a value is none of them."""
_FLAGS: Mapping[str | bool, bool] = {True: True, False: False, "yes": True, "no": False}
_NEGATIVE = ("!=", "<>", "not", "is_not", "not_in", "isnt", "not_equal", "ne", "not_matches", "not_contains")
_MEANT = {
    **dict.fromkeys((">", "gt", "more_than", "greater_than"), "above"),
    **dict.fromkeys((">=", "gte", "min", "from"), "at_least"),
    **dict.fromkeys(("<", "lt", "less_than", "under"), "below"),
    **dict.fromkeys(("<=", "lte", "max", "up_to"), "at_most"),
    **dict.fromkeys(("=", "==", "eq", "equals", "equal"), "is"),
    **dict.fromkeys(("like", "~", "=~", "glob"), "matches"),
    "exists": "present",
}
"""Operators of other languages."""
COUNTING = ("is", "at_least", "at_most", "above", "below", "between")


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """What is wrong, and where; `suggestion` is what was probably meant."""

    place: Place
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        return self.message + hint


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant, whatever its case."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def condition(plain: object, level: Level, dictionary: Dictionary | None) -> tuple[Condition | None, list[RuleProblem]]:
    """The condition that `plain` stands for at this level; None and every problem where it is wrong."""
    if _too_large(plain):
        return None, [RuleProblem((), f"too large: {DEEPEST} levels and {LARGEST} keys and values are the most")]
    reading = _ConditionReader(dictionary, [])
    read = reading.tried(reading.condition, plain, (), level)
    return (None, reading.problems) if reading.problems else (read, [])


def attribute(plain: object, dictionary: Dictionary | None) -> tuple[Name | None, list[RuleProblem]]:
    """The attribute or fact that `plain` names."""
    reading = _ConditionReader(dictionary, [])
    return reading.tried(reading.name, plain, ()), reading.problems


class _UnreadablePart(Exception):  # noqa: N818 - never leaves this module
    """A part that cannot be read."""

    def __init__(self, place: Place, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.problem = RuleProblem(place, message, suggestion)


class _ConditionReader:
    """One condition being read: collects problems instead of stopping at the first."""

    def __init__(self, dictionary: Dictionary | None, problems: list[RuleProblem]) -> None:
        self.dictionary = dictionary
        self.problems = problems

    def tried(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What a part reads as; None where it is wrong, and the problem is kept."""
        try:
            return read(*args, **kwargs)
        except _UnreadablePart as wrong:
            self.problems.append(wrong.problem)
            return None

    def wrong(self, place: Place, message: str, suggestion: str | None = None) -> None:
        """Keep a problem and go on."""
        self.problems.append(RuleProblem(place, message, suggestion))

    def condition(self, plain: object, place: Place, level: Level) -> Condition:
        if not isinstance(plain, Mapping) or not plain:
            what = "a list: write `all:` or `any:` before it" if isinstance(plain, list | tuple) else shown(plain)
            raise _UnreadablePart(place, f"a condition is written as in `Modality: CT`, this is {what}")
        parts = [self.tried(self.entry, key, value, place, level) for key, value in plain.items()]
        found = tuple(part for part in parts if part is not None)
        return found[0] if len(found) == 1 else AllOf(shown(plain), found)

    def entry(self, key: object, value: object, place: Place, level: Level) -> Condition:
        at = (*place, key if isinstance(key, str | int) else str(key))
        if not isinstance(key, str):
            raise _UnreadablePart(at, f"{key!r} is not an attribute: write its DICOM keyword")
        if key in ("all", "any"):
            return self.combined(key, value, at, level)
        if key == "not":
            return Not(f"{key}: {shown(value)}", self.condition(value, at, level))
        if key in BLOCKS["study"]:
            return self.block(key, value, at, level)
        return self.clause(key, value, at, level)

    def combined(self, key: str, value: object, place: Place, level: Level) -> Condition:
        if not isinstance(value, list | tuple) or not value:
            raise _UnreadablePart(place, f"{key} needs a list of conditions, one to a line, each after a dash")
        parts = [self.tried(self.condition, each, (*place, index), level) for index, each in enumerate(value)]
        found = tuple(part for part in parts if part is not None)
        return (AllOf if key == "all" else AnyOf)(f"{key}: {shown(value)}", found)

    def block(self, key: str, value: object, place: Place, level: Level) -> Condition:
        if key not in BLOCKS[level]:
            where = "is allowed only in `when`" if level == "series" else "is not allowed inside a condition on images"
            raise _UnreadablePart(place, f"{key} {where}")
        amount, _, of = key.partition("_")
        about: Literal["series", "image"] = "series" if of == "series" else "image"
        if amount == "count":
            return self.count(f"{key}: {shown(value)}", value, place, about)
        part = self.condition(value, place, about)
        quantity: Literal["any", "every", "no"] = "any" if amount == "any" else "every" if amount == "every" else "no"
        return Quantifier(f"{key}: {shown(value)}", quantity, about, part)

    def count(self, text: str, value: object, place: Place, about: Literal["series", "image"]) -> Condition:
        asked = {key: each for key, each in value.items() if key != "where"} if isinstance(value, Mapping) else {}
        if not isinstance(value, Mapping) or "where" not in value or not asked:
            raise _UnreadablePart(place, "write what to count and how many, as in {where: {Modality: CT}, at_least: 2}")
        part = self.condition(value["where"], (*place, "where"), about)
        tests = [
            self.tried(self.test, key, each, (*place, key), ValueKind.NUMBER, Options(), COUNTING)
            for key, each in asked.items()
        ]
        return CountCondition(text, about, part, tuple(test for test in tests if test))

    # -- clauses

    def name(self, key: object, place: Place) -> Name:
        if not isinstance(key, str):
            raise _UnreadablePart(place, f"{key!r} is not an attribute: write its DICOM keyword")
        try:
            return names.parse(key, self.dictionary, closest)
        except names.NameProblem as problem:
            raise _UnreadablePart(place, str(problem), problem.suggestion) from problem

    def clause(self, key: str, value: object, place: Place, level: Level) -> Condition:
        named = key[:1].isupper() or key.startswith("(") or names.looks_like_a_tag(key) or key in names.FACTS
        if not named:
            suggestion = closest(key, [*BLOCKS[level], *names.FACTS, *self.keywords()])
            raise _UnreadablePart(place, f"there is no {key!r} here: write a DICOM keyword or a fact", suggestion)
        name = self.name(key, place)
        if level == "image" and name.fact and name.fact.of == "view":
            raise _UnreadablePart(place, f"{key} counts the images of a series or study: it says nothing of one image")
        operands = value if isinstance(value, Mapping) else {_short(value): value}
        if not operands:
            raise _UnreadablePart(place, f"{key} is asked nothing: write a value, or {{present: true}}")
        if name.fact and name.fact.flag:
            asked = _FLAGS.get(value) if isinstance(value, str | bool) else None
            if asked is None and not (isinstance(value, Mapping) and "present" in value):
                raise _UnreadablePart(place, f"{key} is true or false, not {shown(value)}")
            text, value = f"{key}: {shown(value)}", value if asked is None else {"present": asked}
            read = Clause(text, name, (), False, names.reader(name), presence=True)
            return read if value == {"present": True} else Not(text, read)
        if "present" in operands:
            return self.presence(name, key, value, place)
        return self.comparison(name, f"{key}: {shown(value)}", operands, place, short=operands is not value)

    def keywords(self) -> Iterable[str]:
        return self.dictionary.keywords() if self.dictionary else ()

    def presence(self, name: Name, key: str, value: object, place: Place) -> Condition:
        present = value.get("present") if isinstance(value, Mapping) and len(value) == 1 else None
        if not isinstance(present, bool):
            raise _UnreadablePart(place, "present is used alone: {present: true} or {present: false}")
        asked = Clause(f"{key}: {{present: true}}", name, (), False, names.reader(name), presence=True)
        return asked if present else Not(f"{key}: {{present: false}}", asked)

    def comparison(self, name: Name, text: str, operands: Mapping[Any, Any], place: Place, *, short: bool) -> Condition:
        missing = self.missing(operands, place)
        options = self.options(operands, place, name.kind)
        asked = {key: each for key, each in operands.items() if key not in operators.MODIFIERS}
        if not asked:
            raise _UnreadablePart(place, f"{', '.join(operands)} changes an operator, and there is none beside it")
        tests = []
        for key, each in asked.items():
            at = place if short else (*place, key if isinstance(key, str | int) else str(key))
            kind = name.kind or operators.kind_of_operand(str(key), each)
            tests.append(self.tried(self.test, key, each, at, kind, options, operators.OPERATORS, name))
            self.terms(name, key, each, at)
        return Clause(text, name, tuple(test for test in tests if test), missing, names.reader(name))

    def test(
        self,
        operator: object,
        operand: object,
        place: Place,
        kind: ValueKind,
        options: Options,
        allowed: Sequence[str],
        name: Name | None = None,
    ) -> Test:
        what = name.text if name else "a count"
        if operator not in allowed or not isinstance(operator, str):
            known = [*allowed, *operators.MODIFIERS] if name else allowed
            if operator in _NEGATIVE:
                example = f"write `not:` before it, as in not: {{{what}: {shown(operand)}}}"
                raise _UnreadablePart(place, f"there is no negative operator {operator!r}: {example}")
            meant = _MEANT.get(str(operator)) or closest(str(operator), known)
            raise _UnreadablePart(place, f"there is no operator {operator!r} for {what}", meant)
        if operator == "contains" and name and self.single(name):
            hint = f'; for a part of its text write {{matches: "*{operand}*"}}' if isinstance(operand, str) else ""
            raise _UnreadablePart(place, f"contains looks for one of several values, and {what} holds only one{hint}")
        if not operators.suits(operator, kind):
            fitting = ", ".join(each for each in allowed if operators.suits(each, kind))
            hint = " (for an age in years there is patient_age)" if what == "PatientAge" else ""
            raise _UnreadablePart(
                place, f"{operator} does not suit {what}, which holds a {kind}{hint}; it takes {fitting}"
            )
        try:
            return operators.build(operator, operand, kind, options)
        except OperandError as problem:
            raise _UnreadablePart(place, f"{what}: {problem}") from problem

    def single(self, name: Name) -> bool:
        if name.fact or not self.dictionary or name.text.startswith("(") or len(name.path) > 1:
            return False
        return not self.dictionary.multiple(name.path[-1])

    def missing(self, operands: Mapping[Any, Any], place: Place) -> bool | None:
        asked = operands.get("missing", False)
        if asked == "error":
            return None
        if not isinstance(asked, bool):
            self.wrong((*place, "missing"), f"missing is true, false or error, not {shown(asked)}")
            return False
        return asked

    def options(self, operands: Mapping[Any, Any], place: Place, kind: ValueKind | None) -> Options:
        tolerance, case = operands.get("tolerance"), operands.get("case_sensitive", False)
        if tolerance is not None:
            try:
                tolerance = operators.tolerance(tolerance)
            except OperandError as problem:
                self.wrong((*place, "tolerance"), str(problem))
            if kind not in (ValueKind.NUMBER, None):
                self.wrong((*place, "tolerance"), f"tolerance is for numbers, this is a {kind}")
        if not isinstance(case, bool):
            self.wrong((*place, "case_sensitive"), f"case_sensitive is true or false, not {shown(case)}")
        elif "case_sensitive" in operands and kind not in (ValueKind.TEXT, None):
            self.wrong((*place, "case_sensitive"), f"case_sensitive is for texts, this is a {kind}")
        return Options(tolerance, bool(case), self.modifiers(operands, place))

    def modifiers(self, operands: Mapping[Any, Any], place: Place) -> frozenset[tuple[str, str]]:
        at = (*place, "modifier")
        if "modifier" in operands and "code" not in operands:
            self.wrong(at, "modifier goes beside code: it asks for another code in the same item")
        elif "modifier" in operands:
            try:
                return operators.read_codes(operands["modifier"])
            except OperandError as problem:
                self.wrong(at, f"modifier: {problem}")
        return frozenset()

    def terms(self, name: Name, operator: object, operand: object, place: Place) -> None:
        if operator not in ("is", "in", "contains"):
            return
        terms = (name.fact.terms if name.fact else None) or ()
        known = {term.casefold() for term in terms}
        for each in operand if isinstance(operand, list | tuple) else (operand,):
            if known and isinstance(each, str) and each.strip().casefold() not in known:
                few = f": it is {', '.join(terms)}" if len(terms) <= MOST_TERMS else ""
                self.wrong(place, f"{name.text} is never {each!r}{few}", closest(each, terms))


def _too_large(plain: object) -> bool:
    """Whether nesting or size is beyond any rule a person writes; aliases count each time they are used."""
    stack, size = [(plain, 0)], 0
    while stack:
        each, depth = stack.pop()
        size += 1
        inner = each.values() if isinstance(each, Mapping) else each if isinstance(each, list | tuple) else ()
        if size > LARGEST or depth > 2 * DEEPEST:  # `all:` and the list after it are two levels of YAML
            return True
        stack.extend((part, depth + 1) for part in inner)
    return False


def _short(value: object) -> str:
    return "in" if isinstance(value, list | tuple) else "is"


def shown(plain: object) -> str:
    """Plain objects in YAML's flow form, as a person writes them; equal texts stand for equal objects."""
    if isinstance(plain, Mapping):
        return "{" + ", ".join(f"{shown(key)}: {shown(each)}" for key, each in plain.items()) + "}"
    if isinstance(plain, list | tuple):
        return "[" + ", ".join(shown(each) for each in plain) + "]"
    if isinstance(plain, bool):
        return str(plain).lower()
    if isinstance(plain, date):
        return plain.isoformat()
    if isinstance(plain, str):
        return plain if _bare(plain) else '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "null" if plain is None else str(plain)


def _bare(text: str) -> bool:
    """Whether a text needs no quotes to stay the text it is."""
    plain = text.isprintable() and text == text.strip() and text.lower() not in ("true", "false", "null", "~", "")
    return plain and text[0] not in "-?:,[]{}#&*!|>'\"%@`.+0123456789" and not set(text) & set(',[]{}#:"\\')
