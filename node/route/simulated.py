"""What a rule would do with a study, as a replay finds it: the run in words, and what `limits` and `once` leave of it.

A replay decides on each study by itself, in whatever order its processes get to it. What the rule's own history would
have stopped is found afterwards, in the order of time (`SimulatedCourse`).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from node.envelope import RunOutside
from node.ledger.rows import to_json
from node.ledger.rule_history import RuleRun
from node.route.new_jobs import WHOLE_STUDY
from rules import engine
from rules.decision import Decision, PlannedRun
from rules.engine import decide
from rules.facts import History, StudyFacts
from rules.limits import gates
from rules.model import Rule
from rules.results import ResultFacts


class SimulatedRun(NamedTuple):
    """One plugin run, as far as runs are counted and told apart."""

    subject: str
    plugin: str
    what: str
    """Equal where plugin and reader would see no difference."""
    outside: RunOutside | None = None
    """None where its images are like those that the plugin was validated on, or where nobody can say."""


@dataclass(frozen=True, slots=True)
class SimulatedDecision:
    """What a rule says of a study."""

    matched: bool
    words: str
    at: datetime
    """When: it may have waited for more of the study."""
    runs: tuple[SimulatedRun, ...] = ()
    open: tuple[str, ...] = ()
    """Plugins of later steps whose first result nobody knows."""
    beside: str = ""
    """What else it does: equal where that is equal."""

    @property
    def what(self) -> tuple[object, ...]:
        """Equal where nothing would be other for plugin or reader."""
        return {run.what for run in self.runs}, self.open, self.beside


class SimulatedStudy(NamedTuple):
    """Which study it is, and whose."""

    study_instance_uid: str
    accession_number: str
    patient: tuple[str, str]
    """Patient ID and its issuer; an empty ID is nobody's."""


@dataclass
class _SimulatedHistory:
    """What one rule has done."""

    first: dict[str, datetime] = field(default_factory=dict)
    """Study → when it first ran on it."""
    days: dict[date, int] = field(default_factory=lambda: defaultdict(int))
    """Day → studies that it first ran on."""
    patients: dict[str, dict[str, tuple[str, datetime]]] = field(default_factory=lambda: defaultdict(dict))
    """Patient ID → study → its issuer, and when it last ran on it."""
    subjects: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def ran(self, study: SimulatedStudy, subjects: Iterable[str], first: datetime, last: datetime) -> None:
        uid = study.study_instance_uid
        if uid not in self.first:
            self.first[uid] = first
            self.days[first.date()] += 1
        self.subjects[uid].update(subjects)
        patient, issuer = study.patient
        if patient:
            self.patients[patient][uid] = issuer, last

    def history(self, study: SimulatedStudy, now: datetime) -> History:
        uid, today = study.study_instance_uid, now.date()
        known = self.first.get(uid)
        patient, mine = study.patient
        of_patient = self.patients.get(patient, {}).items()
        others = (
            last for other, (issuer, last) in of_patient if other != uid and (not (issuer and mine) or issuer == mine)
        )
        return History(
            enrolled=len(self.first) - (known is not None),
            today=self.days.get(today, 0) - (known is not None and known.date() == today),
            patient_last=max(others, default=None),
            subjects=frozenset(self.subjects.get(uid, ())),
        )


class SimulatedCourse:
    """What the rules of one set have done so far; begins with what they did before the first study."""

    def __init__(self, rules: Mapping[str, Rule], before: Iterable[RuleRun], zone: ZoneInfo) -> None:
        self._rules = rules
        self._zone = zone
        self._done: dict[str, _SimulatedHistory] = defaultdict(_SimulatedHistory)
        for each in before:
            study = SimulatedStudy(each.study_instance_uid, "", (each.patient_id, each.issuer_of_patient_id))
            subject = each.study_instance_uid if each.subject == WHOLE_STUDY else each.subject
            first, last = (moment.astimezone(zone) for moment in (each.first, each.last))
            self._done[each.rule].ran(study, (subject,), first, last)

    def admit(self, name: str, study: SimulatedStudy, said: SimulatedDecision) -> SimulatedDecision:
        """What comes of a match now that the rule's history is known; asked in the order of `SimulatedDecision.at`."""
        rule, done = self._rules[name], self._done[name]
        history = done.history(study, said.at)
        uid = study.study_instance_uid
        bounds = gates(name, rule.sample, rule.limits, rule.once, uid, history, said.at)
        closed = next((gate for gate in bounds if not gate.passed), None)
        if closed:
            return SimulatedDecision(False, f"when holds, but {closed.text}: {closed.why}", said.at)
        left = said.runs
        if rule.once == "series":
            left = tuple(run for run in said.runs if run.subject not in history.subjects)
        if said.runs and not left:
            return SimulatedDecision(False, "when holds, but it has run on each series already", said.at)
        done.ran(study, {run.subject for run in left} or {uid}, said.at, said.at)
        return replace(said, runs=left)


