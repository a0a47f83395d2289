"""Facts × rules → decisions, each with its runs and a trace that says why.

Deciding is pure and total: the same rules and facts give the same decisions, and no facts make it raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from rules import conditions, trace
from rules.choose import Candidate, Choice, choose
from rules.conditions import AllOf, Condition, StudyView, Verdict
from rules.facts import StudyFacts
from rules.model import Rule, Step
from rules.trace import Node

TRACE_FORMAT = 1
"""Number of the shape of `Decision.trace`; grows when a reader of stored traces would have to know."""


@dataclass(frozen=True, slots=True)
class Input:
    """One series for a plugin."""

    role: str
    """Empty where the rule names none."""
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    """Sorted, so that the order of arrival changes nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """One plugin run that a rule asks for."""

    step: str
    plugin: str
    parameters: Mapping[str, Any]
    inputs: tuple[Input, ...]
    subject: str
    """What it is about: the Study Instance UID, as every rule runs once per study so far."""
    destinations: tuple[str, ...]
    mode: Literal["shadow", "pilot", "clinical"]
    priority: Literal["routine", "high", "urgent"]
    on_correction: Literal["hold", "take_newest"]


@dataclass(frozen=True)
class Decision:
    """What one rule says about one study."""

    rule: Rule
    runs: tuple[Run, ...]
    why: str
    """In one sentence."""
    _view: StudyView = field(repr=False, compare=False)
    _when: Verdict = field(repr=False)
    _choices: tuple[Choice, ...] = field(repr=False, compare=False)

    @property
    def matched(self) -> bool:
        """Whether anything is to be run."""
        return bool(self.runs)

    @property
    def problems(self) -> tuple[str, ...]:
        """Missing values that the rule calls an error and that kept it from being decided: for a person to see."""
        return tuple(self.trace["problems"])

    @property
    def near_miss(self) -> str | None:
        """The one clause without which the rule would have matched, if it was only one."""
        missed: str | None = self.trace["near_miss"]
        return missed

    @cached_property
    def trace(self) -> dict[str, Any]:
        """Clause by clause: what was asked, the value found, where, and why it passed; JSON-able.

        Made when first asked for: replaying many studies needs few of them.
        """
        when = trace.in_study(self.rule.condition, self._view)
        chosen = [_choice_node(choice) for choice in self._choices]
        undecided = self._when is None or any(part["passed"] is None for part in chosen)
        return {
            "format": TRACE_FORMAT,
            "rule": self.rule.name,
            "matched": self.matched,
            "why": self.why,
            "near_miss": None if self.matched else self._near_miss(),
            "problems": sorted(set(_errors([when, *chosen]))) if undecided else [],
            "when": when,
            "choose": chosen,
        }

    def _near_miss(self) -> str | None:
        if self._when is not True:
            verdicts = [(part, conditions.study(part, self._view)) for part in _parts(self.rule.condition)]
            return _only_failure(verdicts) if len(verdicts) > 1 else None
        empty = next((choice for choice in self._choices if not choice.taken), None)
        if empty is None or empty.wish.where is None:
            return None
        for candidate in empty.candidates:
            verdicts = [(part, conditions.series(part, candidate.view)) for part in _parts(empty.wish.where)]
            if candidate.view.scope and (failure := _only_failure(verdicts)):
                return f"choose: {failure}"
        return None


def _parts(condition: Condition) -> tuple[Condition, ...]:
    return condition.parts if isinstance(condition, AllOf) else (condition,)


def _only_failure(verdicts: Sequence[tuple[Condition, Verdict]]) -> str | None:
    failed = [part.text for part, verdict in verdicts if verdict is not True]
    return failed[0] if len(failed) == 1 else None


