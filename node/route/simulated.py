"""What a rule would have done by the time a study came: `limits` and `once` over replayed studies, in their order.

A replay decides on each study by itself, in whatever order its processes get to it; this says afterwards, in the order
of time, which of the matches the rule's own history would have stopped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from node.ledger.rule_history import Ran
from node.route.new_jobs import WHOLE_STUDY
from rules.facts import History
from rules.limits import gates
from rules.model import Rule


class SaidRun(NamedTuple):
    """One plugin run, as far as runs are counted and told apart."""

    subject: str
    plugin: str
    what: str
    """Equal where plugin and reader would see no difference."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a rule says of a study."""

    matched: bool
    words: str
    at: datetime
    """When: it may have waited for more of the study."""
    runs: tuple[SaidRun, ...] = ()
    open: tuple[str, ...] = ()
    """Plugins of later steps whose first result nobody knows."""
    beside: str = ""
    """What else it does: equal where that is equal."""

    @property
    def what(self) -> tuple[object, ...]:
        """Equal where nothing would be other for plugin or reader."""
        return {run.what for run in self.runs}, self.open, self.beside


class Studied(NamedTuple):
    """Which study it is, and whose."""

    study_instance_uid: str
    accession_number: str
    patient: tuple[str, str]
    """Patient ID and its issuer; an empty ID is nobody's."""


@dataclass
class _Done:
    """What one rule has done."""

    first: dict[str, datetime] = field(default_factory=dict)
    """Study → when it first ran on it."""
    days: dict[date, int] = field(default_factory=lambda: defaultdict(int))
    """Day → studies that it first ran on."""
    patients: dict[tuple[str, str], dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))
    """Patient → study → when it last ran on it."""
    subjects: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def ran(self, study: Studied, subjects: Iterable[str], first: datetime, last: datetime) -> None:
        uid = study.study_instance_uid
        if uid not in self.first:
            self.first[uid] = first
            self.days[first.date()] += 1
        self.subjects[uid].update(subjects)
        if study.patient[0]:
            self.patients[study.patient][uid] = last

    def history(self, study: Studied, now: datetime) -> History:
        uid, today = study.study_instance_uid, now.date()
        known = self.first.get(uid)
        others = (last for other, last in self.patients.get(study.patient, {}).items() if other != uid)
        return History(
            enrolled=len(self.first) - (known is not None),
            today=self.days.get(today, 0) - (known is not None and known.date() == today),
            patient_last=max(others, default=None),
            subjects=frozenset(self.subjects.get(uid, ())),
        )


class Course:
    """What the rules of one set have done so far; begins with what they did before the first study."""

    def __init__(self, rules: Mapping[str, Rule], before: Iterable[Ran], zone: ZoneInfo) -> None:
        self._rules = rules
        self._zone = zone
        self._done: dict[str, _Done] = defaultdict(_Done)
        for each in before:
            study = Studied(each.study_instance_uid, "", (each.patient_id, each.issuer_of_patient_id))
            subject = each.study_instance_uid if each.subject == WHOLE_STUDY else each.subject
            first, last = (moment.astimezone(zone) for moment in (each.first, each.last))
            self._done[each.rule].ran(study, (subject,), first, last)

    def admit(self, name: str, study: Studied, said: Said) -> Said:
        """What comes of a match now that the rule's history is known; to be asked in the order of `Said.at`."""
        rule, done = self._rules[name], self._done[name]
        history = done.history(study, said.at)
        uid = study.study_instance_uid
        bounds = gates(name, rule.sample, rule.limits, rule.once, uid, history, said.at)
        closed = next((gate for gate in bounds if not gate.passed), None)
        if closed:
            return Said(False, f"when holds, but {closed.text}: {closed.why}", said.at)
        left = said.runs
        if rule.once == "series":
            left = tuple(run for run in said.runs if run.subject not in history.subjects)
        if said.runs and not left:
            return Said(False, "when holds, but it has run on each series already", said.at)
        done.ran(study, {run.subject for run in left} or {uid}, said.at, said.at)
        return replace(said, runs=left)


def counts(rule: Rule | None) -> bool:
    """Whether what a rule has done before bears on what it does next."""
    return rule is not None and (rule.limits is not None or rule.once != "revision")
