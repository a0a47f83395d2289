"""Running tests beside rules (`rules.examples`), and what a study has to say to be one.

A test fails where a rule does not do what is expected of it. It is then reported like any other mistake in the file,
and the rules do not go live.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rules import given, names
from rules.conditions import AllOf, AnyOf, Clause, Condition, CountCondition, Not, Quantifier
from rules.decision import Decision
from rules.engine import decide
from rules.examples import Example, Expectation
from rules.facts import FromAttributes, FromInstance, FromSource, FromTrait, Reader, StudyFacts
from rules.model import Rule
from rules.reading import RuleProblem, closest


def failures(examples: Sequence[Example], rules: Sequence[Rule]) -> Iterator[RuleProblem]:
    """What every test finds wrong; its place begins with the number of the test. A disabled rule is tested too."""
    known = {rule.name: rule for rule in rules}
    for index, example in enumerate(examples):
        for name, expected in example.expect.items():
            place = (index, "expect", name)
            if name not in known:
                yield RuleProblem(place, f'there is no rule "{name}"', closest(name, known))
                continue
            facts: StudyFacts = example.given.read
            asked = [_drawn(rule, example.sample) for rule in rules if rule.enabled or rule.name == name]
            asked = asked if known[name].otherwise else [each for each in asked if each.name == name]
            (decision,) = (each for each in decide(asked, facts) if each.rule.name == name)
            for failure in _held_against(decision, expected, facts):
                yield RuleProblem(place, f'the test "{example.name}" fails: {name} {failure}')


def _drawn(rule: Rule, sample: Literal["in", "out"]) -> Rule:
    """The rule as if its sample held the study, or did not."""
    drawn = rule.sample and sample == "out" and rule.sample.model_copy(update={"share": 0.0})
    return rule.model_copy(update={"enabled": True, "sample": drawn or None})


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
        if any(wish.images == "original" for wish in rule.wishes):
            found |= {"ContributingEquipmentSequence", "ImageType", "SOPClassUID"}
        found |= {"Manufacturer"} if rule.vendors else set()
        for wish in rule.wishes:
            for each in wish.prefer:
                found.update(_keywords(names.reader(each.name)))
    return frozenset(found)


def _keywords(read: Reader) -> tuple[str, ...]:
    if isinstance(read, FromTrait):
        return {"sop_class_uid": ("SOPClassUID",), "transfer_syntax_uid": ("TransferSyntaxUID",)}.get(read.trait, ())
    if isinstance(read, FromInstance):  # of breast images
        return ("ImageType", "Manufacturer", "SOPClassUID")
    return read.keywords if isinstance(read, FromAttributes | FromSource) else ()


def _names(condition: Condition) -> Iterator[str]:
    match condition:
        case Clause():
            yield from _keywords(condition.read)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from _names(part)
        case Not(part=part) | Quantifier(part=part) | CountCondition(part=part):
            yield from _names(part)
