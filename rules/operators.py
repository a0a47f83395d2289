"""The operators of the language: what each asks of the values of one attribute in one instance.

Several values (VM > 1, or several items or frames): of texts and codes one that satisfies is enough,
numbers, dates, times and ages must all satisfy. There is no negative operator: negation is `not`, so
that "no image has it" and "not every image has it" cannot be confused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any

import re2

from rules import dates, values
from rules.dates import Moment
from rules.facts import Age, CodeItem, Datum
from rules.names import ValueKind

RELATIVE_TOLERANCE = 1e-6
"""Two decimal numbers this close, relative to the larger, are equal: 0.3 as a binary32 (FL) is 0.30000001."""
PATTERN_LIMIT = 500
"""Characters of a pattern; with re2's memory bound this bounds what a rule can cost (case 77)."""
_PATTERN_MEMORY = 1 << 20

Judge = Callable[[Sequence[Any], Moment], bool | None]


class OperandError(ValueError):
    """An operand that its operator cannot use; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Options:
    """Modifiers beside operators."""

    tolerance: float | None = None
    case_sensitive: bool = False
    modifiers: frozenset[tuple[str, str]] = frozenset()
    """(scheme, value) of which one must be in the item of the code."""


@dataclass(frozen=True, slots=True)
class Test:
    """One operator with its operand, ready to judge values."""

    operator: str
    kind: ValueKind
    judge: Judge = field(compare=False)
    read: Callable[[Datum], Any] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "read", _READ[self.kind])

    def holds(self, found: Sequence[Datum], moment: Moment) -> bool | None:
        """Whether the values satisfy it; None where they cannot be read as its kind."""
        readings = [self.read(value) for value in found]
        if None in readings:
            if self.kind is not ValueKind.TEXT:
                return None
            readings = [reading for reading in readings if reading is not None]
        return self.judge(readings, moment) if readings else None

    def decides(self, found: Sequence[Datum], moment: Moment) -> bool | None:
        """Whether these values decide it, whatever others there are: True, False, or None where they do not."""
        held = self.holds(found, moment)
        one_is_enough = self.kind in (ValueKind.TEXT, ValueKind.SEQUENCE)
        return held if held is one_is_enough else None


_READ: Mapping[ValueKind, Callable[[Datum], Any]] = {
    ValueKind.TEXT: values.text,
    ValueKind.NUMBER: values.number,
    ValueKind.DATE: values.day,
    ValueKind.TIME: values.time_of_day,
    ValueKind.AGE: lambda value: value if isinstance(value, Age) else None,
    ValueKind.SEQUENCE: lambda value: value if isinstance(value, CodeItem) else None,
}


_SIGNS = {">": "above", ">=": "at_least", "<": "below", "<=": "at_most", "=": "is", "==": "is"}
_SIGNED = re.compile(r"(>=?|<=?|==?)\s*(.+)")


def _number_meant(operand: object) -> str:
    """What to write instead of a text that looks like a number."""
    if not isinstance(operand, str):
        return ""
    if found := _SIGNED.fullmatch(operand.strip()):
        return f": write {{{_SIGNS[found[1]]}: {found[2]}}}"
    if re.fullmatch(r"-?\d+,\d+", operand.strip()):
        return f": write a decimal point, {operand.strip().replace(',', '.')}"
    return ": write it without quotes and without a unit" if re.match(r"\s*-?[\d.]+", operand) else ""


def _read_number(operand: object) -> float:
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise OperandError(f"{operand!r} is not a number{_number_meant(operand)}")
    if (read := values.number(operand)) is None:
        raise OperandError(f"{operand!r} is not a finite number")
    return read


def _read_text(operand: object) -> str:
    if not isinstance(operand, str):
        raise OperandError(f'{operand} is not text here: write it in quotes, "{operand}"')
    if values.blank(operand):
        raise OperandError("an empty text: to ask whether there is a value, write {present: true} or {present: false}")
    return operand.strip(values.PADDING)


def _read_age(operand: object) -> tuple[int, str]:
    if isinstance(operand, int) and not isinstance(operand, bool) and operand >= 0:
        return operand, "years"
    if read := values.duration(operand):
        return read
    raise OperandError(f"{operand!r} is not an age: write whole years, or a unit, as in `6 months`, `2 weeks`")


def _completed(age: Age, unit: str) -> int:
    return {"years": age.years, "months": age.months, "weeks": age.days // 7, "days": age.days}[unit]


def _read_time(operand: object) -> time:
    if isinstance(operand, str) and ":" in operand and (read := values.time_of_day(operand)):
        return read
    raise OperandError(f'{operand!r} is not a time of day: write it in quotes, as in "08:30"')


_Order = Callable[[Any, Any, float], bool]
_ORDERS: Mapping[str, _Order] = {
    "is": lambda found, asked, slack: abs(found - asked) <= slack,
    "at_least": lambda found, asked, slack: found >= asked - slack,
    "at_most": lambda found, asked, slack: found <= asked + slack,
    "above": lambda found, asked, slack: found > asked + slack,
    "below": lambda found, asked, slack: found < asked - slack,
}
_CALENDAR: Mapping[str, Callable[[Any, Any], bool]] = {
    "is": lambda found, asked: found == asked,
    "before": lambda found, asked: found < asked,
    "after": lambda found, asked: found > asked,
    "from": lambda found, asked: found >= asked,
    "until": lambda found, asked: found <= asked,
}


def _slack(found: float, asked: float, tolerance: float | None) -> float:
    """Whole numbers (IS, US and their like) are exact; decimal ones (DS, FD, FL) are rounded on their way."""
    if tolerance is not None:
        return tolerance
    return 0.0 if isinstance(found, int) else RELATIVE_TOLERANCE * max(abs(found), abs(asked))


def _number_test(operator: str, operand: object, options: Options) -> Judge:
    asked, order = _read_number(operand), _ORDERS[operator]
    return lambda found, _: all(order(each, asked, _slack(each, asked, options.tolerance)) for each in found)


def _age_test(operator: str, operand: object, _: Options) -> Judge:
    (asked, unit), order = _read_age(operand), _ORDERS[operator]
    return lambda found, _: all(order(_completed(each, unit), asked, 0) for each in found)


def _date_test(operator: str, operand: object, _: Options) -> Judge:
    try:
        asked = dates.parse(operand)
    except ValueError as problem:
        raise OperandError(str(problem)) from problem
    order = _CALENDAR[operator]

    def judge(found: Sequence[date], moment: Moment) -> bool | None:
        bound = asked.on(moment)
        return None if bound is None else all(order(each, bound) for each in found)

    return judge


def _time_test(operator: str, operand: object, _: Options) -> Judge:
    asked, order = _read_time(operand), _CALENDAR[operator]
    return lambda found, _: all(order(each, asked) for each in found)


def _folding(options: Options) -> Callable[[str], str]:
    return values.composed if options.case_sensitive else values.fold


def _is_text(_operator: str, operand: object, options: Options) -> Judge:
    fold = _folding(options)
    asked = fold(_read_text(operand))
    if "*" in asked:
        star = str(operand).replace("*", "\\*")
        hint = f"write {{matches: {operand!r}}}, or for a star itself {{matches: '{star}'}}"
        raise OperandError(f"a wildcard compares only in matches: {hint}")
    return lambda found, _: any(fold(each) == asked for each in found)


def _contains(_operator: str, operand: object, options: Options) -> Judge:
    fold = _folding(options)
    asked = {fold(_read_text(each)) for each in _listed(operand)}
    if any("*" in each for each in asked):
        raise OperandError("contains names whole values; for wildcards write matches")
    return lambda found, _: asked <= {fold(each) for each in found}


def _compile(pattern: str, *, case_sensitive: bool) -> Any:
    options = re2.Options()
    options.max_mem = _PATTERN_MEMORY
    options.log_errors = False
    options.case_sensitive = case_sensitive
    options.dot_nl = True
    if len(pattern) > PATTERN_LIMIT:
        raise OperandError(f"the pattern has {len(pattern)} characters, {PATTERN_LIMIT} are the most")
    try:
        return re2.compile(pattern, options)
    except re2.error as problem:
        reason = problem.args[0].decode() if isinstance(problem.args[0], bytes) else str(problem)
        raise OperandError(f"{pattern!r} is not a regular expression that RE2 knows: {reason}") from problem


_STAR = re.compile(r"(?<!\\)\*")


def wildcard(pattern: str, fold: Callable[[str], str] = values.fold) -> Callable[[str], bool]:
    """Whether a whole text matches a pattern: `*` stands for any run of characters, none included; `\\*` for a star."""
    fits = _pattern(pattern, fold)
    return lambda text: fits(fold(text))


def _pattern(pattern: str, fold: Callable[[str], str]) -> Callable[[str], bool]:
    """The same for texts that are folded already."""
    if len(pattern) > PATTERN_LIMIT:
        raise OperandError(f"the pattern has {len(pattern)} characters, {PATTERN_LIMIT} are the most")
    first, *rest = (part.replace("\\*", "*") for part in _STAR.split(fold(pattern)))
    if not rest:
        return first.__eq__
    *between, last = rest
    if not first and not last and len(between) == 1:  # `*chest*`, the most frequent one
        return lambda folded: between[0] in folded

    def fits(folded: str) -> bool:
        at = len(first)
        if not folded.startswith(first):
            return False
        for part in between:  # as early as possible: what is left is then as long as possible
            at = folded.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return len(folded) - at >= len(last) and folded.endswith(last)

    return fits


def _matches(_operator: str, operand: object, options: Options) -> Judge:
    fold = _folding(options)
    patterns = [_pattern(_read_text(each), fold) for each in _listed(operand)]

    def judge(found: Sequence[str], _: Moment) -> bool:
        folded = [fold(each) for each in found]
        return any(fits(each) for fits in patterns for each in folded)

    return judge


def _regex(_operator: str, operand: object, options: Options) -> Judge:
    compiled = _compile(values.composed(_read_text(operand)), case_sensitive=options.case_sensitive)
    return lambda found, _: any(compiled.search(values.composed(each)) is not None for each in found)


_SAME_SCHEME = {"SNM3": "SRT", "99SDM": "SRT"}  # PS3.16 8: three designators of one scheme


def read_code(operand: object) -> tuple[str, str]:
    """`SCT:399162004` → (scheme, value)."""
    scheme, colon, value = operand.partition(":") if isinstance(operand, str) else ("", "", "")
    scheme, value = scheme.strip(), value.strip()
    if not (colon and scheme and value):
        raise OperandError(f"{operand!r} is not a code: write scheme, colon, value, as in SCT:51440002")
    return _SAME_SCHEME.get(scheme, scheme), value


def read_codes(operand: object) -> frozenset[tuple[str, str]]:
    """One code, or a list of them."""
    return frozenset(read_code(each) for each in _listed(operand))


def _is_one_of(code: CodeItem, asked: frozenset[tuple[str, str]]) -> bool:
    return (_SAME_SCHEME.get(code.scheme, code.scheme), code.value) in asked


def _code(_operator: str, operand: object, options: Options) -> Judge:
    asked, modifiers = read_codes(operand), options.modifiers

    def fits(each: CodeItem) -> bool:
        modified = not modifiers or any(_is_one_of(modifier, modifiers) for modifier in each.modifiers)
        return modified and _is_one_of(each, asked)

    return lambda found, _: any(map(fits, found))


def _listed(operand: object) -> Sequence[object]:
    if not isinstance(operand, list | tuple):
        return [operand]
    if not operand:
        raise OperandError("an empty list can never hold")
    return operand


Builder = Callable[[str, object, Options], Judge]
_BUILDERS: Mapping[tuple[str, ValueKind], Builder] = {
    ("is", ValueKind.TEXT): _is_text,
    ("contains", ValueKind.TEXT): _contains,
    ("matches", ValueKind.TEXT): _matches,
    ("regex", ValueKind.TEXT): _regex,
    ("code", ValueKind.SEQUENCE): _code,
    **{(operator, ValueKind.NUMBER): _number_test for operator in _ORDERS},
    **{(operator, ValueKind.AGE): _age_test for operator in _ORDERS},
    **{(operator, ValueKind.DATE): _date_test for operator in _CALENDAR},
    **{(operator, ValueKind.TIME): _time_test for operator in ("before", "after", "from", "until")},
}
_BETWEEN = dict.fromkeys((ValueKind.NUMBER, ValueKind.AGE), ("at_least", "at_most"))
_BETWEEN |= dict.fromkeys((ValueKind.DATE, ValueKind.TIME), ("from", "until"))
_COMPARING = ("at_least", "at_most", "above", "below", "between", "before", "after")
OPERATORS = ("is", "in", "contains", "matches", "regex", *_COMPARING, "code", "present")
MODIFIERS = ("missing", "tolerance", "case_sensitive", "modifier")


def suits(operator: str, kind: ValueKind) -> bool:
    """Whether an operator can be asked of values of this kind."""
    if operator == "between":
        return kind in _BETWEEN
    if operator == "in":
        return ("is", kind) in _BUILDERS
    return operator == "present" or (operator, kind) in _BUILDERS


def kind_of_operand(operator: str, operand: object) -> ValueKind:
    """What is asked where the value representation is not known: the operand tells."""
    if operator == "code":
        return ValueKind.SEQUENCE
    sample = operand[0] if isinstance(operand, list | tuple) and operand else operand
    if operator in ("before", "after") or (operator == "between" and not isinstance(sample, int | float)):
        return ValueKind.TIME if isinstance(sample, str) and ":" in sample else ValueKind.DATE
    if isinstance(sample, date):
        return ValueKind.DATE
    numeric = operator in ("at_least", "at_most", "above", "below", "between")
    numeric = numeric or (isinstance(sample, int | float) and not isinstance(sample, bool))
    return ValueKind.NUMBER if numeric else ValueKind.TEXT


def build(operator: str, operand: object, kind: ValueKind, options: Options) -> Test:
    """The test that an operator and its operand stand for; OperandError where they make none."""
    if operator == "in":
        if not isinstance(operand, list | tuple):
            raise OperandError("in needs a list, as in [CT, MR]")
        judges = [_BUILDERS["is", kind]("is", each, options) for each in _listed(operand)]
        return Test(operator, kind, _in(judges, kind))
    if operator == "between":
        return Test(operator, kind, _between(operand, kind, options))
    return Test(operator, kind, _BUILDERS[operator, kind](operator, operand, options))


def _in(judges: Sequence[Judge], kind: ValueKind) -> Judge:
    def one(reading: Any, moment: Moment) -> bool | None:
        verdicts = [judge([reading], moment) for judge in judges]
        return True if True in verdicts else None if None in verdicts else False

    def judge(found: Sequence[Any], moment: Moment) -> bool | None:
        verdicts = [one(reading, moment) for reading in found]
        decisive = kind is ValueKind.TEXT  # one text is enough; one number, date or age outside is too many
        return decisive if decisive in verdicts else None if None in verdicts else not decisive

    return judge


def _between(operand: object, kind: ValueKind, options: Options) -> Judge:
    if not isinstance(operand, list | tuple) or len(operand) != 2:
        raise OperandError("between needs its two ends, as in [1, 3]; both count as inside")
    if kind is ValueKind.NUMBER and _read_number(operand[0]) > _read_number(operand[1]):
        raise OperandError(f"{operand[0]} is above {operand[1]}: nothing lies between")
    low, high = (_BUILDERS[end, kind](end, each, options) for end, each in zip(_BETWEEN[kind], operand, strict=True))

    def judge(found: Sequence[Any], moment: Moment) -> bool | None:
        verdicts = (low(found, moment), high(found, moment))
        return False if False in verdicts else None if None in verdicts else True

    return judge


def tolerance(operand: object) -> float:
    """The operand of `tolerance`: an absolute difference in the attribute's own unit."""
    read = _read_number(operand)
    if read < 0 or math.isnan(read):
        raise OperandError("a tolerance is not negative")
    return read
