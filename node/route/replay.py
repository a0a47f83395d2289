"""Draft rules held against the studies of the last days, beside the rules in force: what would be other.

Facts are kept, so the images may be gone. Each study is looked at as of the moment when it was complete; what a rule
had done before that (`limits`, `once`) is left out. Rules that are alike in both sets are decided once, and conditions
that rules share are judged once. The studies are spread over processes; only what differs comes back.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from node.ledger import studies
from node.ledger.database import Ledger
from node.ledger.rows import to_json
from node.route.recorded import recorded_facts
from rules.engine import Decision, decide
from rules.facts import StudyFacts
from rules.model import Rule

_CHUNK = 25
"""Studies that a process takes at a time: few enough for a lively progress bar."""


class Change(StrEnum):
    """What a draft changes about a rule and a study."""

    NEW = "new"
    """It would match, and does not now."""
    GONE = "gone"
    """It matches now, and would not."""
    DIFFERENT = "different"
    """It matches both times, with other series, steps, parameters or destinations."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One study that a rule would treat in another way."""

    study_instance_uid: str
    accession_number: str
    rule: str
    change: Change
    now: str
    """What the rule in force does, in words."""
    draft: str


@dataclass
class Replayed:
    """What came of some studies."""

    studies: int = 0
    now: Counter[str] = field(default_factory=Counter)
    """Rule → studies that it matches."""
    draft: Counter[str] = field(default_factory=Counter)
    runs_now: Counter[str] = field(default_factory=Counter)
    """Plugin → runs."""
    runs_draft: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: Replayed) -> None:
        """Take in what came of further studies."""
        self.studies += other.studies
        for mine, theirs in (
            (self.now, other.now), (self.draft, other.draft),
            (self.runs_now, other.runs_now), (self.runs_draft, other.runs_draft),
        ):  # fmt: skip
            mine.update(theirs)
        self.differences += other.differences

    def changes(self, rule: str) -> Counter[Change]:
        """How many studies a rule would treat in another way."""
        return Counter(each.change for each in self.differences if each.rule == rule)


class Comparison:
    """Two rule sets, ready to be held against studies."""

    def __init__(self, now: Sequence[Rule], draft: Sequence[Rule]) -> None:
        ours = {rule.name: rule for rule in now if rule.enabled}
        theirs = {rule.name: rule for rule in draft if rule.enabled}
        self.names = list(dict.fromkeys([*theirs, *ours]))
        rules: list[Rule] = []
        self._places: list[tuple[str, int | None, int | None]] = []
        for name in self.names:
            mine, other = ours.get(name), theirs.get(name)
            at = _append(rules, mine)
            self._places.append((name, at, at if mine == other else _append(rules, other)))
        self._rules = tuple(rules)

    def hold_against(self, facts: StudyFacts, accession_number: str, into: Replayed) -> None:
        """Count and compare what both sets say of one study."""
        into.studies += 1
        decisions = decide(self._rules, facts)
        for name, at, other in self._places:
            now = decisions[at] if at is not None else None
            draft = decisions[other] if other is not None else None
            _count(now, name, into.now, into.runs_now)
            _count(draft, name, into.draft, into.runs_draft)
            if at != other and (change := _change(now, draft)):
                into.differences.append(
                    Difference(
                        facts.study_instance_uid, accession_number, name, change,
                        _words(now, facts), _words(draft, facts),
                    )
                )  # fmt: skip


def _append(rules: list[Rule], rule: Rule | None) -> int | None:
    if rule is None:
        return None
    rules.append(rule)
    return len(rules) - 1


def _count(decision: Decision | None, name: str, matched: Counter[str], runs: Counter[str]) -> None:
    if decision is not None and decision.matched:
        matched[name] += 1
        runs.update(run.plugin.replace("_", "-") for run in decision.runs)


def _change(now: Decision | None, draft: Decision | None) -> Change | None:
    before, after = (each is not None and each.matched for each in (now, draft))
    if before and after:
        return Change.DIFFERENT if _what(now) != _what(draft) else None
    return Change.NEW if after else Change.GONE if before else None


def _what(decision: Decision | None) -> Any:
    """All that would be other for plugin or reader."""
    if decision is None:
        return None
    runs = [
        (run.step, run.plugin, to_json(dict(run.parameters)), run.inputs, run.destinations, run.mode, run.priority)
        for run in decision.runs
    ]
    return runs, decision.later, decision.forward, decision.notify, decision.fetch


def _words(decision: Decision | None, facts: StudyFacts) -> str:
    if decision is None:
        return "there is no such rule"
    if not decision.matched:
        return decision.why + (f"; all but: {decision.near_miss}" if decision.near_miss else "")
    if not decision.runs:
        return decision.why
    numbers = {each.series_instance_uid: _number(each) for each in facts.series}
    inputs = [
        f"{f'{each.role}: ' if each.role else ''}series {numbers[each.series_instance_uid]} "
        f"({len(each.sop_instance_uids)})"
        for each in dict.fromkeys(each for run in decision.runs for each in run.inputs)
    ]
    steps = ", ".join(dict.fromkeys(run.step for run in decision.runs))
    sent = ", ".join(decision.runs[0].destinations) or "nowhere"
    return f"{steps} on {', '.join(inputs)} → {sent}, {decision.runs[0].mode}"


def _number(series: Any) -> str:
    element = series.instances[0].attributes.get("SeriesNumber")
    return str(element.values[0]) if element and element.values else "?"


# -- over many studies


def replay(
    ledger: Path, uids: Sequence[str], comparison: Comparison, zone: ZoneInfo, advance: Callable[[int], None]
) -> Replayed:
    """Hold both rule sets against these studies of a ledger; `advance` is told of every few that are done."""
    done = Replayed()
    chunks = [uids[start : start + _CHUNK] for start in range(0, len(uids), _CHUNK)]
    for part in _spread(ledger, chunks, comparison, zone):
        done.add(part)
        advance(part.studies)
    return done


_work: tuple[Path, Comparison, ZoneInfo] | None = None
"""What a worker works with: inherited by fork, as conditions are functions and cannot be sent."""


def _spread(
    ledger: Path, chunks: Sequence[Sequence[str]], comparison: Comparison, zone: ZoneInfo
) -> Iterator[Replayed]:
    global _work  # noqa: PLW0603 - a forked worker finds it where it stood
    _work = ledger, comparison, zone
    workers = min(len(os.sched_getaffinity(0)), len(chunks))
    if workers < 2:
        yield from map(_chunk, chunks)
        return
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap(_chunk, chunks)


def _chunk(uids: Sequence[str]) -> Replayed:
    assert _work is not None, "the caller has set it"
    path, comparison, zone = _work
    ledger = Ledger.existing(path)
    done = Replayed()
    try:
        with ledger.reading() as database:
            for uid in uids:
                row = studies.get(database, uid)
                if row is not None:
                    comparison.hold_against(recorded_facts(database, row, zone), row.accession_number, done)
    finally:
        ledger.close()
    return done
