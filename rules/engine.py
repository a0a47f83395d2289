"""Facts × rules → decisions, each with its runs and a trace that says why.

Deciding is pure and total: the same rules and facts give the same decisions, and no facts make it raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias

from rules import conditions, trace
from rules.actions import Forward, Notify, Prior, Wait
from rules.choose import Candidate, Choice, choose
from rules.conditions import AllOf, Condition, StudyView, Verdict
from rules.facts import History, StudyFacts
from rules.limits import Gate, gates
from rules.model import Rule, Step
from rules.results import ResultClause, ResultCondition, ResultFacts, judge
from rules.timing import opening, write_duration
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


@dataclass(frozen=True, slots=True)
class Later:
    """A step that waits for the result of another one."""

    step: str
    after: str


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What a rule says about a step now that the result it waited for is known."""

    step: str
    after: str
    run: Run | None
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
    runs: tuple[Run, ...] = ()
    later: tuple[Later, ...] = ()
    """Steps that will be decided by `follow_up`."""
    forward: Forward | None = None
    """To whom the study's images are sent on."""
    notify: tuple[Notify, ...] = ()
    """Who is told."""
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
            "choose": chosen,
            "wait": self._awaited,
            "does": list(_does(self)),
            "gates": [{"clause": text, "passed": passed, "why": why} for text, passed, why in self.gates],
        }

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
            verdicts = [(part, conditions.study(part, self._view)) for part in _parts(self.rule.condition)]
            return _only_failure(verdicts) if len(verdicts) > 1 else None
        empty = next((choice for choice in self._choices if not choice.taken), None)
        if empty is None or empty.wish.where is None:
            return None
        missed = []
        for candidate in empty.candidates:
            verdicts = [(part, conditions.series(part, candidate.view)) for part in _parts(empty.wish.where)]
            if candidate.view.scope and (failure := _only_failure(verdicts)):
                missed.append((candidate.view.scope.bit_count(), f"choose, {trace.title(candidate.view)}: {failure}"))
        return max(missed, key=lambda each: each[0])[1] if missed else None  # a scout is near to every rule


def _does(decision: Decision) -> Iterator[str]:
    """What comes of the match beside its runs, and what becomes of their results, line by line."""
    rule = decision.rule
    for each in decision.notify:
        yield f"tells {', '.join(each.whom)}"
    if not decision.runs:
        return
    if rule.send_when:
        yield f"sends results that are {', '.join(rule.send_when)}; withholds the others"
    if rule.expires:
        whom = rule.expires.notify.whom if rule.expires.notify else ()
        late = {
            "send": "are sent all the same",
            "withhold": "are withheld",
            "notify": f"are sent, and findings told to {', '.join(whom)}",
        }
        when = f"later than {write_duration(rule.expires.after)} after the images were complete"
        yield f"results that come {when} {late[rule.expires.then]}"


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
    by_series = _complete_series(view)
    return tuple(
        _decide(rule, by_series if rule.decide == "series complete" else view) for rule in rules if rule.enabled
    )


def _complete_series(view: StudyView) -> StudyView:
    """The study as far as its series are complete."""
    done = tuple(each for each in view.facts.series if each.complete)
    return view if len(done) == len(view.facts.series) else StudyView(replace(view.facts, series=done))


