"""Which values the operators of a line leave: whether any number, age, day or time of day satisfies all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rules import dates, operators, values
from rules.names import ValueKind

_SLACK = 4e-6
"""More than twice the tolerance by which equal numbers may differ: a range is empty only beyond doubt."""
_DAYS = {"years": (365.2425, 3.0), "months": (30.436875, 4.0), "weeks": (7.0, 0.0), "days": (1.0, 0.0)}
"""The mean length of a unit, and by how much a number of them may differ from that number of means."""
RANGED = (ValueKind.NUMBER, ValueKind.AGE, ValueKind.DATE, ValueKind.TIME)
"""Kinds whose operators leave ranges."""
_LOWER = ("is", "in", "between", "at_least", "above", "after")
_UPPER = ("is", "in", "between", "at_most", "below", "before")
_STRICT = ("above", "after", "below", "before")


class _Span(NamedTuple):
    """Where an operand lies on a scale, as far as that is known."""

    scale: str
    low: float
    high: float


class _Bound(NamedTuple):
    """A value is not below (or not above) this; `strict`: not equal to it either."""

    at: float
    strict: bool
    slack: float


def empty(lines: Sequence[Mapping[str, Any]], kind: ValueKind, *, whole: bool = False) -> bool:
    """Whether no value satisfies the operators of all these lines. `whole`: only whole numbers are there."""
    low: dict[str, list[_Bound]] = {}
    high: dict[str, list[_Bound]] = {}
    for operands in lines:
        tolerance = operands.get("tolerance")
        slack = float(tolerance) if isinstance(tolerance, int | float) else None
        for operator, operand in operands.items():
            listed = operand if isinstance(operand, list | tuple) else [operand]
            if whole and slack is None and operator in ("is", "in"):
                listed = [each for each in listed if _is_whole(each)]
                if not listed:
                    return True
            spans = [list(_spans(each, kind, operator)) for each in listed]
            for scale in _shared(spans):
                ends = [span for each in spans for span in each if span.scale == scale]
                _bound(operator, ends, slack, kind, whole, low.setdefault(scale, []), high.setdefault(scale, []))
    return any(_apart(lower, upper) for scale in low for lower in low[scale] for upper in high.get(scale, ()))


def _is_whole(operand: object) -> bool:
    return not isinstance(operand, float) or operand.is_integer()


def _shared(spans: Sequence[Sequence[_Span]]) -> list[str]:
    """Scales on which every operand of an operator lies."""
    scales = [{span.scale for span in each} for each in spans]
    return sorted(set.intersection(*scales)) if scales else []


def _bound(
    operator: str,
    ends: Sequence[_Span],
    slack: float | None,
    kind: ValueKind,
    whole: bool,
    low: list[_Bound],
    high: list[_Bound],
) -> None:
    """Add what an operator says of the least and the greatest value."""
    strict = operator in _STRICT and kind is not ValueKind.AGE

    def bound(at: float, towards: int) -> _Bound:
        if kind is ValueKind.DATE or (kind is ValueKind.NUMBER and whole and slack is None):
            inwards = math.floor(towards * at) + 1 if strict else math.ceil(towards * at)
            return _Bound(towards * inwards, strict=False, slack=0.0)
        width = slack if slack is not None else _SLACK * abs(at)
        return _Bound(at, strict=strict, slack=width if kind is ValueKind.NUMBER else 0.0)

    if operator in _LOWER:
        low.append(bound(ends[0].low if operator == "between" else min(span.low for span in ends), 1))
    if operator in _UPPER:
        high.append(bound(ends[-1].high if operator == "between" else max(span.high for span in ends), -1))


def _apart(low: _Bound, high: _Bound) -> bool:
    if low.at - low.slack > high.at + high.slack:
        return True
    return (low.strict or high.strict) and (low.at == high.at or (low.at > high.at and low.slack == high.slack))


def _spans(operand: object, kind: ValueKind, operator: str) -> Iterator[_Span]:
    if operator in operators.MODIFIERS or operator == "present":
        return
    if kind is ValueKind.NUMBER and isinstance(operand, int | float) and not isinstance(operand, bool):
        yield _Span("", float(operand), float(operand))
    elif kind is ValueKind.TIME and isinstance(operand, str) and (at := values.seconds_of_day(operand)) is not None:
        yield _Span("", at, at)
    elif kind is ValueKind.DATE:
        yield from _of_day(operand)
    elif kind is ValueKind.AGE:
        yield from _of_age(operand, operator)


def _of_day(operand: object) -> Iterator[_Span]:
    try:
        day = dates.parse(operand)
    except ValueError:
        return
    if day.fixed:
        yield _Span("", day.fixed.toordinal(), day.fixed.toordinal())
    else:
        mean, about = _DAYS[day.unit]
        off = about if day.count else 0.0
        yield _Span(day.anchor, day.count * mean - off, day.count * mean + off)


def _of_age(operand: object, operator: str) -> Iterator[_Span]:
    """Completed units, on the scale of their unit; and in days, so that units can be compared."""
    if isinstance(operand, int) and not isinstance(operand, bool):
        count, unit = operand, "years"
    elif found := values.duration(operand):
        count, unit = found
    else:
        return
    mean, about = _DAYS[unit]
    first = count + 1 if operator == "above" else count
    last = count - 1 if operator == "below" else count
    yield _Span(unit, first, last)
    yield _Span("in days", first * mean - about, (last + 1) * mean + about)
