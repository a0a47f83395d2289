"""Figures over days: studies, jobs and failures a day, how long results took, and for how long the disk lasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from node.config.models import Configuration
from node.config.plugins import folded
from node.ledger import job_figures, workload
from node.ledger.database import Ledger
from node.ledger.job_figures import FailedJob, JobDuration
from node.store.health import load_of

_WEEK = 7


@dataclass(frozen=True, slots=True)
class SiteDay:
    """One day in the site's time zone."""

    day: date
    studies: int
    """That got their last image on it."""
    jobs: int
    """That ended on it, whatever the outcome."""
    failed: int
    """Of these, those that failed or could not be reported."""


@dataclass(frozen=True, slots=True)
class TurnaroundFigures:
    """How long results took, in seconds from the last image of the job."""

    rule: str
    plugin: str
    jobs: int
    made: Sequence[float]
    """Median, 90th and 95th percentile and longest, until the plugin had answered."""
    delivered: Sequence[float]
    """The same until destinations had accepted all objects; empty where none was sent."""


@dataclass(frozen=True, slots=True)
class FailureFigures:
    """How often what failed."""

    plugin: str
    rule: str
    reason: str
    times: int


@dataclass(frozen=True, slots=True)
class DiskFigures:
    """For how long the disk lasts, as the site sends now."""

    free_bytes: int
    """Beyond what has to stay free."""
    bytes_a_day: float | None
    """Images of the mean day of the last 7; None where nothing came."""

    @property
    def days(self) -> float | None:
        """Until it is full, if nothing were deleted."""
        return self.free_bytes / self.bytes_a_day if self.bytes_a_day else None


@dataclass(frozen=True)
class SiteFigures:
    """All of it."""

    days: Sequence[SiteDay]
    """The last one is today, which is not over."""
    turnaround: Sequence[TurnaroundFigures]
    failures: Sequence[FailureFigures]
    disk: DiskFigures


def look(ledger: Ledger, configuration: Configuration, now: datetime, days: int) -> SiteFigures:
    """Of this many days; each question is a snapshot of its own, so that none is long."""
    zone = configuration.node.zone
    today = now.astimezone(zone).date()
    dates = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    since = _midnight(dates[0], zone)
    with ledger.snapshot() as database:
        plugins = job_figures.plugins(database)
        failed = job_figures.failures(database, since)
    found_days = _days(ledger, plugins, dates, zone, failed)
    turnaround = []
    for plugin in plugins:
        with ledger.snapshot() as database:
            turnaround += _turnaround(plugin, job_figures.durations(database, plugin, since))
    return SiteFigures(found_days, turnaround, _failures(failed), _disk(ledger, configuration, now))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed (nearest rank); `values` are sorted and not none."""
    rank = -(-len(values) * share // 1)
    return values[max(0, int(rank) - 1)]


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _days(
    ledger: Ledger, plugins: Sequence[str], dates: Sequence[date], zone: tzinfo, failed: Sequence[FailedJob]
) -> list[SiteDay]:
    on = Counter(each.finished_at.astimezone(zone).date() for each in failed)
    found = []
    for day in dates:
        begins, ends = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        with ledger.snapshot() as database:
            studies = job_figures.studies(database, begins, ends)
            jobs = sum(job_figures.ended(database, plugin, begins, ends) for plugin in plugins)
        found.append(SiteDay(day, studies, jobs, on[day]))
    return found


def _turnaround(plugin: str, took: Sequence[JobDuration]) -> list[TurnaroundFigures]:
    by_rule: dict[str, list[JobDuration]] = {}
    for each in took:
        by_rule.setdefault(each.rule, []).append(each)
    return [
        TurnaroundFigures(
            rule,
            plugin,
            len(those),
            _percentiles([each.made for each in those]),
            _percentiles([each.delivered for each in those if each.delivered is not None]),
        )
        for rule, those in sorted(by_rule.items())
    ]


def _percentiles(seconds: Sequence[float]) -> list[float]:
    values = sorted(seconds)
    return [*(percentile(values, share) for share in (0.5, 0.9, 0.95)), values[-1]] if values else []


def _failures(failed: Sequence[FailedJob]) -> list[FailureFigures]:
    counted = Counter((folded(each.plugin), each.rule, each.reason) for each in failed)
    return [FailureFigures(*key, times) for key, times in counted.most_common()]


def _disk(ledger: Ledger, configuration: Configuration, now: datetime) -> DiskFigures:
    node = configuration.node
    free = max(0, load_of(node.data).free_bytes - node.limits.free_space)
    with ledger.snapshot() as database:
        site = workload.look(database, node.zone)
        studies = job_figures.studies(database, now - timedelta(days=_WEEK), now)
    if site is None or not studies:
        return DiskFigures(free, None)
    return DiskFigures(free, studies / _WEEK * site.images * site.image_bytes)


# --- as tables ------------------------------------------------------------------------------------

Table = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Names of columns, and rows."""
_PERCENTILES = ("median", "p90", "p95", "longest")


def tables(found: SiteFigures) -> Mapping[str, Table]:
    """The figures as tables for a spreadsheet: `days`, `turnaround` (seconds), `failures`."""
    columns = [f"{what}_{name}_seconds" for what in ("answer", "delivery") for name in _PERCENTILES]
    return {
        "days": (
            ("day", "studies", "jobs", "failed"),
            [(each.day.isoformat(), each.studies, each.jobs, each.failed) for each in found.days],
        ),
        "turnaround": (
            ("rule", "plugin", "jobs", *columns),
            [
                (each.rule, each.plugin, each.jobs, *_four(each.made), *_four(each.delivered))
                for each in found.turnaround
            ],
        ),
        "failures": (
            ("plugin", "rule", "reason", "times"),
            [(each.plugin, each.rule, each.reason, each.times) for each in found.failures],
        ),
    }


def _four(seconds: Sequence[float]) -> list[object]:
    return [round(each, 1) for each in seconds] if seconds else [""] * len(_PERCENTILES)
