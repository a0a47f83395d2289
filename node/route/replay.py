"""Draft rules checked against the studies of the last days, beside the rules in force: what would be other.

Facts are kept, so the images may be gone. Each study is looked at as of the moment when it was last complete; a rule
that would have waited for more of it, as of when it would have given up. Rules that are alike in both sets are decided
once, and conditions that rules share are judged once. The studies are spread over processes, and only what is to be
counted comes back; what `limits` and `once` would have stopped is then worked out in the order of time
(`node.route.simulated`), beginning with what each rule had done before the first study.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from node.config.plugins import folded
from node.envelope import RunOutside
from node.ledger import rule_history, studies
from node.ledger.database import Database, Ledger
from node.ledger.job import JobOutcome
from node.route.follow_ups import result_facts
from node.route.recorded import recorded_facts
from node.route.simulated import SimulatedCourse, SimulatedDecision, SimulatedStudy, at_last, counts, say
from rules.decision import Decision, PlannedRun
from rules.engine import decide
from rules.facts import StudyFacts
from rules.model import Rule
from rules.results import ResultFacts

_CHUNK = 25
"""Studies that a process takes at a time: few enough for a lively progress bar."""


class DraftChange(StrEnum):
    """What a draft changes about a rule and a study."""

    NEW = "new"
    """It would match, and does not now."""
    GONE = "gone"
    """It matches now, and would not."""
    DIFFERENT = "different"
    """It matches both times, with other series, steps, parameters, destinations or times."""


@dataclass(frozen=True, slots=True)
class StudyDifference:
    """One study that a rule would treat in another way."""

    study_instance_uid: str
    accession_number: str
    rule: str
    change: DraftChange
    now: str
    """What the rule in force does, in words."""
    draft: str


class OutsideKey(NamedTuple):
    """What runs outside of an envelope are counted by: one that is outside of two limits counts for each."""

    plugin: str
    limit: str
    """In words."""
    scanner: str


@dataclass
class ReplayCounts:
    """What one rule set would have done."""

    matched: Counter[str] = field(default_factory=Counter)
    """Rule → studies that it matches."""
    stopped: Counter[str] = field(default_factory=Counter)
    """Rule → studies that it would match, were it not for `limits` or `once`."""
    runs: Counter[str] = field(default_factory=Counter)
    """Plugin → runs."""
    open: Counter[str] = field(default_factory=Counter)
    """Plugin → runs that hang on a result which nobody knows."""
    outside: Counter[OutsideKey] = field(default_factory=Counter)
    """Runs on images that are not known to be like those that the plugin was validated on."""
    refused: Counter[str] = field(default_factory=Counter)
    """Plugin → those of them that would end as not applicable."""

    def take(self, rule: str, said: SimulatedDecision | None) -> None:
        """Count what a rule says of one more study."""
        if said is not None and said.matched:
            self.matched[rule] += 1
            self.runs.update(folded(run.plugin) for run in said.runs)
            self.open.update(folded(plugin) for plugin in said.open)
            for run in said.runs:
                if run.outside is not None:
                    scanner, limits, is_refused = run.outside
                    self.outside.update(OutsideKey(folded(run.plugin), limit, scanner) for limit in limits)
                    self.refused[folded(run.plugin)] += is_refused

    def add(self, other: ReplayCounts) -> None:
        """Take in what was counted elsewhere."""
        for name in ("matched", "stopped", "runs", "open", "outside", "refused"):
            getattr(self, name).update(getattr(other, name))


class ReplayCase(NamedTuple):
    """What both versions of one rule say of one study."""

    place: tuple[int, int]
    """Which study of the replay, and which of the rules."""
    study: SimulatedStudy
    rule: str
    now: SimulatedDecision | None
    """None where there is no such rule."""
    draft: SimulatedDecision | None


@dataclass
class ReplayOutcome:
    """What came of some studies."""

    studies: int = 0
    now: ReplayCounts = field(default_factory=ReplayCounts)
    draft: ReplayCounts = field(default_factory=ReplayCounts)
    cases: list[ReplayCase] = field(default_factory=list)
    """Both sides differ, or what the rule has done before is still to be asked."""
    differences: list[StudyDifference] = field(default_factory=list)

    def add(self, other: ReplayOutcome) -> None:
        """Take in what came of further studies."""
        self.studies += other.studies
        self.now.add(other.now)
        self.draft.add(other.draft)
        self.cases += other.cases

    def changes(self, rule: str) -> Counter[DraftChange]:
        """How many studies a rule would treat in another way."""
        return Counter(each.change for each in self.differences if each.rule == rule)


class _RulePair(NamedTuple):
    """One rule in both sets: where it stands among all that are decided, None where a set has it not."""

    name: str
    now: int | None
    draft: int | None
    counted: bool
    """What it has done before bears on what it does."""


class RuleSetComparison:
    """Two rule sets, ready to be checked against studies."""

    def __init__(
        self,
        now: Sequence[Rule],
        draft: Sequence[Rule],
        outside: Callable[[StudyFacts, PlannedRun], RunOutside | None] = lambda _facts, _run: None,
    ) -> None:
        """`outside`: whether the images of a run are like those that its plugin was validated on."""
        self.now = {rule.name: rule for rule in now if rule.enabled}
        self.draft = {rule.name: rule for rule in draft if rule.enabled}
        self.names = list(dict.fromkeys([*self.draft, *self.now]))
        self._outside = outside
        rules: list[Rule] = []
        self._pairs: list[_RulePair] = []
        for name in self.names:
            mine, other = self.now.get(name), self.draft.get(name)
            at = _append(rules, mine)
            shared = mine == other and not (mine and mine.otherwise)  # what the others take may be other in the draft
            drafted = at if shared else _append(rules, other)
            self._pairs.append(_RulePair(name, at, drafted, counts(mine) or counts(other)))
        self._rules = tuple(rules)

    @property
    def counted(self) -> dict[str, bool]:
        """Rules of which it matters what they have done before, and whether their jobs tell that."""
        known = {**self.draft, **self.now}
        return {pair.name: bool(known[pair.name].run) for pair in self._pairs if pair.counted}

    def _decided(self, facts: StudyFacts) -> Sequence[Decision]:
        """One decision for each rule; a rule for what no other rule takes is asked among those of its own set."""
        if not any(rule.otherwise for rule in self._rules):
            return decide(self._rules, facts)
        found: dict[int, Decision] = {}
        for side in ([pair.now for pair in self._pairs], [pair.draft for pair in self._pairs]):
            places = [at for at in side if at is not None]
            found |= zip(places, decide([self._rules[at] for at in places], facts), strict=True)
        return [found[at] for at in range(len(self._rules))]

    def compare(
        self,
        number: int,
        study: SimulatedStudy,
        facts: StudyFacts,
        known: Callable[[], Mapping[str, ResultFacts]],
        into: ReplayOutcome,
    ) -> None:
        """Count and compare what both sets say of the study of this number; `known` are its plugins' results."""
        into.studies += 1
        decided = self._decided(facts)
        decisions = [at_last(each, facts) if each.waits_until else (each, facts.now) for each in decided]
        for index, pair in enumerate(self._pairs):
            if not any(at is not None and decisions[at][0].matched for at in (pair.now, pair.draft)):
                continue
            same = pair.now == pair.draft
            now = say(decisions, pair.now, facts, known, self._outside, alone=same)
            draft = now if same else say(decisions, pair.draft, facts, known, self._outside, alone=False)
            if pair.counted or not same:
                into.cases.append(ReplayCase((number, index), study, pair.name, now, draft))
            else:
                into.now.take(pair.name, now)
                into.draft.take(pair.name, draft)

    def settle(self, done: ReplayOutcome, before: Iterable[rule_history.RuleRun], zone: ZoneInfo) -> None:
        """Ask in the order of time what `limits` and `once` stop; then count and compare what was left open."""
        ran = list(before)
        sides: list[dict[tuple[int, int], SimulatedDecision | None]] = []
        for rules, side, into in ((self.now, 0, done.now), (self.draft, 1, done.draft)):
            course = SimulatedCourse(rules, ran, zone)
            sides.append(_in_order(course, done.cases, side, rules, into))
        for case in sorted(done.cases, key=lambda each: each.place):
            now, draft = (side[case.place] for side in sides)
            done.now.take(case.rule, now)
            done.draft.take(case.rule, draft)
            if change := _change(now, draft):
                words = (each.words if each else "there is no such rule" for each in (now, draft))
                uid, accession_number, _ = case.study
                done.differences.append(StudyDifference(uid, accession_number, case.rule, change, *words))
        done.cases.clear()


