"""The node and its queues at one moment, and what in it needs a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.clock import SystemClock
from node.config.models import Configuration, Destination
from node.desk import site
from node.desk.words import clock_text
from node.dicom import report_classes
from node.ledger import (
    commitments,
    decisions,
    defects,
    deliveries,
    events,
    fallbacks,
    fetches,
    forwards,
    instances,
    jobs,
    notifications,
    studies,
    timers,
)
from node.ledger.commitments import Commitment, CommitmentStatus
from node.ledger.database import Database, Ledger
from node.ledger.defects import Defect
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import FILES_CHECKED, FILES_MISSING, Event, Severity
from node.ledger.fallbacks import Fallbacks
from node.ledger.forwards import Standing
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job, JobStatus
from node.ledger.notifications import Notification, NotificationStatus
from node.ledger.studies import Series, Study
from node.ledger.timers import Timer
from node.store.health import Load, Trouble, cannot_write, failing, load_of, refusing_associations, trouble

if TYPE_CHECKING:
    from node.run.confinement import Confinement

SHOWN = 10
"""Lines of each list; `--json` has more."""
IN_JSON = 100
_NAMED = 3
"""Examples in a line at the top."""
LOW_SPACE = 5 * 2**30
"""Bytes of free space under the data folder below which `status` warns."""


@dataclass(frozen=True, slots=True)
class Work:
    """A study and what was done with it."""

    study: Study
    series: Sequence[Series]
    jobs: Sequence[Job]
    results: Sequence[Delivery]
    images: Sequence[Standing]


@dataclass(frozen=True)
class Found:
    """What `status` shows, read at one moment."""

    now: datetime
    running: Mapping[str, Any] | None
    """{"pid", "port", "tls_port"} of the node that runs."""
    load: Load
    unwritable: str | None
    """Why the data folder cannot be written now."""
    trouble: Trouble | None
    failing: Mapping[str, Trouble]
    """Stages that fail as a whole."""
    confinement: Confinement
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
    fallbacks: Mapping[str, Fallbacks]
    """Destinations that refuse the SOP class that is stated for their reports."""
    held_studies: Sequence[Study]
    held: Sequence[Delivery]
    dead: Sequence[Delivery]
    stuck: Sequence[Standing]
    """Held and dead images, by study and reason."""
    encoding: Sequence[tuple[Job, datetime]]
    """Jobs whose result is being made into objects, and since when."""
    troubled: Sequence[Job]
    waiting: Sequence[tuple[Timer, str | None]]
    """Rules that wait for more of a study, and what for."""
    notifications: Mapping[NotificationStatus, int]
    untold: Sequence[Notification]
    """Notifications that did not arrive, and why: it waits after a failure, or was given up."""
    commitments: Mapping[CommitmentStatus, int]
    unsettled: Sequence[Commitment]
    """Requests for storage commitment that wait for somebody, or could not be reported."""
    missing: Event | None
    """Files that rows name and that were not there after the last upgrade (`node.serve.upgrade`)."""
    defects: Sequence[Defect]
    """What unexpected errors stopped."""
    alerts: Sequence[Event]
    latest: Sequence[Work]
    standing: site.Standing


def look(ledger: Ledger, configuration: Configuration, standing: site.Standing) -> Found:
    """Read it, in one snapshot of the ledger."""
    running = site.running(configuration.node.data)
    confined = _confinement(configuration.node.data, running is not None)  # it may have to be tried, which takes time
    with ledger.snapshot() as database:
        return _look(database, configuration, standing, running, confined)


def _look(
    database: Database,
    configuration: Configuration,
    standing: site.Standing,
    running: Mapping[str, Any] | None,
    confined: Confinement,
) -> Found:
    data = configuration.node.data
    by_destination = deliveries.counts(database)
    held = studies.held(database)
    return Found(
        now=SystemClock().now(),
        running=running,
        load=load_of(data),
        unwritable=cannot_write(data),
        trouble=trouble(data),
        failing=failing(data),
        confinement=confined,
        studies=_counted(database) | {"held": len(held)},
        instances=instances.totals(database),
        jobs=jobs.counts(database),
        fetches=fetches.waiting(database),
        deliveries={name: by_destination.get(name, {}) for name in {**configuration.destinations, **by_destination}},
        images=forwards.counts(database),
        next_due={name: deliveries.next_due_at(database, name) for name in configuration.destinations},
        why_waiting={name: deliveries.why_waiting(database, name) for name in configuration.destinations},
        fallbacks=_fallbacks(database, configuration),
        held_studies=held,
        held=deliveries.with_status(database, (DeliveryStatus.HELD,), IN_JSON),
        dead=deliveries.with_status(database, (DeliveryStatus.DEAD,), IN_JSON),
        stuck=forwards.stuck(database),
        encoding=jobs.being_encoded(database),
        troubled=jobs.troubled(database, IN_JSON),
        waiting=[(each, _why(database, each)) for each in timers.waiting(database)[:IN_JSON]],
        notifications=notifications.counts(database),
        untold=_untold(database),
        commitments=commitments.counts(database),
        unsettled=_unsettled(database),
        missing=_missing(database),
        defects=defects.latest(database, SystemClock().now(), IN_JSON),
        alerts=events.latest(database, IN_JSON, (Severity.ALERT,)),
        latest=[_with_work(database, study) for study in studies.latest(database, SHOWN)],
        standing=standing,
    )


def _confinement(data: Path, running: bool) -> Confinement:
    """How plugins are confined: as the node that runs found it, else as this process would."""
    from node.run import confinement

    return (confinement.noted(data) if running else None) or confinement.tried()


def _fallbacks(database: Database, configuration: Configuration) -> dict[str, Fallbacks]:
    found = {
        name: fallbacks.of_destination(database, name, report_classes.SOP_CLASSES[destination.sr_class])
        for name, destination in configuration.destinations.items()
    }
    return {name: each for name, each in found.items() if each is not None}


def _counted(database: Database) -> dict[str, int]:
    """Studies by their status, and those that no rule has seen yet."""
    found = studies.counts(database)
    counted: dict[str, int] = {status: found.get(status, 0) for status in studies.StudyStatus}
    return counted | {"undecided": len(studies.undecided(database))}


def _why(database: Database, timer: Timer) -> str | None:
    """What a rule waits for."""
    return decisions.get(database, timer.decision).trace.get("why") if timer.decision else None


def _untold(database: Database) -> list[Notification]:
    unsent = notifications.with_status(database, notifications.UNSENT, IN_JSON)
    return [each for each in unsent if each.error or each.status is NotificationStatus.DEAD]


def _unsettled(database: Database) -> list[Commitment]:
    statuses = (CommitmentStatus.AT_ARCHIVE, CommitmentStatus.DECIDED, CommitmentStatus.DEAD)
    return [each for each in commitments.with_status(database, statuses, IN_JSON) if each.error]


def _missing(database: Database) -> Event | None:
    last = events.latest_of(database, (FILES_CHECKED, FILES_MISSING))
    return last if last is not None and last.kind == FILES_MISSING else None


def _with_work(database: Database, study: Study) -> Work:
    uid = study.study_instance_uid
    return Work(
        study,
        studies.series_of(database, uid),
        jobs.of_study(database, uid),
        deliveries.results_of_study(database, uid),
        forwards.of_study(database, uid),
    )


def _not_in_force(standing: site.Standing) -> Iterator[tuple[str, str]]:
    """What the file says and the node does not use."""
    if standing.headlines:
        more = f" (and {len(standing.headlines) - 1} more)" if len(standing.headlines) > 1 else ""
        yield (
            "alert",
            f"the changed configuration is refused, the previous rules stay in force (pacsnode check): "
            f"{standing.headlines[0]}{more}",
        )
    if standing.needs_restart:
        yield "warning", f"changed in the file, takes effect after a restart: {', '.join(standing.needs_restart)}"
    if standing.pending:
        yield "warning", "the file differs from what is in force: just saved, or refused (see Alerts)"


def warnings(found: Found, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """(severity, what) of everything that a person should know before the tables."""
    yield from _storage_warnings(found, configuration)
    if found.missing is not None:
        gone = found.missing.detail
        missing = f"{gone['images']} of images, {gone['results']} of results"
        examples = ", ".join(gone["examples"][:_NAMED])
        yield "alert", f"files that the ledger names were missing after the last upgrade: {missing}; such as {examples}"
    yield from _failing(found, configuration) if found.running is not None else ()
    yield from _not_in_force(found.standing) if found.running is not None else ()
    if found.confinement.severity:
        yield found.confinement.severity, found.confinement.text
    for name, destination in configuration.destinations.items():
        if destination.identity_check == "none":
            yield "warning", f"{name}: results are sent without an identity check (identity_check: none)"
        if refusal := found.fallbacks.get(name):
            yield "warning", _refused_class(name, destination, refusal)
    for name in sorted((found.deliveries.keys() | found.images.keys()) - configuration.destinations.keys()):
        both = (found.deliveries.get(name, {}), found.images.get(name, {}))
        waiting = sum(counts.get(DeliveryStatus.WAITING, 0) for counts in both)
        if waiting:
            yield "warning", f"{name}: {waiting} deliveries wait for a destination that the configuration no longer has"
    if configuration.node.accept == "any":
        yield "warning", "any calling AE title may send (accept: any)"


def _failing(found: Found, configuration: Configuration) -> Iterator[tuple[str, str]]:
    for name, each in found.failing.items():
        since = clock_text(each.at, configuration.node.zone, found.now)
        yield "alert", f"{name} has failed repeatedly since {since} and does no work: {each.reason}"


def _refused_class(name: str, destination: Destination, found: Fallbacks) -> str:
    stated, used = report_classes.NAMES[destination.sr_class], report_classes.name_of(found.sop_class_uid)
    reports = "a report was" if found.reports == 1 else f"{found.reports} reports were"
    remedy = fallbacks.remedy(name, found.sop_class_uid, stated)
    return f"{name} refuses {stated} (sr_class: {destination.sr_class}): {reports} re-encoded as {used}; {remedy}"


def _storage_warnings(found: Found, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """What keeps the node from receiving, or soon will."""
    node = configuration.node
    refusing = refusing_associations(found.load, node.limits)
    free = found.load.free_bytes
    if refusing:
        yield "alert", f"associations are refused: {refusing} (node.limits)"
    elif free < max(LOW_SPACE, 2 * node.limits.free_space):
        yield "alert", f"only {free / 2**30:.1f} GiB are free under {node.data}"
    if found.unwritable:
        yield "alert", f"nothing can be received: {node.data} cannot be written ({found.unwritable})"
    elif found.trouble:
        when = clock_text(found.trouble.at, node.zone, found.now)
        yield "alert", f"what was received {when} could not be written ({found.trouble.reason})"
