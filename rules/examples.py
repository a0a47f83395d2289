"""Tests beside rules: given this study, that is expected of those rules.

A study is written in few lines (`rules.given`). A test fails where a rule does not do what is expected of it; it is
then told like any other mistake in the file, and the rules do not go live.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, field_validator

from rules import given, names
from rules.conditions import AllOf, AnyOf, Clause, Condition, CountCondition, Not, Quantifier
from rules.decision import Decision
from rules.engine import decide
from rules.facts import FromAttributes, Reader, StudyFacts
from rules.model import Rule, RuleSet
from rules.reading import Problem, closest
from rules.section import Name, Section, raise_problems
from rules.written import DICTIONARY, Written


def _read(plain: Any, info: ValidationInfo) -> Written:
    if isinstance(plain, Written):
        return plain
    facts, problems = given.read(plain, (info.context or {}).get(DICTIONARY))
    raise_problems(problems, plain)
    return Written(plain, facts)


Given = Annotated[
    Written,
    PlainValidator(_read, json_schema_input_type=dict[str, Any] | str),
    PlainSerializer(lambda value: value.plain),
]


class Expectation(Section):
    """What a rule is expected to do where it matches."""

    series: int | list[int] | dict[Name, int | list[int]] | None = None
    """SeriesNumber of the series that are chosen; where the rule has roles, role by role."""
    run: list[Name] | None = None
    """The steps that are run."""


class Example(Section):
    """One test: a study, and what is expected of rules."""

    name: str
    """What the test shows."""
    given: Given
    """The study: attributes of all images, then its `series`; or the name of a file that holds this."""
    expect: dict[Name, Literal["match", "no match"] | Expectation]
    """Rule → `match`, `no match`, or which series it chooses and what it runs."""

    @field_validator("expect")
    @classmethod
    def _something(cls, expect: dict[str, Any]) -> dict[str, Any]:
        if not expect:
            raise ValueError("expect is empty: say of at least one rule what it does, as in {my-rule: match}")
        return expect


class RuleFile(RuleSet):
    """A file of rules, with their tests."""

    tests: tuple[Example, ...] = ()
    """What is expected of the rules; they do not go live where a test fails."""


def failures(examples: Sequence[Example], rules: Sequence[Rule]) -> Iterator[Problem]:
    """What every test finds wrong; its place begins with the number of the test. A disabled rule is tested too."""
    known = {rule.name: rule for rule in rules}
    for index, example in enumerate(examples):
        for name, expected in example.expect.items():
            place = (index, "expect", name)
            if name not in known:
                yield Problem(place, f'there is no rule "{name}"', closest(name, known))
                continue
            facts: StudyFacts = example.given.read
            (decision,) = decide([known[name].model_copy(update={"enabled": True})], facts)
            for failure in _held_against(decision, expected, facts):
                yield Problem(place, f'the test "{example.name}" fails: {name} {failure}')


def _held_against(decision: Decision, expected: str | Expectation, facts: StudyFacts) -> Iterator[str]:
    if expected == "no match":
        if decision.matched:
            yield f"matches: {decision.why}"
        return
    if not decision.matched:
        near = f"; all but: {decision.near_miss}" if decision.near_miss else ""
        yield f"does not match: {decision.why}{near}"
    elif isinstance(expected, Expectation):
        chosen = _chosen(decision, facts)
        if expected.series is not None and chosen != _by_role(expected.series):
            yield f"chooses {_said(chosen)}, and not {_said(_by_role(expected.series))}"
        steps = sorted({run.step for run in decision.runs})
        if expected.run is not None and steps != sorted(expected.run):
            yield f"runs {', '.join(steps)}, and not {', '.join(sorted(expected.run))}"


def _chosen(decision: Decision, facts: StudyFacts) -> dict[str, list[int]]:
    """Role → SeriesNumbers."""
    numbers = {each.series_instance_uid: given.series_number(each) for each in facts.series}
    chosen: dict[str, list[int]] = {}
    for each in dict.fromkeys(each for run in decision.runs for each in run.inputs):
        chosen.setdefault(each.role, []).append(numbers[each.series_instance_uid])
    return {role: sorted(found) for role, found in chosen.items()}


def _by_role(series: int | Sequence[int] | Mapping[str, int | Sequence[int]]) -> dict[str, list[int]]:
    parts = series if isinstance(series, Mapping) else {"": series}
    return {role: [each] if isinstance(each, int) else sorted(each) for role, each in parts.items()}


def _said(chosen: Mapping[str, Sequence[int]]) -> str:
    parts = [f"{f'as {role} ' if role else ''}series {', '.join(map(str, found))}" for role, found in chosen.items()]
    return "; ".join(parts) or "no series"


def asked_for(rules: Sequence[Rule]) -> frozenset[str]:
    """The attributes that rules look at: what a study has to be written down with so that they decide the same."""
    found = {"Modality", "SeriesNumber", "StudyDate"}
    for rule in rules:
        wishes = [part for wish in rule.wishes for part in (wish.only_images, wish.where) if part is not None]
        for condition in (rule.condition, *wishes, *([rule.wait.until.read] if rule.wait else [])):
            found.update(_names(condition))
        for wish in rule.wishes:
            for each in wish.prefer:
                found.update(_keywords(names.reader(each.name)))
    return frozenset(found)


def _keywords(read: Reader) -> tuple[str, ...]:
    return read.keywords if isinstance(read, FromAttributes) else ()


def _names(condition: Condition) -> Iterator[str]:
    match condition:
        case Clause():
            yield from _keywords(condition.read)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from _names(part)
        case Not(part=part) | Quantifier(part=part) | CountCondition(part=part):
            yield from _names(part)