def _in_order(
    course: SimulatedCourse, cases: Sequence[ReplayCase], side: int, rules: Mapping[str, Rule], into: ReplayCounts
) -> dict[tuple[int, int], SimulatedDecision | None]:
    """What comes of one side of every case, once the history of its rule is known."""
    settled = {case.place: (case.now, case.draft)[side] for case in cases}
    matched = [(said.at, case) for case in cases if (said := settled[case.place]) and said.matched]
    for _, case in sorted(matched, key=lambda each: (each[0], each[1].place)):
        if counts(rules[case.rule]):
            before = settled[case.place]
            assert before is not None, case.rule
            after = settled[case.place] = course.admit(case.rule, case.study, before)
            into.stopped[case.rule] += not after.matched
    return settled


def _append(rules: list[Rule], rule: Rule | None) -> int | None:
    if rule is None:
        return None
    rules.append(rule)
    return len(rules) - 1


def _change(now: SimulatedDecision | None, draft: SimulatedDecision | None) -> DraftChange | None:
    before, after = now is not None and now.matched, draft is not None and draft.matched
    if now and draft and before and after:
        return None if now is draft or now.what == draft.what else DraftChange.DIFFERENT
    return DraftChange.NEW if after else DraftChange.GONE if before else None


def replay(
    ledger: Path,
    uids: Sequence[str],
    since: datetime,
    comparison: RuleSetComparison,
    zone: ZoneInfo,
    advance: Callable[[int], None],
) -> ReplayOutcome:
    """Check both rule sets against these studies of a ledger, all of them complete since then.

    `advance` is called after every few that are done.
    """
    done = ReplayOutcome()
    chunks = [(start, uids[start : start + _CHUNK]) for start in range(0, len(uids), _CHUNK)]
    for part in _spread(ledger, chunks, comparison, zone):
        done.add(part)
        advance(part.studies)
    with closing(Ledger.existing(ledger)) as opened, opened.snapshot() as database:
        before = rule_history.before(database, comparison.counted, since)
    comparison.settle(done, before, zone)
    return done