def counts(rule: Rule | None) -> bool:
    """Whether what a rule has done before bears on what it does next."""
    return rule is not None and (rule.limits is not None or rule.once != "revision")


def at_last(decision: Decision, facts: StudyFacts) -> tuple[Decision, datetime]:
    """What a rule that waits for more of the study does when it gives up; more of it did not come."""
    until = decision.waits_until
    assert until is not None, decision.rule.name
    history = {decision.rule.name: History(waiting_since=facts.completed_at)}
    [late] = decide([decision.rule], replace(facts, now=until, history=history))
    return late, until


def say(
    decisions: Sequence[tuple[Decision, datetime]],
    at: int | None,
    facts: StudyFacts,
    known: Callable[[], Mapping[str, ResultFacts]],
    outside: Callable[[StudyFacts, PlannedRun], RunOutside | None],
    *,
    alone: bool,
) -> SimulatedDecision | None:
    """What the decision of this number comes to; `alone`: nothing else is to be checked against it.

    `outside` is asked of each run whose images are known: not of later steps.
    """
    if at is None:
        return None
    decision, moment = decisions[at]
    if not decision.matched:
        return SimulatedDecision(False, _unmatched(decision), moment)
    later, still_open = _later(decision, known()) if decision.later else ((), ())
    runs = [
        SimulatedRun(run.subject, run.plugin, "" if alone else _digest(run), outside(facts, run))
        for run in decision.runs
    ]
    subjects = dict.fromkeys(run.subject for run in decision.runs)
    runs += [SimulatedRun(subject, plugin, plugin) for subject in subjects for plugin in later]
    beside = "" if alone else repr((decision.later, decision.forward, decision.notify, decision.fetch))
    words = "" if alone and not counts(decision.rule) else _words(decision, facts)
    return SimulatedDecision(True, words, moment, tuple(runs), still_open, beside)


def _later(decision: Decision, known: Mapping[str, ResultFacts]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Plugins of later steps that would run by the results which are known, and those of which that cannot be said."""
    results = {run.step: known.get(run.plugin) for run in decision.runs}
    runs: list[str] = []
    still_open: list[str] = []
    for step in decision.rule.run:
        if not step.needs or not all(each in results for each in step.needs):
            continue  # the first steps, and those after one that does not run
        there = {each: found for each in step.needs if (found := results[each]) is not None}
        if len(there) < len(step.needs):
            still_open.append(step.plugin)
            results[step.name] = None
        elif engine.is_asked_for(step, there):
            runs.append(step.plugin)
            results[step.name] = known.get(step.plugin)
    return tuple(runs), tuple(still_open)


def _digest(run: PlannedRun) -> str:
    """All that would be other for plugin or reader."""
    inputs = [(each.role, each.series_instance_uid, each.sop_instance_uids) for each in run.inputs]
    others = (run.send_when, str(run.not_before), str(run.expires_at), run.on_correction)
    what = (run.step, run.plugin, dict(run.parameters), inputs, run.destinations, run.mode, run.priority, others)
    return hashlib.sha256(to_json(what).encode("utf-8", "surrogatepass")).hexdigest()


def _unmatched(decision: Decision) -> str:
    return decision.why + (f"; all but: {decision.near_miss}" if decision.near_miss else "")


def _words(decision: Decision, facts: StudyFacts) -> str:
    if not decision.runs:
        return decision.why
    numbers = {each.series_instance_uid: _number(each) for each in facts.series}
    inputs = [
        f"{f'{each.role}: ' if each.role else ''}series {numbers[each.series_instance_uid]} "
        f"({len(each.sop_instance_uids)})"
        for each in dict.fromkeys(each for run in decision.runs for each in run.inputs)
    ]
    first = decision.runs[0]
    steps = ", ".join(dict.fromkeys(run.step for run in decision.runs))
    sent = ", ".join(first.destinations) or "nowhere"
    starts = f", not before {first.not_before:%A %H:%M}" if first.not_before else ""
    return f"{steps} on {', '.join(inputs)} → {sent}, {first.mode}{starts}"


def _number(series: Any) -> str:
    element = series.instances[0].attributes.get("SeriesNumber")
    return str(element.values[0]) if element and element.values else "?"
