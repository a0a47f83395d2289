"""Plugins as the one who runs a site sees them: what there is, how it does, what fails and why, and what it may use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median

from node.config import plugins as configured
from node.config.models import Configuration, PluginUse
from node.config.plugins import folded
from node.desk import names
from node.desk.names import StudyName
from node.errors import NotFoundError
from node.ledger import alerts, attempts, job_figures, jobs, pauses, plugin_versions, recalls, tallies
from node.ledger.alert_kinds import AlertKind
from node.ledger.alerts import Alert
from node.ledger.attempts import Attempt
from node.ledger.database import Database, Ledger
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.job_figures import FailedJob
from node.ledger.pauses import Pausable, Pause
from node.ledger.plugin_versions import PluginVersion
from node.ledger.recalls import Recall
from node.run import occupancy, waiting
from node.run.occupancy import Occupancy
from plugins.manifest import Manifest
from plugins.manifest_table import ManifestError

DAY, WEEK = timedelta(days=1), timedelta(days=7)
_ALERTS = frozenset({AlertKind.PLUGIN_FAILING, AlertKind.PLUGIN_NOT_COMMISSIONED})
_OPEN_ALERTS = 500
SHOWN = 50
"""Failed jobs that a page lists."""
_OWN_WORDS = "the plugin reported it"


class PluginHealth(StrEnum):
    """How a plugin does, the worst first."""

    UNUSABLE = "cannot be used"
    WITHDRAWN = "withdrawn"
    FAILING = "fails"
    NOT_LIVE = "examples failed"
    PAUSED = "paused"
    WORKING = "works"
    IDLE = "no jobs this week"
    UNUSED = "in no rule"


@dataclass(frozen=True)
class PluginCondition:
    """How things stand with one plugin."""

    name: str
    """As people and rules call it."""
    manifest: Manifest | None
    """None where it cannot be read, or is not here any more."""
    problem: str
    """Why it cannot be used; empty where it can."""
    use: PluginUse
    rules: Sequence[str]
    pause: Pause | None
    recalls: Sequence[Recall]
    """Versions that must not run."""
    alerts: Sequence[Alert]
    """Open ones: it fails, or its examples do."""
    queued: int
    under_way: Sequence[tuple[Job, Attempt]]
    waits: str
    """Why its queued jobs wait that could start."""
    day: Mapping[str, int]
    week: Mapping[str, int]
    """What came of its jobs of the last 24 hours and 7 days, by outcome."""
    seconds: float | None
    """Median of its jobs of the last 7 days, from the last image to the answer."""
    warm: int
    """Processes that have its model loaded and wait."""
    warm_bytes: int

    @property
    def version(self) -> str:
        """The one that is installed."""
        return self.manifest.identity.version if self.manifest else ""

    @property
    def health(self) -> PluginHealth:
        """In one word."""
        found = {each.kind for each in self.alerts}
        all_fail = bool(self.week) and self.week.keys() <= {JobOutcome.FAILED}
        states = (
            (bool(self.problem), PluginHealth.UNUSABLE),
            (any(each.version == self.version for each in self.recalls), PluginHealth.WITHDRAWN),
            (all_fail or AlertKind.PLUGIN_FAILING in found, PluginHealth.FAILING),
            (AlertKind.PLUGIN_NOT_COMMISSIONED in found, PluginHealth.NOT_LIVE),
            (self.pause is not None, PluginHealth.PAUSED),
            (bool(self.week) or bool(self.under_way), PluginHealth.WORKING),
            (not self.rules, PluginHealth.UNUSED),
        )
        return next((state for holds, state in states if holds), PluginHealth.IDLE)


@dataclass(frozen=True, slots=True)
class PluginFailures:
    """Why jobs of a plugin fail."""

    plugin: str
    reason: str
    """How the last attempt ended."""
    times: int
    last: FailedJob


@dataclass(frozen=True)
class PluginsView:
    """All plugins, and what they run on."""

    plugins: Sequence[PluginCondition]
    machine: Occupancy
    running: int
    """Jobs that run on this machine now."""
    failures: Sequence[PluginFailures]
    """Of the last 7 days, the most frequent first."""
    names: Mapping[str, StudyName]


@dataclass(frozen=True)
class PluginView:
    """One plugin."""

    standing: PluginCondition
    versions: Sequence[tuple[PluginVersion, datetime]]
    """That ran here, the newest first, and since when."""
    failures: Sequence[PluginFailures]
    failed: Sequence[FailedJob]
    """Of the last 7 days, the newest first."""
    days: Sequence[int]
    """Jobs that ended in each of the last 14 periods of 24 hours, the last one last."""
    names: Mapping[str, StudyName] = field(default_factory=dict)


def look(ledger: Ledger, configuration: Configuration, now: datetime) -> PluginsView:
    """All plugins: those of the site and of its rules, what ships with the node, and what has run here."""
    machine, waits = occupancy.noted(configuration.node.data), waiting.noted(configuration.node.data)
    with ledger.snapshot() as database:
        ran = job_figures.plugins(database)
        known = _known(configuration, ran)
        context = PluginLook(database, configuration, machine, waits, now)
        found = [context.standing(name) for name in known]
        failures = _reasons(job_figures.failures(database, now - WEEK))
        here = len(attempts.open_here(database))
        called = names.of(database, _studies(found, [each.last for each in failures]))
    order = list(PluginHealth)
    found.sort(key=lambda each: (order.index(each.health), each.name))
    return PluginsView(found, machine, here, failures, called)


def of_name(ledger: Ledger, configuration: Configuration, name: str, now: datetime) -> PluginView:
    """One plugin; NotFoundError."""
    machine, waits = occupancy.noted(configuration.node.data), waiting.noted(configuration.node.data)
    with ledger.snapshot() as database:
        ran = job_figures.plugins(database)
        if folded(name) not in {folded(each) for each in _known(configuration, ran)}:
            raise NotFoundError(f"there is no plugin {name}")
        found = PluginLook(database, configuration, machine, waits, now).standing(name)
        failed = [
            each for each in job_figures.failures(database, now - WEEK) if folded(each.plugin) == folded(found.name)
        ]
        called = [each for each in ran if folded(each) == folded(name)]
        days = [
            sum(job_figures.ended(database, each, now - DAY * back, now - DAY * (back - 1)) for each in called)
            for back in range(14, 0, -1)
        ]
        versions = plugin_versions.seen(database, name)
        studies = names.of(database, _studies([found], failed[:SHOWN]))
    return PluginView(found, versions, _reasons(failed), failed[:SHOWN], days, studies)


class PluginLook:
    """What is the same for all plugins of one look."""

    def __init__(
        self,
        database: Database,
        configuration: Configuration,
        machine: Occupancy,
        waits: Mapping[str, str],
        now: datetime,
    ) -> None:
        self._database, self._configuration = database, configuration
        self._machine, self._waits, self._now = machine, waits, now
        self._counts = tallies.by_place(database, "jobs")
        self._open = [(jobs.get(database, each.job), each) for each in attempts.all_open(database)]
        self._recalls = recalls.in_force(database)
        self._alerts = [each for each in alerts.open_ones(database, _OPEN_ALERTS) if each.kind in _ALERTS]

    def standing(self, name: str) -> PluginCondition:
        """Of the plugin of this name."""
        key, uses = folded(name), self._configuration.plugins
        use = next((each for known, each in uses.items() if folded(known) == key), PluginUse())
        called = [each for each in self._counts if folded(each) == key]
        manifest, problem = _manifest(name, self._configuration)
        paused = [each for each in pauses.every(self._database) if each.what is Pausable.PLUGIN]
        warm = [each for each in self._machine.warm if folded(each.plugin) == key]
        return PluginCondition(
            name=name,
            manifest=manifest,
            problem=problem,
            use=use,
            rules=[
                rule.name for rule in self._configuration.rules if any(folded(step.plugin) == key for step in rule.run)
            ],
            pause=next((each for each in paused if folded(each.name) == key), None),
            recalls=[each for each in self._recalls if folded(each.plugin) == key],
            alerts=[each for each in self._alerts if folded(each.place) == key],
            queued=sum(self._counts[each].get(JobStatus.QUEUED, 0) for each in called),
            under_way=[(job, each) for job, each in self._open if folded(job.plugin) == key],
            waits=next((why for each, why in self._waits.items() if each and folded(each) == key), ""),
            day=self._outcomes(called, DAY),
            week=self._outcomes(called, WEEK),
            seconds=self._median(called),
            warm=len(warm),
            warm_bytes=sum(each.memory for each in warm),
        )

    def _outcomes(self, called: Sequence[str], period: timedelta) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for each in called:
            found.update(job_figures.outcomes(self._database, each, self._now - period))
        return found

    def _median(self, called: Sequence[str]) -> float | None:
        since = self._now - WEEK
        took = [each for name in called for each in job_figures.answer_seconds(self._database, name, since)]
        return median(took) if took else None


def _known(configuration: Configuration, ran: Sequence[str]) -> list[str]:
    """Names, each once, as the configuration writes them where it does."""
    used = [step.plugin for rule in configuration.rules for step in rule.run]
    found: dict[str, str] = {}
    for name in (*configuration.plugins, *used, *configured.built_in(), *ran):
        found.setdefault(folded(name), name)
    return sorted(found.values())


def _manifest(name: str, configuration: Configuration) -> tuple[Manifest | None, str]:
    try:
        found = configured.manifest_of(name, configuration.plugins)
    except ManifestError as error:
        return None, str(error)
    return found, "" if found else "it is not installed"


def _reasons(failed: Sequence[FailedJob]) -> list[PluginFailures]:
    grouped: dict[tuple[str, str], list[FailedJob]] = {}
    for each in failed:
        grouped.setdefault((each.plugin, each.reason or _OWN_WORDS), []).append(each)
    found = [PluginFailures(*key, len(those), those[0]) for key, those in grouped.items()]
    return sorted(found, key=lambda each: -each.times)


def _studies(found: Sequence[PluginCondition], failed: Sequence[FailedJob]) -> set[str]:
    running = {job.study_instance_uid for each in found for job, _ in each.under_way}
    return running | {each.study_instance_uid for each in failed}
