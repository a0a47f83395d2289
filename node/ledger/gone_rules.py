"""Jobs that are queued of rules that were disabled or removed: they are cancelled, with one alert a rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from node.ledger import alerts, jobs
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.job import JobStatus
from node.ledger.rows import placeholders, query

_RULE_GONE = 'the rule "{}" was disabled or removed before its turn came'


def queued(database: Database, rules: Collection[str]) -> list[tuple[str, str]]:
    """Id and rule of what is queued of rules that are not among these.

    Not what a person had done again since: that was asked for.
    """
    among = placeholders(rules)
    sql = f"SELECT id, rule FROM jobs WHERE status='queued' AND round=1 AND rule NOT IN ({among})"  # noqa: S608 - only question marks
    return [(row["id"], row["rule"]) for row in query(database, sql, [*rules])]


def cancel(database: Database, at: datetime, those: Sequence[tuple[str, str]], in_all: Mapping[str, int]) -> None:
    """Cancel these where they are still queued, with an alert for each rule of `in_all`: how many of it there are."""
    for job, rule in those:
        if jobs.get(database, job).status is JobStatus.QUEUED:
            jobs.cancel(database, at, job, _RULE_GONE.format(rule))
    for rule, count in in_all.items():
        reason = _RULE_GONE.format(rule)
        alerts.raised(database, at, AlertKind.RULE_JOBS_CANCELLED, rule, rule=rule, jobs=count, reason=reason)
