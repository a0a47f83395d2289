"""Decisions per second, and a replay of a draft: over recorded studies, from the ledger's rows on.

    python -m tests.benchmarks.rules [--studies 10000]

One decision is one study held against one rule; each study is read, unpacked and decided anew. In the draft that is
replayed one rule in ten is another and one has a limit: 100 rules against 100 with 11 changed are decided as 111.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.clock import SystemClock
from node.ledger import facts, instances, studies
from node.ledger.database import FILE, Ledger
from node.route import replay as replaying
from node.route.facts import study_facts
from node.route.replay import RuleSetComparison
from rules.engine import decide
from rules.model import Rule
from tests.benchmarks.figures import table
from tests.benchmarks.rule_studies import DAYS, SERIES, ZONE, draft_of, record, rules_of

DECISIONS_GOAL = 20_000.0
"""Decisions per second with `COUNT` rules, on one core."""
REPLAY_GOAL = 60.0
"""Seconds for `REPLAYED` studies and `COUNT` rules."""
COUNT = 100
REPLAYED = 10_000
_FEW = 26
"""Enough for two processes to begin."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast decisions were made."""

    rules: int
    decisions: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Decisions per second of a core that does nothing else."""
        return self.decisions / self.cpu_seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """All that was measured."""

    rates: list[Rate]
    traced: list[Rate]
    """The same with every trace made."""
    replayed: int
    replay_seconds: float
    start_seconds: float
    """What a replay of few studies takes: its processes begin."""
    replay_cpu_seconds: float
    """Of all processes."""

    @property
    def goals(self) -> list[list[str]]:
        """Rows of the table of goals."""
        rate = next(each.per_second for each in self.rates if each.rules == COUNT)
        more = (self.replay_seconds - self.start_seconds) / (self.replayed - _FEW)
        seconds = self.start_seconds + more * (REPLAYED - _FEW)
        measured = f"{seconds:.0f}" + ("" if self.replayed == REPLAYED else f", by {self.replayed:,} studies")
        late = "met" if seconds <= REPLAY_GOAL else f"missed by {seconds - REPLAY_GOAL:.0f} s"
        return [
            [
                "rules",
                f"decisions per second with {COUNT} rules, one core",
                f"≥ {DECISIONS_GOAL:,.0f}",
                f"{rate:,.0f}",
                "met" if rate >= DECISIONS_GOAL else f"missed by {1 - rate / DECISIONS_GOAL:.0%}",
            ],
            ["rules", f"replay of {REPLAYED:,} studies × {COUNT} rules, s", f"≤ {REPLAY_GOAL:g}", measured, late],
        ]


def measure(folder: Path, count: int) -> Figures:
    """Decide on a few hundred studies at the most, and replay all of `count`, which is more than a few."""
    folder.mkdir(parents=True)
    ledger = Ledger(folder / FILE)
    uids = record(ledger, count)
    some = uids[:: max(1, count // 200)]
    decided = {}
    for traces in (False, True):
        counts = (10, COUNT, 1000)
        decided[traces] = [_decide(ledger, some if n < 1000 else some[::4], rules_of(n), traces=traces) for n in counts]
    rules = rules_of(COUNT)
    since = _before_all(ledger, uids)
    taken = []
    for replayed in (uids[:_FEW], uids):
        begin, cpu = time.perf_counter(), sum(os.times()[:4])
        comparison = RuleSetComparison(rules, draft_of(rules))
        done = replaying.replay(ledger.path, replayed, since, comparison, ZONE, lambda _: None)
        taken.append(time.perf_counter() - begin)
        assert done.studies == len(replayed)
    ledger.close()
    return Figures(decided[False], decided[True], count, taken[1], taken[0], sum(os.times()[:4]) - cpu)


def _before_all(ledger: Ledger, uids: list[str]) -> datetime:
    first = studies.get(ledger.database, uids[0])
    assert first is not None
    return first.first_received_at


def _decide(ledger: Ledger, uids: list[str], rules: list[Rule], *, traces: bool) -> Rate:
    """Decide on every study, from its rows on."""
    now = SystemClock().now()
    begin, cpu = time.perf_counter(), time.process_time()
    for uid in uids:
        study = studies.get(ledger.database, uid)
        assert study is not None
        kept = facts.columns_of_study(ledger.database, uid, study.revision)
        decisions = decide(rules, study_facts(study, kept, instances.arrivals(ledger.database, uid), now, ZONE))
        if traces:
            assert all(each.trace for each in decisions)
    return Rate(len(rules), len(rules) * len(uids), time.perf_counter() - begin, time.process_time() - cpu)


def show(figures: Figures) -> str:
    """What was decided and replayed, in words, and the rates in a table."""
    rows = [
        [
            f"{rate.rules:,}",
            f"{rate.per_second:,.0f}",
            f"{traced.per_second:,.0f}",
            f"{rate.cpu_seconds / rate.decisions * rate.rules * 1000:.1f}",
        ]
        for rate, traced in zip(figures.rates, figures.traced, strict=True)
    ]
    size = sum(count for count, _ in SERIES.values())
    return (
        f"CT studies of {size} instances in {len(SERIES)} series, read from the ledger, unpacked and decided anew;"
        " rates are of one core that does nothing else.\n\n"
        + table(["rules", "decisions/s", "with every trace", "ms a study"], rows)
        + f"\n\nReplay of {figures.replayed:,} such studies from {DAYS} days, {COUNT} rules against {COUNT} with 11"
        f" changed: {figures.replay_seconds:.1f} s on {len(os.sched_getaffinity(0))} cores,"
        f" {figures.replay_cpu_seconds:.1f} s of CPU."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(Path(scratch) / "rules", parser.parse_args().studies)))
