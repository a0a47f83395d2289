"""What a later step may ask of the result of an earlier one: `after: bleed`, `when_result: {has: SCT:1386000}`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PlainValidator, WrapValidator, model_validator

from rules import operators
from rules.dates import Moment
from rules.facts import CodeItem
from rules.names import ValueKind
from rules.operators import OperandError, Options
from rules.section import RuleSection, one_or_many

Status = Literal["findings", "no_findings", "not_applicable", "failed"]
WORKED: tuple[Status, ...] = ("findings", "no_findings")
"""What a step comes after where it does not say which result it wants."""


class MeasurementFacts(NamedTuple):
    """One number of a result."""

    concept: CodeItem
    value: float | None
    """None where the plugin could not measure it."""


class FindingFacts(NamedTuple):
    """One thing that a plugin looked for."""

    code: CodeItem
    present: bool | None
    urgent: bool
    measurements: tuple[MeasurementFacts, ...] = ()
    score: float | None = None
    """How sure the plugin is, as its own scale has it."""


class ResultFacts(NamedTuple):
    """The result of a step, as far as rules see it."""

    status: Status
    findings: tuple[FindingFacts, ...] = ()

    def measured(self) -> list[MeasurementFacts]:
        """The numbers of all findings."""
        return [each for finding in self.findings for each in finding.measurements]


def _read_code(plain: Any) -> str:
    try:
        operators.read_code(plain)
    except OperandError as problem:
        raise ValueError(str(problem)) from problem
    return str(plain)


CodeText = Annotated[str, PlainValidator(_read_code, json_schema_input_type=str)]
Codes = Annotated[tuple[CodeText, ...], WrapValidator(one_or_many, json_schema_input_type=str | list[str])]


def _is(code: CodeItem, asked: Sequence[str]) -> bool:
    return bool(operators.build("code", list(asked), ValueKind.SEQUENCE, Options()).holds((code,), _NO_MOMENT))


class MeasurementCondition(RuleSection):
    """A number of the result: there, with a value, and within these bounds."""

    code: CodeText
    """What was measured: scheme, colon, value."""
    at_least: float | None = None
    """The number is not below."""
    at_most: float | None = None
    """The number is not above."""
    above: float | None = None
    """The number is above."""
    below: float | None = None
    """The number is below."""

    def holds(self, found: MeasurementFacts) -> bool:
        """Whether this number is meant, and within."""
        if found.value is None or not _is(found.concept, (self.code,)):
            return False
        asked = {key: bound for key in _BOUNDS if (bound := getattr(self, key)) is not None}
        tests = [operators.build(key, bound, ValueKind.NUMBER, Options()) for key, bound in asked.items()]
        return all(test.holds((found.value,), _NO_MOMENT) for test in tests)


_BOUNDS = ("at_least", "at_most", "above", "below")


class ScoreCondition(RuleSection):
    """The score of a finding: there, and within these bounds."""

    at_least: float | None = None
    """The score is not below."""
    at_most: float | None = None
    """The score is not above."""
    above: float | None = None
    """The score is above."""
    below: float | None = None
    """The score is below."""

    @model_validator(mode="after")
    def _some(self) -> ScoreCondition:
        if all(getattr(self, key) is None for key in _BOUNDS):
            raise ValueError("a bound is missing, as in `score: {at_least: 0.8}`")
        return self

    def holds(self, score: float | None) -> bool:
        """Whether there is a score, and within."""
        return score is not None and all(
            operators.build(key, bound, ValueKind.NUMBER, Options()).holds((score,), _NO_MOMENT)
            for key in _BOUNDS
            if (bound := getattr(self, key)) is not None
        )


class FindingCondition(RuleSection):
    """What one finding that is not absent must be like; all of it must hold of the same finding."""

    code: Codes = ()
    """It is one of these: scheme, colon, value."""
    urgent: bool | None = None
    """Whether the plugin calls it urgent."""
    score: ScoreCondition | None = None
    """Bounds of its score; a finding without a score is not meant then."""
    measurement: MeasurementCondition | None = None
    """A number that it has, and its bounds."""

    @model_validator(mode="after")
    def _some(self) -> FindingCondition:
        if not self.code and self.urgent is None and self.score is None and self.measurement is None:
            raise ValueError("it asks nothing: leave out finding, or say code, urgent, score or measurement")
        return self

    def holds(self, result: ResultFacts) -> bool:
        """Whether a finding of the result is meant."""
        return any(self._is_meant(each) for each in result.findings)

    def _is_meant(self, found: FindingFacts) -> bool:
        return (
            found.present is not False
            and (not self.code or _is(found.code, self.code))
            and (self.urgent is None or found.urgent is self.urgent)
            and (self.score is None or self.score.holds(found.score))
            and (self.measurement is None or any(map(self.measurement.holds, found.measurements)))
        )


class ResultCondition(RuleSection):
    """What the result must be like; all of it must hold."""

    status: Annotated[tuple[Status, ...], WrapValidator(one_or_many, json_schema_input_type=str | list[str])] = WORKED
    """The result has one of these statuses."""
    has: Codes = ()
    """One of these findings is present."""
    has_not: Codes = ()
    """None of these is present."""
    urgent: bool | None = None
    """Whether a finding that is present is urgent."""
    measurement: Annotated[MeasurementCondition, Field()] | None = None
    """A number that the result has, and its bounds."""

    @model_validator(mode="after")
    def _some(self) -> ResultCondition:
        if not self.status:
            raise ValueError("an empty list can never hold")
        return self


class ResultClause(NamedTuple):
    """One line of a `when_result`, and whether it holds."""

    text: str
    passed: bool
    why: str


def judge(asked: ResultCondition, result: ResultFacts) -> list[ResultClause]:
    """Every line that is asked, checked against the result."""
    present = [finding for finding in result.findings if finding.present]
    said = ", ".join(f"{each.code.scheme}:{each.code.value}" for each in present[:6]) or "none"
    found = [
        ResultClause(f"status: {', '.join(asked.status)}", result.status in asked.status, f"it is {result.status}")
    ]
    for key, codes in (("has", asked.has), ("has_not", asked.has_not)):
        if codes:
            there = any(_is(finding.code, codes) for finding in present)
            found.append(ResultClause(f"{key}: {', '.join(codes)}", there is (key == "has"), f"present: {said}"))
    if asked.urgent is not None:
        urgent = any(finding.urgent for finding in present)
        found.append(ResultClause(f"urgent: {asked.urgent}".lower(), urgent is asked.urgent, f"present: {said}"))
    if asked.measurement:
        passed = any(asked.measurement.holds(each) for each in result.measured())
        numbers = [each.value for each in result.measured() if _is(each.concept, (asked.measurement.code,))]
        why = f"measured: {', '.join(map(str, numbers)) or 'none'}"
        found.append(ResultClause(f"measurement: {asked.measurement.code}", passed, why))
    return found


_NO_MOMENT = Moment(date.min, None)  # codes and numbers do not look at it
