"""What the rules have done so far, as the facts that rules see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from node.ledger import rule_history, timers
from node.ledger.database import Database
from node.ledger.timers import TimerKind
from node.route.new_jobs import WHOLE_STUDY
from rules.facts import History
from rules.model import Rule


def history(database: Database, rules: Iterable[Rule], study: str, now: datetime, zone: ZoneInfo) -> dict[str, History]:
    """The history of each rule that asks for it, by name."""
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    asking = [rule for rule in rules if rule.limits or rule.once != "revision" or rule.wait]
    return {rule.name: _of(database, rule, study, midnight) for rule in asking}


def _of(database: Database, rule: Rule, study: str, midnight: datetime) -> History:
    done = rule_history.of_rule(
        database, rule.name, study, midnight, counted=rule.limits is not None, runs=bool(rule.run)
    )
    last = done.patient_last.astimezone(midnight.tzinfo) if done.patient_last else None
    subjects = frozenset(study if subject == WHOLE_STUDY else subject for subject in done.subjects)
    timer = timers.get(database, study, TimerKind.WAIT, rule.name) if rule.wait else None
    return History(
        done.enrolled,
        done.today,
        last,
        subjects,
        waiting_since=timer.since.astimezone(midnight.tzinfo) if timer else None,
        wait_ended=timer is not None and timer.ended_by is not None,
    )
