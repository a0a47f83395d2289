"""The node and its queues at one moment."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import boxes, callers, destinations, names, services, site
from node.desk.boxes import BoxCondition
from node.desk.destinations import HoldUp
from node.desk.names import StudyName
from node.desk.services import ServiceCondition
from node.dicom import report_classes
from node.ledger import (
    alerts,
    attempts,
    backups,
    commitment_counts,
    commitment_refusers,
    commitments,
    decisions,
    defects,
    deliveries,
    earlier_results,
    encoding_queue,
    fallbacks,
    fetches,
    file_checks,
    forwards,
    instances,
    jobs,
    notifications,
    pauses,
    recalls,
    refused_callers,
    reindexings,
    studies,
    study_ends,
    timers,
    turns,
    withdrawals,
)
from node.ledger.alerts import Alert
from node.ledger.attempts import Attempt
from node.ledger.backups import Backup
from node.ledger.commitment import Commitment, CommitmentStatus
from node.ledger.commitment_counts import CommitmentCounts
from node.ledger.commitment_refusers import CommitmentRefuser
from node.ledger.database import Database, Ledger
from node.ledger.defects import Defect
from node.ledger.delivery import Delivery, DeliveryKind, DeliveryStatus
from node.ledger.earlier_results import EarlierResults
from node.ledger.fallbacks import Fallbacks
from node.ledger.file_checks import FileCheck
from node.ledger.forwards import ImageCount
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobStatus
from node.ledger.notifications import Notification, NotificationStatus
from node.ledger.pauses import Pause
from node.ledger.recalls import Recall
from node.ledger.reindexings import Reindexing
from node.ledger.studies import Series, Study
from node.ledger.timers import Timer
from node.ledger.withdrawals import Withdrawals, WithdrawalStatus
from node.run import waiting
from node.store.callers import Caller, RefusedCaller, open_callers
from node.store.health import Load, Trouble, cannot_write, failing, load_of, trouble
from node.store.resolved import ResolvedHost, ResolvedHosts

if TYPE_CHECKING:
    from node.run.confinement import Confinement

SHOWN = 10
"""Lines of each list; `--json` has more."""
IN_JSON = 100
_LATELY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Work:
    """A study and what was done with it."""

    study: Study
    series: Sequence[Series]
    jobs: Sequence[Job]
    results: Sequence[Delivery]
    images: Sequence[ImageCount]


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """Whether the node runs, and what keeps it from its work."""

    running: Mapping[str, Any] | None
    """{"pid", "port", "tls_port"} of the node that runs."""
    load: Load
    unwritable: str | None
    """Why the data folder cannot be written now."""
    trouble: Trouble | None
    failing: Mapping[str, Trouble]
    """Stages that fail as a whole."""
    confinement: Confinement
    callers: Mapping[Caller, int]
    """Open associations by calling AE title and address."""
    waits: Mapping[str, str]
    """Plugin → why jobs of it wait that could start; "" for all others. See `node.run.waiting`."""


@dataclass(frozen=True, slots=True)
class Attention:
    """What needs a person, or did."""

    held_studies: Sequence[Study]
    held: Sequence[Delivery]
    dead: Sequence[Delivery]
    stuck: Sequence[ImageCount]
    """Held and dead images, by study and reason."""
    to_withdraw: Sequence[Withdrawals]
    """What was delivered and turned out wrong, by study and destination."""
    untold: Sequence[Notification]
    """Notifications that did not arrive, and why: it waits after a failure, or was given up."""
    unsettled: Sequence[Commitment]
    """Requests for storage commitment that wait for somebody, or could not be reported."""
    pauses: Sequence[Pause]
    """What a person has paused, or a stop rule suspended."""
    withdrawn: Sequence[tuple[Recall, Mapping[WithdrawalStatus, int]]]
    """Versions of plugins that must not run, and how far their results are withdrawn."""
    missing: FileCheck | None
    """Files that rows name and that were not there after the last upgrade (`node.serve.upgrade`)."""
    behind: Reindexing | None
    """The store holds images that the ledger does not know, and that are indexed again (`node.serve.lost_ledger`)."""
    last_backup: Backup | None
    """The newest backup that is whole."""
    perhaps_sent: Sequence[EarlierResults]
    """What destinations may have from before a restore: a person has to say."""
    defects: Sequence[Defect]
    """What unexpected errors stopped."""
    alerts: Sequence[Alert]
    """Those that are open."""
    refused: Sequence[tuple[RefusedCaller, str]]
    """Callers that were refused in the last 24 hours, and what to enter for them."""


@dataclass(frozen=True, slots=True)
class DestinationCommitments:
    """How far destinations have committed themselves to what was delivered; without those that are not asked to."""

    results: Mapping[str, CommitmentCounts]
    images: Mapping[str, CommitmentCounts]
    refusers: Sequence[CommitmentRefuser]
    """Destinations that should be asked and do not accept that."""


@dataclass(frozen=True)
class Overview:
    """What `status` shows, read at one moment."""

    now: datetime
    health: NodeHealth
    attention: Attention
    studies: Mapping[str, int]
    instances: Mapping[InstanceStatus, int]
    jobs: Mapping[JobStatus, int]
    fetches: int
    """Earlier studies that are being fetched; the jobs that are to get them wait."""
    deliveries: Mapping[str, Mapping[DeliveryStatus, int]]
    images: Mapping[str, Mapping[DeliveryStatus, int]]
    """Received images that rules forward, by destination."""
    next_due: Mapping[str, datetime | None]
    why_waiting: Mapping[str, str | None]
    hold_ups: Mapping[str, Sequence[HoldUp]]
    """What keeps things from being sent to a destination."""
    fallbacks: Mapping[str, Fallbacks]
    """Destinations that refuse the SOP class that is stated for their reports."""
    encoding: Sequence[tuple[Job, datetime]]
    """Jobs whose result is being made into objects, and since when."""
    under_way: Sequence[Job]
    """Jobs with an open attempt, the one that began first at the top."""
    troubled: Sequence[Job]
    waiting: Sequence[tuple[Timer, str | None]]
    """Rules that wait for more of a study, and what for."""
    notifications: Mapping[NotificationStatus, int]
    commitments: Mapping[CommitmentStatus, int]
    kept: DestinationCommitments
    seen: Sequence[Caller]
    """Who sent objects in the last week."""
    hosts: Mapping[str, ResolvedHost]
    """Names of hosts of destinations, as receivers last resolved them."""
    latest: Sequence[Work]
    boxes: Sequence[BoxCondition]
    """Vendors' boxes, in the order of the configuration."""
    services: Sequence[ServiceCondition]
    """Web services, in the order of the configuration."""
    ended: Collection[str]
    """Studies that a person wants to be completed now."""
    standing: site.SiteConfiguration
    attempts: Mapping[str, Attempt] = field(default_factory=dict)
    """The last attempt at each job that is under way or in trouble, by job."""
    names: Mapping[str, StudyName] = field(default_factory=dict)
    """Of every study that a list names, by its UID."""