def _errors(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        if node.get("error"):
            yield f"{node['clause']}: {node['why']}"
        yield from _errors(node.get("parts", ()))


def decide(rules: Sequence[Rule], study: StudyFacts) -> tuple[Decision, ...]:
    """One decision for each enabled rule, in the order of the rules."""
    view = StudyView(study)
    return tuple(_decide(rule, view) for rule in rules if rule.enabled)


def _decide(rule: Rule, view: StudyView) -> Decision:
    when = conditions.study(rule.condition, view)
    if closed := _closed(rule, view):
        return Decision(rule, (), closed, view, when, ())
    if when is not True:
        return Decision(rule, (), f"when {trace.words(when)}", view, when, ())
    choices: list[Choice] = []
    used: set[str] = set()
    for wish in rule.wishes:
        choices.append(choose(wish, view, used))
        used.update(each.view.facts.series_instance_uid for each in choices[-1].taken)
    empty = next((choice for choice in choices if not choice.taken), None)
    if empty:
        return Decision(rule, (), f"when holds, but {_nothing(empty)}", view, when, tuple(choices))
    inputs = tuple(_input(choice.wish.role, taken) for choice in choices for taken in choice.taken)
    runs = tuple(_run(rule, step, inputs, view.facts) for step in rule.run)
    return Decision(rule, runs, f"when holds, and {len(inputs)} series chosen", view, when, tuple(choices))


def _closed(rule: Rule, view: StudyView) -> str | None:
    """Why no rule, or not this one, may see the study at all."""
    if not view.series:
        return "the study has no instances"
    if not view.facts.complete:
        return "the study is not complete"
    if view.facts.origin == "retrieved" and not conditions.mentions(rule.condition, "origin"):
        return "this node fetched the study itself: only a rule whose `when` names origin looks at it"
    return None


def _nothing(choice: Choice) -> str:
    role = f" as {choice.wish.role}" if choice.wish.role else ""
    undecided = any(each.undecided for each in choice.candidates)
    return f"the choice{role} is in doubt" if undecided else f"no series is left to choose{role}"


def _run(rule: Rule, step: Step, inputs: tuple[Input, ...], study: StudyFacts) -> Run:
    return Run(
        step.name, step.plugin, step.parameters, inputs, study.study_instance_uid,
        rule.send, rule.mode, rule.priority, rule.on_correction,
    )  # fmt: skip


def _input(role: str, taken: Candidate) -> Input:
    series, scope = taken.view.facts, taken.view.scope
    chosen = (each.sop_instance_uid for bit, each in enumerate(series.instances) if scope >> bit & 1)
    return Input(role, series.series_instance_uid, tuple(sorted(chosen)))


def _choice_node(choice: Choice) -> Node:
    eligible = [each for each in choice.candidates if each.verdict is True]
    undecided = any(each.undecided for each in choice.candidates)
    listed = choice.candidates[: trace.MOST_SERIES]
    return {
        "clause": f"choose {choice.wish.role}".strip(),
        "role": choice.wish.role,
        "passed": True if choice.taken else None if undecided else False,
        "why": f"{len(choice.taken)} taken of {len(eligible)} eligible and {len(choice.candidates)} looked at",
        "parts": [_candidate_node(choice, each, eligible) for each in listed],
    }


def _candidate_node(choice: Choice, candidate: Candidate, eligible: Sequence[Candidate]) -> Node:
    node: Node = {
        "clause": trace.title(candidate.view),
        "series": trace.label(candidate.view),
        "passed": candidate.verdict,
        "taken": candidate in choice.taken,
        "why": candidate.reason or _standing(choice, candidate, eligible),
        "parts": [trace.in_series(choice.wish.where, candidate.view)] if choice.wish.where else [],
    }
    if candidate.ranks:
        node["preferences"] = [trace.preferred(each, candidate.view) for each in choice.wish.prefer]
    return node


def _standing(choice: Choice, candidate: Candidate, eligible: Sequence[Candidate]) -> str:
    """Why an eligible series was taken, or another before it."""
    if choice.wish.take == "all":
        return "taken, as is every eligible series" if choice.taken else "eligible, but another series is in doubt"
    if not choice.taken:
        return "eligible, but another series is in doubt"
    best = eligible[0]
    rival = best if candidate is not best else eligible[1] if len(eligible) > 1 else None
    if rival is None:
        return "taken: the only eligible series"
    pairs = zip(choice.wish.prefer, candidate.ranks, rival.ranks, strict=True)
    deciding = next((preference.text for preference, mine, other in pairs if mine != other), None)
    by = f"by {deciding}" if deciding else "equal in every preference, so by SeriesNumber, then Series Instance UID"
    return f"taken: {by}" if candidate is best else f"another series is preferred: {by}"
