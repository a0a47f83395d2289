"""What draft rules would have done with the studies of the last days, beside what those in force would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from node.config import loading
from node.config.models import Configuration
from node.config.plugins import folded
from node.desk.envelopes import SiteEnvelopes
from node.desk.site import open_ledger
from node.errors import UsageError
from node.ledger import attempts, studies
from node.ledger.database import FILE
from node.route import replay as replaying
from node.route.replay import DraftChange, OutsideKey, ReplayOutcome, RuleSetComparison, StudyDifference
from rules.model import Rule, rule_set_digest

__all__ = [
    "DraftChange",
    "PluginLoad",
    "ReplayPlan",
    "ReplayResult",
    "StudyDifference",
    "for_scripts",
    "outside",
    "plan",
    "plan_of",
    "run",
]


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """Which studies are checked against which rules."""

    configuration: Configuration
    comparison: RuleSetComparison
    digests: tuple[str, str]
    """Of the rules of the configuration, and of the draft."""
    studies: Sequence[str]
    """Study Instance UIDs."""
    since: datetime
    period: timedelta
    mean_seconds: Mapping[str, float]
    """How long the jobs of each plugin have taken."""


@dataclass(frozen=True, slots=True)
class PluginLoad:
    """How much a plugin is used."""

    plugin: str
    runs_now: int
    runs_draft: int
    open_now: int
    """Runs that hang on a result which nobody knows."""
    open_draft: int
    mean_seconds: float | None
    """Of its past jobs; None where there are none."""
    hours_a_day_now: float | None
    hours_a_day_draft: float | None
    refused_now: int
    """Runs that end as not applicable, because their images are outside of what it was validated on."""
    refused_draft: int


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What differs."""

    done: ReplayOutcome
    names: Sequence[str]
    since: datetime
    period: timedelta
    digests: tuple[str, str]
    plugins: Sequence[PluginLoad]


def plan(config: Path, configuration: Configuration, draft: Path, period: timedelta, at: datetime) -> ReplayPlan:
    """The studies that became complete in the period before `at`; `draft` is a file of rules, or a configuration.

    Raises UsageError, ConfigurationError, NotFoundError.
    """
    if not draft.is_file():
        raise UsageError(f"{draft}: there is no such file")
    return plan_of(configuration, loading.read_draft(config, draft), period, at)


def plan_of(configuration: Configuration, rules: Sequence[Rule], period: timedelta, at: datetime) -> ReplayPlan:
    """As `plan`, of rules that are read already. NotFoundError."""
    ledger = open_ledger(configuration)
    with ledger.snapshot() as database:
        uids = studies.completed_since(database, at - period)
        seconds = attempts.mean_seconds(database)
    digests = (rule_set_digest(configuration.rules), rule_set_digest(rules))
    comparison = RuleSetComparison(configuration.rules, rules, SiteEnvelopes(configuration).outside)
    return ReplayPlan(configuration, comparison, digests, uids, at - period, period, seconds)


def run(plan: ReplayPlan, advance: Callable[[int], None]) -> ReplayResult:
    """Check each study against both sets of rules; `advance` is called with how many more are done."""
    node = plan.configuration.node
    done = replaying.replay(node.data / FILE, plan.studies, plan.since, plan.comparison, node.zone, advance)
    used = _used(done, plan.mean_seconds, plan.period)
    return ReplayResult(done, plan.comparison.names, plan.since, plan.period, plan.digests, used)


def _used(done: ReplayOutcome, seconds: Mapping[str, float], period: timedelta) -> list[PluginLoad]:
    days = period / timedelta(days=1)
    now, draft = done.now, done.draft
    made = []
    for plugin in sorted({name for side in (now, draft) for name in (*side.runs, *side.open)}):
        mean = next((each for name, each in seconds.items() if folded(name) == plugin), None)
        a_day = None if mean is None else mean / 3600 / days
        made.append(
            PluginLoad(
                plugin,
                now.runs[plugin],
                draft.runs[plugin],
                now.open[plugin],
                draft.open[plugin],
                mean,
                None if a_day is None else now.runs[plugin] * a_day,
                None if a_day is None else draft.runs[plugin] * a_day,
                now.refused[plugin],
                draft.refused[plugin],
            )
        )
    return made


def outside(done: ReplayOutcome) -> list[tuple[OutsideKey, int, int]]:
    """Runs outside of what plugins were validated on, now and in the draft, the most first."""
    counts = (done.now.outside, done.draft.outside)
    keys = sorted({key for side in counts for key in side}, key=lambda key: (-max(side[key] for side in counts), key))
    return [(key, counts[0][key], counts[1][key]) for key in keys]


def for_scripts(result: ReplayResult) -> dict[str, Any]:
    """All of it with stable keys."""
    done = result.done
    return {
        "since": result.since,
        "days": result.period / timedelta(days=1),
        "studies": done.studies,
        "rule_set": result.digests[0],
        "draft_rule_set": result.digests[1],
        "rules": [
            {
                "rule": name,
                "now": done.now.matched[name],
                "draft": done.draft.matched[name],
                **{change.value: done.changes(name)[change] for change in DraftChange},
                "stopped_now": done.now.stopped[name],
                "stopped_draft": done.draft.stopped[name],
            }
            for name in result.names
        ],
        "plugins": [asdict(each) for each in result.plugins],
        "outside": [each._asdict() | {"now": now, "draft": draft} for each, now, draft in outside(result.done)],
        "differences": [asdict(each) for each in done.differences],
    }