def look(ledger: Ledger, configuration: Configuration, standing: site.SiteConfiguration) -> Overview:
    """Read it, in one snapshot of the ledger."""
    running = site.running(configuration.node.data)
    confined = _confinement(configuration)  # it may have to be tried, which takes time
    with ledger.snapshot() as database:
        return _look(database, configuration, standing, running, confined)


def _look(
    database: Database,
    configuration: Configuration,
    standing: site.SiteConfiguration,
    running: Mapping[str, Any] | None,
    confined: Confinement,
) -> Overview:
    data, now = configuration.node.data, SystemClock().now()
    hold_ups = destinations.hold_ups(database, configuration, now)
    found = Overview(
        now=now,
        health=_health(data, running, confined),
        attention=_attention(database, configuration, now),
        studies=_counted(database),
        instances=instances.totals(database),
        jobs=jobs.counts(database),
        fetches=fetches.waiting(database),
        deliveries=_results(database, configuration),
        images=forwards.counts(database),
        next_due=_next_due(database, configuration, hold_ups),
        why_waiting={name: turns.why_waiting(database, name) for name in configuration.destinations},
        hold_ups=hold_ups,
        fallbacks=_fallbacks(database, configuration),
        encoding=encoding_queue.being_encoded(database),
        under_way=[jobs.get(database, each.job) for each in attempts.all_open(database)],
        troubled=jobs.troubled(database, IN_JSON),
        waiting=[(each, _why(database, each)) for each in timers.waiting(database)[:IN_JSON]],
        notifications=notifications.counts(database),
        commitments=commitments.counts(database),
        kept=_kept(database),
        seen=instances.callers_of_late(database, now - _LATELY),
        hosts=ResolvedHosts(data).read(),
        latest=[_with_work(database, study) for study in studies.latest(database, SHOWN)],
        boxes=boxes.standing(database, configuration.boxes),
        services=services.standing(database, configuration.services),
        ended=study_ends.asked(database).keys(),
        standing=standing,
    )
    last = _last_attempts(database, (*found.under_way, *found.troubled))
    return replace(found, attempts=last, names=names.of(database, set(_named(found))))


def _results(database: Database, configuration: Configuration) -> dict[str, Mapping[DeliveryStatus, int]]:
    """How many results are in which state: for each destination, also for one that the configuration no longer has."""
    found = deliveries.counts(database)
    return {name: found.get(name, {}) for name in {**configuration.destinations, **found}}


def _next_due(
    database: Database, configuration: Configuration, hold_ups: Mapping[str, Sequence[HoldUp]]
) -> dict[str, datetime | None]:
    """When something is sent to each destination next."""
    due = {name: turns.next_due_at(database, name) for name in configuration.destinations}
    return {name: destinations.next_try(at, hold_ups.get(name, ())) for name, at in due.items()}


