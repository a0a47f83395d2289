"""What this release decides of the last week's studies, beside what was decided then: run by the newer release.

    python -m node.release.redeciding CONFIG LEDGER DAYS

The facts that rules saw are in the ledger. Each decision of a rule set that is still the configuration's is made again.
Left out are rules that wait, and those with `limits` or `once`, whose answer depends on what was done before.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

from node.clock import SystemClock
from node.config import loading
from node.config.models import Configuration
from node.errors import NodeError
from node.ledger import decisions, studies
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.decisions import DecisionOutcome, StoredDecision
from node.route.recorded import recorded_facts
from node.route.simulated import counts
from rules.engine import decide
from rules.model import rule_set_digest

_MATCHED = (DecisionOutcome.MATCHED, DecisionOutcome.UNCHANGED)


@dataclass
class RedecidedWeek:
    """What came of it."""

    studies: int = 0
    compared: int = 0
    """Decisions that were made again."""
    by_other_rules: int = 0
    """Decisions of an earlier version of the site's own rules."""
    differences: list[str] = field(default_factory=list)
    """Study, rule, and what differs."""


def redecide(configuration: Configuration, ledger: Ledger, days: int) -> RedecidedWeek:
    """Decide every study again that was complete in these days."""
    found, digest = RedecidedWeek(), rule_set_digest(configuration.rules)
    with ledger.reading() as database:
        uids = studies.completed_since(database, SystemClock().now() - timedelta(days=days))
    for uid in uids:
        with ledger.snapshot() as database:
            _study(database, configuration, uid, digest, found)
    return found


def _study(database: Database, configuration: Configuration, uid: str, digest: str, found: RedecidedWeek) -> None:
    row = studies.get(database, uid)
    if row is None:
        return
    found.studies += 1
    recorded = _at_completion(decisions.of_study(database, uid), row.revision)
    ours = {rule: each for rule, each in recorded.items() if each.rule_set == digest}
    found.by_other_rules += len(recorded) - len(ours)
    if not ours:
        return
    facts = recorded_facts(database, row, configuration.node.zone)
    for now in decide(tuple(rule for rule in configuration.rules if rule.enabled), facts):
        then = ours.get(now.rule.name)
        if then is None or now.waits_until or then.outcome is DecisionOutcome.WAITING or counts(now.rule):
            continue
        found.compared += 1
        if now.matched != (then.outcome in _MATCHED):
            was, is_now = ("matched", "does not match") if not now.matched else ("did not match", "matches")
            found.differences.append(f"study {uid}: rule {now.rule.name} {was}, and {is_now}")


def _at_completion(recorded: list[StoredDecision], revision: int) -> dict[str, StoredDecision]:
    """The decision of each rule when the newest revision was complete."""
    return {each.rule: each for each in recorded if each.revision == revision and each.look == 0}


def main(arguments: list[str]) -> int:
    """Print what came of it, as JSON; exit code 1 with the reason."""
    config, file, days = arguments
    try:
        with closing(Ledger.existing(Path(file))) as ledger:
            found = redecide(loading.read(Path(config)).configuration, ledger, int(days))
    except NodeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