def _decide(rule: Rule, view: StudyView) -> Decision:
    when = conditions.study(rule.condition, view)
    said = partial(Decision, rule, _view=view, _when=when)
    if closed := _closed(rule, view):
        return said(why=closed)
    if when is not True:
        return said(why=f"when {trace.words(when)}")
    if rule.wait and conditions.study(rule.wait.until.read, view) is not True:
        return _incomplete(rule, rule.wait, view, said)
    choices = _choose(rule, view)
    if empty := next((choice for choice in choices if not choice.taken), None):
        return said(why=f"when holds, but {_nothing(empty)}", _choices=choices)
    starts = opening(rule.hours, view.facts.now) if rule.hours else None
    bounds = (*_gates(rule, view.facts), *_hours(rule, view, starts))
    if any(not gate.passed for gate in bounds):
        stopped = next(gate for gate in bounds if not gate.passed)
        return said(why=f"when holds, but {stopped.text}: {stopped.why}", _choices=choices, gates=bounds)
    runs = tuple(
        _run(rule, step, given, view, starts) for given in _subjects(rule, choices, view.facts) for step in rule.run
    )
    chosen = f", and {sum(len(choice.taken) for choice in choices)} series chosen" if rule.run else ""
    later = f", to start {starts:%A %H:%M}" if starts and starts > view.facts.now else ""
    return said(
        why=f"when holds{chosen}{later}"
        if runs or not rule.run
        else "when holds, but it has run on each series already",
        _choices=choices,
        gates=bounds,
        runs=tuple(run for run in runs if _step(rule, run.step).after is None),
        later=tuple(Later(step.name, step.after) for step in rule.run if step.after and runs),
        forward=rule.forward,
        notify=(rule.notify,) if rule.notify else (),
        fetch=rule.prior if runs else None,
    )


def _incomplete(rule: Rule, wait: Wait, view: StudyView, said: Callable[..., Decision]) -> Decision:
    """More of the study is awaited: wait, or do what the rule says for when it did not come."""
    since = view.facts.history.get(rule.name, History()).waiting_since or view.facts.completed_at
    until = since + wait.at_most
    missing = [part.text for part in _parts(wait.until.read) if conditions.study(part, view) is not True]
    if view.facts.now < until:
        return said(why=f"when holds, and more is awaited until {until:%H:%M}: {'; '.join(missing)}", waits_until=until)
    late = f"when holds, but what it waited for did not come within {write_duration(wait.at_most)}"
    if wait.notify:
        return said(why=f"{late}: {', '.join(wait.notify.whom)} notified", notify=(wait.notify,))
    if wait.otherwise == "run":
        found = _decide(rule.model_copy(update={"wait": None}), view)
        return replace(found, rule=rule, why=f"{late}: {found.why}")
    return said(why=late)


def _choose(rule: Rule, view: StudyView) -> tuple[Choice, ...]:
    choices: list[Choice] = []
    used: set[str] = set()
    for wish in rule.wishes:
        choices.append(choose(wish, view, used))
        used.update(each.view.facts.series_instance_uid for each in choices[-1].taken)
    return tuple(choices)


def _gates(rule: Rule, study: StudyFacts) -> list[Gate]:
    done = study.history.get(rule.name, History())
    return gates(rule.name, rule.sample, rule.limits, rule.once, study.study_instance_uid, done, study.now)


def _hours(rule: Rule, view: StudyView, starts: datetime | None) -> Iterator[Gate]:
    if rule.hours and rule.hours.otherwise == "skip":
        yield Gate("hours", starts == view.facts.now, f"it is {view.facts.now:%A %H:%M}")


Given: TypeAlias = tuple[str, tuple[Input, ...]]
"""What a run is about, and its inputs."""


def _subjects(rule: Rule, choices: Sequence[Choice], study: StudyFacts) -> list[Given]:
    """All of it for the study; or each series by itself, unless the rule has run on it."""
    inputs = tuple(_input(choice.wish.role, taken) for choice in choices for taken in choice.taken)
    if rule.once != "series":
        return [(study.study_instance_uid, inputs)]
    ran = study.history.get(rule.name, History()).subjects
    return [(each.series_instance_uid, (each,)) for each in inputs if each.series_instance_uid not in ran]


def _step(rule: Rule, name: str) -> Step:
    return next(step for step in rule.run if step.name == name)