def _health(data: Path, running: Mapping[str, Any] | None, confined: Confinement) -> NodeHealth:
    return NodeHealth(
        running=running,
        load=load_of(data),
        unwritable=cannot_write(data),
        trouble=trouble(data),
        failing=failing(data),
        confinement=confined,
        callers=open_callers(data / "associations") if running is not None else {},
        waits=waiting.noted(data) if running is not None else {},
    )


def _attention(database: Database, configuration: Configuration, now: datetime) -> Attention:
    return Attention(
        held_studies=studies.held(database),
        held=deliveries.with_status(database, DeliveryStatus.HELD, IN_JSON),
        dead=deliveries.with_status(database, DeliveryStatus.DEAD, IN_JSON),
        stuck=forwards.stuck(database),
        to_withdraw=withdrawals.listed(database),
        untold=_untold(database),
        unsettled=_unsettled(database),
        pauses=pauses.every(database),
        withdrawn=[(each, withdrawals.counts_of_recall(database, each.id)) for each in recalls.in_force(database)],
        missing=_missing(database),
        behind=reindexings.under_way(database),
        last_backup=backups.last_made(database),
        perhaps_sent=earlier_results.questions(database),
        defects=defects.latest(database, now, IN_JSON),
        alerts=alerts.open_ones(database, IN_JSON),
        refused=_refused(database, configuration),
    )


def _named(found: Overview) -> Iterator[str]:
    """The studies that lists name."""
    yield from (each.study_instance_uid for each in found.attention.held_studies)
    yield from (each.study_instance_uid for each in found.attention.stuck)
    yield from (each.study_instance_uid for each in (*found.attention.held, *found.attention.dead))
    yield from (each.study_instance_uid for each in (*found.under_way, *found.troubled))
    yield from (job.study_instance_uid for job, _ in found.encoding)
    yield from (timer.study_instance_uid for timer, _ in found.waiting)
    yield from (each.study_instance_uid for each in found.attention.untold if each.study_instance_uid)
    yield from (each.study_instance_uid for each in found.attention.defects if each.study_instance_uid)
    yield from (each.study for each in found.attention.alerts if each.study)


def _confinement(configuration: Configuration) -> Confinement:
    """How plugins are confined: as the node that runs or ran last found it; before the first, as this process would."""
    from node.run import confinement

    return confinement.noted(configuration.node.data) or confinement.tried(configuration)


def _fallbacks(database: Database, configuration: Configuration) -> dict[str, Fallbacks]:
    found = {
        name: fallbacks.of_destination(database, name, report_classes.SOP_CLASSES[destination.encoding.sr_class])
        for name, destination in configuration.destinations.items()
    }
    return {name: each for name, each in found.items() if each is not None}


def _last_attempts(database: Database, about: Sequence[Job]) -> dict[str, Attempt]:
    found = ((job.id, attempts.last_of(database, job.id)) for job in about)
    return {job: attempt for job, attempt in found if attempt is not None}


def _counted(database: Database) -> dict[str, int]:
    """Studies by their status, those that are held, and those that no rule has seen yet."""
    found = studies.counts(database)
    counted: dict[str, int] = {status: found.get(status, 0) for status in studies.StudyStatus}
    return counted | {"held": len(studies.held(database)), "undecided": len(studies.undecided(database))}


def _refused(database: Database, configuration: Configuration) -> list[tuple[RefusedCaller, str]]:
    found = refused_callers.recent(database, SystemClock().now(), IN_JSON)
    return [(each, callers.to_enter(each, configuration)) for each in found]


def _why(database: Database, timer: Timer) -> str | None:
    """What a rule waits for."""
    return decisions.get(database, timer.decision).trace.get("why") if timer.decision else None


def _untold(database: Database) -> list[Notification]:
    unsent = notifications.with_status(database, notifications.UNSENT, IN_JSON)
    return [each for each in unsent if each.error or each.status is NotificationStatus.DEAD]


def _unsettled(database: Database) -> list[Commitment]:
    statuses = (CommitmentStatus.AT_ARCHIVE, CommitmentStatus.DECIDED, CommitmentStatus.DEAD)
    return [each for each in commitments.with_status(database, statuses, IN_JSON) if each.error]


def _kept(database: Database) -> DestinationCommitments:
    return DestinationCommitments(
        results=commitment_counts.by_destination(database, DeliveryKind.OBJECT),
        images=commitment_counts.by_destination(database, DeliveryKind.IMAGE),
        refusers=commitment_refusers.every(database),
    )


def _missing(database: Database) -> FileCheck | None:
    last = file_checks.last(database)
    return last if last is not None and last.images + last.results else None


def _with_work(database: Database, study: Study) -> Work:
    uid = study.study_instance_uid
    return Work(
        study,
        studies.series_of(database, uid),
        jobs.of_study(database, uid),
        deliveries.results_of_study(database, uid),
        forwards.of_study(database, uid),
    )