_Chunk = tuple[int, Sequence[str]]
"""The number of the first study, and the studies."""
_work: tuple[Path, RuleSetComparison, ZoneInfo] | None = None
"""What a worker works with: inherited by fork, as conditions are functions and cannot be sent."""


def _spread(
    ledger: Path, chunks: Sequence[_Chunk], comparison: RuleSetComparison, zone: ZoneInfo
) -> Iterator[ReplayOutcome]:
    global _work  # noqa: PLW0603 - a forked worker finds it where it was
    _work = ledger, comparison, zone
    workers = min(len(os.sched_getaffinity(0)), len(chunks))
    if workers < 2 or multiprocessing.current_process().daemon:  # a child of a pool has no children
        yield from map(_chunk, chunks)
        return
    with multiprocessing.get_context("fork").Pool(workers, _collect_rarely) as pool:
        yield from pool.imap(_chunk, chunks)


def _collect_rarely() -> None:
    """In a worker, garbage is collected after a chunk: looking for it all the time takes a sixth of a replay."""
    gc.disable()
    gc.freeze()


def _chunk(chunk: _Chunk) -> ReplayOutcome:
    assert _work is not None, "the caller has set it"
    path, comparison, zone = _work
    start, uids = chunk
    done = ReplayOutcome()
    with closing(Ledger.existing(path)) as ledger:
        for number, uid in enumerate(uids, start):
            with ledger.snapshot() as database:
                row = studies.get(database, uid)
                if row is not None:
                    study = SimulatedStudy(uid, row.accession_number, (row.patient_id, row.issuer_of_patient_id))
                    seen = recorded_facts(database, row, zone)
                    comparison.compare(number, study, seen, partial(_results, database, uid), done)
    if not gc.isenabled():
        gc.collect()
    return done


def _results(database: Database, study: str) -> dict[str, ResultFacts]:
    """What each plugin has said of the study."""
    found = rule_history.results(database, study)
    return {plugin: result_facts(JobOutcome(outcome), said) for plugin, (outcome, said) in found.items()}
