"""What a rule says of a study: a decision, its runs, and the trace that says why, clause by clause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from rules import conditions, trace
from rules.actions import Forward, Notify, Prior
from rules.choose import Candidate, Choice
from rules.conditions import Condition, StudyView, Verdict
from rules.limits import Gate
from rules.model import Rule
from rules.results import ResultClause
from rules.timing import write_duration
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
class PlannedRun:
    """One plugin run that a rule asks for."""

    step: str
    plugin: str
    parameters: Mapping[str, Any]
    inputs: tuple[Input, ...]
    subject: str
    """What it is about: the Study Instance UID; where a rule runs once on each series, the Series Instance UID."""
    destinations: tuple[str, ...]
    mode: Literal["shadow", "pilot", "clinical"]
    priority: Literal["routine", "high", "urgent"]
    on_correction: Literal["hold", "take_newest"]
    not_before: datetime | None = None
    """When it may start; at once where it is None."""
    send_when: tuple[str, ...] = ()
    """Statuses of results that are sent; all where it is empty."""
    expires_at: datetime | None = None
    """When its result comes too late; `Rule.expires` says what is done then."""
    identity: Literal["pseudonym", "full"] | None = None
    """What the plugin learns of who the patient is; None leaves it to the plugin."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Name under which the plugin gets the result of an earlier step → that step."""


@dataclass(frozen=True, slots=True)
class LaterStep:
    """A step that waits for the results of others."""

    step: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What a rule says about a step now that the results it waited for are known."""

    step: str
    after: str
    """The steps whose results these are."""
    run: PlannedRun | None
    why: str
    clauses: tuple[ResultClause, ...]


@dataclass(frozen=True)
class Decision:
    """What one rule says about one study."""

    rule: Rule
    why: str
    """In one sentence."""
    _view: StudyView = field(repr=False, compare=False)
    _when: Verdict = field(repr=False)
    _choices: tuple[Choice, ...] = field(default=(), repr=False, compare=False)
    gates: tuple[Gate, ...] = ()
    """Bounds on how often the rule runs, asked once it would match."""
    runs: tuple[PlannedRun, ...] = ()
    later: tuple[LaterStep, ...] = ()
    """Steps that will be decided by `follow_up`."""
    forward: Forward | None = None
    """To whom the study's images are forwarded."""
    notify: tuple[Notify, ...] = ()
    """Who is notified of it."""
    not_analysed: bool = False
    """The study is one for the rule, and nothing of it fits its plugin: no series, or not enough of the study."""
    fetch: Prior | None = None
    """The earlier study that is fetched before the runs begin."""
    waits_until: datetime | None = None
    """The rule is to be asked again when the study grows, and then at the latest."""

    @property
    def matched(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.runs or self.forward or self.notify)

    @property
    def problems(self) -> tuple[str, ...]:
        """Missing values that the rule calls an error and that kept it from being decided: for a person to see."""
        return tuple(self.trace["problems"])

    @cached_property
    def near_miss(self) -> str | None:
        """The one clause without which the rule would have matched, if it was only one."""
        return None if self.matched else self._near_miss()

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
            "near_miss": self.near_miss,
            "problems": sorted(set(_errors([when, *chosen]))) if undecided else [],
            "when": when,
            "ignore": self._ignored,
            "choose": chosen,
            "wait": self._awaited,
            "does": list(_does(self)),
            "gates": [{"clause": text, "passed": passed, "why": why} for text, passed, why in self.gates],
        }

    @property
    def _ignored(self) -> list[Node]:
        """What the site ignores and the study is, or is perhaps, clause by clause."""
        asked = [each.when.read for each in self.rule.ignore if self._view.series]
        return [trace.in_study(each, self._view) for each in asked if conditions.study(each, self._view) is not False]

    @property
    def _awaited(self) -> Node | None:
        """What the rule waits for, or has waited for, clause by clause; None where it does not come to that."""
        if self.rule.wait is None or self._when is not True:
            return None
        return trace.in_study(self.rule.wait.until.read, self._view)

    def _near_miss(self) -> str | None:
        if self._when is True and (closed := [gate.text for gate in self.gates if not gate.passed]):
            return closed[0] if len(closed) == 1 else None
        if self._when is not True:
            verdicts = [(part, conditions.study(part, self._view)) for part in conditions.parts_of(self.rule.condition)]
            return _only_failure(verdicts) if len(verdicts) > 1 else None
        empty = next((choice for choice in self._choices if not choice.taken), None)
        if empty is None or empty.wish.where is None:
            return None
        missed = []
        for candidate in empty.candidates:
            verdicts = [
                (part, conditions.series(part, candidate.view)) for part in conditions.parts_of(empty.wish.where)
            ]
            if candidate.view.scope and (failure := _only_failure(verdicts)):
                missed.append((candidate.view.scope.bit_count(), f"choose, {trace.title(candidate.view)}: {failure}"))
        return max(missed, key=lambda each: each[0])[1] if missed else None  # a scout is near to every rule


def _does(decision: Decision) -> Iterator[str]:
    """What comes of the match beside its runs, and what becomes of their results, line by line."""
    rule = decision.rule
    for each in decision.notify:
        yield f"notifies {', '.join(each.whom)}"
    if not decision.runs:
        return
    for step in rule.run:
        if step.inputs:
            taken = ", ".join(f"that of {each} as {name}" for name, each in step.inputs.items())
            yield f"runs {step.name} on earlier results: {taken}"
    for notice in rule.notify:
        if on := [each.replace("_", " ") for each in notice.on if each != "match"]:
            yield f"notifies {', '.join(notice.whom)} on {', '.join(on)}"
    if rule.send_when:
        yield f"sends results that are {', '.join(rule.send_when)}; withholds the others"
    if rule.expires:
        whom = rule.expires.notify.whom if rule.expires.notify else ()
        late = {
            "send": "are sent anyway",
            "withhold": "are withheld",
            "notify": f"are sent, with a notification to {', '.join(whom)}",
        }
        when = f"later than {write_duration(rule.expires.after)} after the images were complete"
        yield f"results that come {when} {late[rule.expires.then]}"


def _only_failure(verdicts: Sequence[tuple[Condition, Verdict]]) -> str | None:
    failed = [part.text for part, verdict in verdicts if verdict is not True]
    return failed[0] if len(failed) == 1 else None


def _errors(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        if node.get("error"):
            yield f"{node['clause']}: {node['why']}"
        yield from _errors(node.get("parts", ()))


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
        "parts": [trace.in_series(choice.wish.where, candidate.view)]
        if choice.wish.where and candidate.view.scope
        else [],
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