def follow_up(
    rule: Rule, study: StudyFacts, results: Mapping[str, ResultFacts], subject: str = ""
) -> tuple[FollowUp, ...]:
    """What is to be run now that these steps have a result, of all steps that come after one of them.

    `study` are the facts of the decision: the inputs are chosen again, and come out the same. Bounds on
    how often the rule runs are not asked again: the study has passed them. `subject` is that of the
    run whose result is known; the study's where it is empty.
    """
    view = StudyView(study)
    view = _complete_series(view) if rule.decide == "series complete" else view
    choices = _choose(rule, view)
    all_of_it = replace(study, history={}) if study.history else study
    about = dict(_subjects(rule, choices, all_of_it))
    inputs = about.get(subject or study.study_instance_uid, ())
    starts = opening(rule.hours, study.now) if rule.hours else None
    found = []
    for step in rule.run:
        if step.after and step.after in results:
            clauses = tuple(judge(step.when_result or ResultCondition(), results[step.after]))
            failed = next((clause for clause in clauses if not clause.passed), None)
            why = f"{failed.text}: {failed.why}" if failed else f"the result of {step.after} asks for it"
            given = (subject or study.study_instance_uid, inputs)
            wanted = failed is None and inputs and all(choice.taken for choice in choices)
            run = _run(rule, step, given, view, starts) if wanted else None
            if failed is None and run is None:
                why = "its images cannot be chosen any more"
            found.append(FollowUp(step.name, step.after, run, why, clauses))
    return tuple(found)


def first_runs(rule: Rule, study: StudyFacts) -> tuple[Run, ...]:
    """The runs of a rule that has decided to run, once what it waited for is here; bounds are not asked again."""
    view = StudyView(study)
    choices = _choose(rule, view)
    if not all(choice.taken for choice in choices):
        return ()
    starts = opening(rule.hours, study.now) if rule.hours else None
    subjects = _subjects(rule, choices, replace(study, history={}) if study.history else study)
    return tuple(_run(rule, step, given, view, starts) for given in subjects for step in rule.run if not step.after)


def prior_series(rule: Rule, prior: StudyFacts) -> tuple[Input, ...]:
    """The series of an earlier study that the rule would choose there: by its first choice, one, under the role."""
    assert rule.prior is not None, rule.name
    wish = replace(rule.wishes[0], role=rule.prior.role, take="one")
    return tuple(_input(wish.role, taken) for taken in choose(wish, StudyView(prior), set()).taken)


def _closed(rule: Rule, view: StudyView) -> str | None:
    """Why no rule, or not this one, may see the study at all."""
    if not view.series:
        return "the study has no instances"
    if not view.facts.complete and (early := _early(rule, view.facts)):
        return early
    if view.facts.origin == "retrieved" and not conditions.mentions(rule.condition, "origin"):
        return "this node fetched the study itself: only a rule whose `when` names origin looks at it"
    return None


def _early(rule: Rule, study: StudyFacts) -> str | None:
    """Why the rule is not asked yet about a study that still grows."""
    if rule.decide == "series complete":
        return None
    if rule.growing is None:
        return "the study is not complete"
    last = study.history.get(rule.name, History()).decided_at
    if last and study.now - last < rule.growing:
        return f"the study is not complete, and the rule was asked {rule.decide.replace('every', 'within')} already"
    return None


def _nothing(choice: Choice) -> str:
    role = f" as {choice.wish.role}" if choice.wish.role else ""
    undecided = any(each.undecided for each in choice.candidates)
    return f"the choice{role} is in doubt" if undecided else f"no series is left to choose{role}"


def _run(rule: Rule, step: Step, given: Given, view: StudyView, starts: datetime | None) -> Run:
    subject, inputs = given
    waits = starts is not None and starts > view.facts.now
    expires = view.facts.completed_at + rule.expires.after if rule.expires else None
    return Run(
        step.name, step.plugin, step.parameters, inputs, subject,
        rule.send, rule.mode, rule.priority, rule.on_correction, starts if waits else None, rule.send_when, expires,
    )  # fmt: skip


def _input(role: str, taken: Candidate) -> Input:
    series, scope = taken.view.facts, taken.view.scope
    chosen = (uid for uid, mask in series.groups("sop_instance_uid") if mask & scope)
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
