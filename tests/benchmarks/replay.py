"""Replay of a draft over recorded studies: from the ledger's rows to the difference.

    python -m tests.benchmarks.replay [--studies 500]

The studies and rules are those of `tests.benchmarks.rules`. In the draft one rule in ten is another: 100 rules against
100 with 10 changed are decided as 110.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from node.config.dictionary import DataDictionary
from node.route.replay import Comparison, replay
from rules.model import DICTIONARY, Rule
from tests.benchmarks.rules import ZONE, record, rules_of
from tests.support.job_site import Site

GOAL = 60.0
"""Seconds for 10,000 studies and 100 rules."""


def draft_of(rules: list[Rule]) -> list[Rule]:
    """Every tenth rule asks for another age."""
    return [_changed(rule) if number % 10 == 5 else rule for number, rule in enumerate(rules)]


def _changed(rule: Rule) -> Rule:
    plain = rule.model_dump(mode="json")
    plain["when"]["all"].append({"patient_age": {"below": 90}})
    return Rule.model_validate(plain, context={DICTIONARY: DataDictionary()})


def main(count: int = 500) -> float:
    """Measure and print seconds for 10,000 studies at this rate."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        uids = record(site, count)
        rules = rules_of(100)
        comparison = Comparison(rules, draft_of(rules))
        begin = time.perf_counter()
        done = replay(site.ledger.path, uids, comparison, ZONE, lambda _: None)
        seconds = time.perf_counter() - begin
        assert done.studies == count
    projected = seconds / count * 10_000
    print(f"100 rules, {count} studies: {seconds:.1f} s; 10,000 studies: {projected:.0f} s (goal {GOAL:.0f} s)")
    return projected


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    main(parser.parse_args().studies)
