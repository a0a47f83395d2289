"""`pacsnode status`: is it running, what waits where, what went wrong, what arrived last."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from node.cli import output, plain, site
from node.cli.output import cell, clock_text, short, table, tail
from node.clock import SystemClock
from node.config.models import Configuration
from node.health import Load, Trouble, cannot_write, load_of, refusing_associations, trouble
from node.ledger import deliveries, events, instances, jobs, studies
from node.ledger.database import Database
from node.ledger.deliveries import Delivery, DeliveryStatus
from node.ledger.events import Event, Severity
from node.ledger.instances import InstanceStatus
from node.ledger.jobs import Job, JobStatus
from node.ledger.studies import Series, Study
from rules.model import rule_set_digest

_UID = re.compile(r"[0-9.]{20,64}")
SHOWN = 10
"""Lines of each list; `--json` has more."""
IN_JSON = 100
LOW_SPACE = 5 * 2**30
"""Bytes of free space under the data folder below which `status` warns."""


def status(
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    identify: Annotated[
        bool, typer.Option("--identify", help="Show the Patient ID of studies too; it is left out by default.")
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """Show queues, the last studies, failures, what is held, and health; works while the node is stopped, too.

    Patients' names are never shown. Studies are found by accession number, or by the end of their UID.
    """
    standing = site.standing(config)
    configuration = standing.configuration
    ledger = site.open_ledger(configuration)
    with ledger.reading() as database:
        found = _look(database, configuration, standing)
    if as_json:
        output.as_json(_plain(found, configuration, identify))
    else:
        _print(found, configuration, identify)


@dataclass(frozen=True)
class _Found:
    """What `status` shows, read at one moment."""

    now: datetime
    running: Mapping[str, Any] | None
    """{"pid", "port", "tls_port"} of the node that runs."""
    load: Load
    unwritable: str | None
    """Why the data folder cannot be written now."""
    trouble: Trouble | None
    isolation: str
    isolated: bool
    studies: Mapping[str, int]
    instances: Mapping[InstanceStatus, int]
    jobs: Mapping[JobStatus, int]
    deliveries: Mapping[str, Mapping[DeliveryStatus, int]]
    next_due: Mapping[str, datetime | None]
    why_waiting: Mapping[str, str | None]
    held_studies: Sequence[Study]
    held: Sequence[Delivery]
    dead: Sequence[Delivery]
    troubled: Sequence[Job]
    alerts: Sequence[Event]
    latest: Sequence[tuple[Study, Sequence[Series], Sequence[Job], Sequence[Delivery]]]
    standing: site.Standing


def _look(database: Database, configuration: Configuration, standing: site.Standing) -> _Found:
    from node.run.sandbox import isolation

    data = configuration.node.data
    confinement = isolation()
    by_destination = deliveries.counts(database)
    held = studies.held(database)
    by_status = studies.counts(database)
    return _Found(
        now=SystemClock().now(),
        running=site.running(data),
        load=load_of(data),
        unwritable=cannot_write(data),
        trouble=trouble(data),
        isolation=str(confinement),
        isolated=confinement.sandbox is not None,
        studies={
            **{status: by_status.get(status, 0) for status in studies.StudyStatus},
            "undecided": len(studies.undecided(database)),
            "held": len(held),
        },
        instances=instances.totals(database),
        jobs=jobs.counts(database),
        deliveries={name: by_destination.get(name, {}) for name in {**configuration.destinations, **by_destination}},
        next_due={name: deliveries.next_due_at(database, name) for name in configuration.destinations},
        why_waiting={name: deliveries.why_waiting(database, name) for name in configuration.destinations},
        held_studies=held,
        held=deliveries.with_status(database, (DeliveryStatus.HELD,), IN_JSON),
        dead=deliveries.with_status(database, (DeliveryStatus.DEAD,), IN_JSON),
        troubled=jobs.troubled(database, IN_JSON),
        alerts=events.latest(database, IN_JSON, (Severity.ALERT,)),
        latest=[_with_work(database, study) for study in studies.latest(database, SHOWN)],
        standing=standing,
    )


def _with_work(database: Database, study: Study) -> tuple[Study, Sequence[Series], Sequence[Job], Sequence[Delivery]]:
    uid = study.study_instance_uid
    return study, studies.series_of(database, uid), jobs.of_study(database, uid), deliveries.of_study(database, uid)


# --- for scripts ---------------------------------------------------------------------------------


def _plain(found: _Found, configuration: Configuration, identify: bool) -> dict[str, Any]:
    return {
        "running": found.running is not None,
        "process": found.running,
        "ae_title": configuration.node.ae_title,
        "data": str(configuration.node.data),
        "health": {
            "free_bytes": found.load.free_bytes,
            "refusing_associations": refusing_associations(found.load, configuration.node.limits),
            "cannot_write": found.unwritable,
            "isolated": found.isolated,
            "isolation": found.isolation,
            "warnings": [text for _, text in _warnings(found, configuration)],
        },
        "rules": _plain_rules(found.standing),
        "queues": _plain_queues(found),
        "held_studies": [plain.study(study, identify=identify) for study in found.held_studies[:IN_JSON]],
        "held_deliveries": [plain.delivery(each) for each in found.held],
        "dead_letters": [plain.delivery(each) for each in found.dead],
        "failures": [plain.job(job) for job in found.troubled],
        "alerts": [plain.event(event) for event in found.alerts],
        "studies": [
            {
                **plain.study(study, identify=identify),
                "modalities": sorted({each.modality for each in series}),
                "instances": sum(each.instances for each in series),
                "jobs": [plain.job(job) for job in work],
                "deliveries": [plain.delivery(delivery) for delivery in sent],
            }
            for study, series, work, sent in found.latest
        ],
    }


def _plain_rules(standing: site.Standing) -> dict[str, Any]:
    """What is in force, and what stands between it and the file."""
    running = standing.running
    return {
        "version": rule_set_digest(standing.configuration.rules),
        "names": [rule.name for rule in standing.configuration.rules],
        "since": running.since if running else None,
        "by": running.by if running else None,
        "refused": standing.headlines,
        "needs_restart": standing.needs_restart,
        "to_be_taken_up": standing.pending,
    }


def _plain_queues(found: _Found) -> dict[str, Any]:
    return {
        "incoming": found.load.waiting,
        "studies": found.studies,
        "instances": {status.value: found.instances.get(status, 0) for status in InstanceStatus},
        "jobs": {status.value: found.jobs.get(status, 0) for status in JobStatus},
        "deliveries": {
            name: {
                "next_due_at": found.next_due.get(name),
                "why_waiting": found.why_waiting.get(name),
                **{status.value: counts.get(status, 0) for status in DeliveryStatus},
            }
            for name, counts in found.deliveries.items()
        },
    }


# --- for people ----------------------------------------------------------------------------------


def _print(found: _Found, configuration: Configuration, identify: bool) -> None:
    zone = configuration.node.zone
    parts: list[RenderableType] = [_headline(found, configuration)]
    parts += [cell(f"! {text}", output.SEVERITY_STYLES[severity]) for severity, text in _warnings(found, configuration)]
    parts += [Text(), _queues(found), *_outbox(found)]
    parts += [part for part in _attention(found, zone) if part is not None]
    parts += _latest(found, zone, identify)
    console: Console = output.console()
    console.print(Group(*parts))


def _headline(found: _Found, configuration: Configuration) -> Text:
    title = configuration.node.ae_title
    if found.running is None:
        return cell(f"{title} is not running; this is what its ledger holds", "bold yellow")
    port, tls = found.running.get("port"), found.running.get("tls_port")
    runs = f"{title} runs (process {found.running['pid']}), port {port}{f', TLS {tls}' if tls else ''}"
    return Text.assemble((runs, "bold green"), f"; {_rules(found, configuration)}")


def _rules(found: _Found, configuration: Configuration) -> str:
    """`3 rules, version 1f2e3d4c since 13:30:02`."""
    running, count = found.standing.running, len(configuration.rules)
    since = f" since {clock_text(running.since, configuration.node.zone, found.now)}" if running else ""
    number = {0: "no rules", 1: "1 rule"}.get(count, f"{count} rules")
    return f"{number}, version {rule_set_digest(configuration.rules)[:8]}{since}"


def _not_in_force(standing: site.Standing) -> Iterator[tuple[str, str]]:
    """What stands in the file and is not what the node goes by."""
    if standing.headlines:
        more = f" (and {len(standing.headlines) - 1} more)" if len(standing.headlines) > 1 else ""
        yield (
            "alert",
            f"the changed configuration is refused, the rules as they were stay in force (pacsnode check): "
            f"{standing.headlines[0]}{more}",
        )
    if standing.needs_restart:
        yield "warning", f"changed in the file, taken up only by a restart: {', '.join(standing.needs_restart)}"
    if standing.pending:
        yield "warning", "the rules in the file are not those in force: just saved, or refused (Alerts say why)"


def _warnings(found: _Found, configuration: Configuration) -> Iterator[tuple[str, str]]:
    yield from _storage_warnings(found, configuration)
    yield from _not_in_force(found.standing) if found.running is not None else ()
    if not found.isolated:
        yield "warning", found.isolation
    for name, destination in configuration.destinations.items():
        if destination.identity_check == "none":
            yield "warning", f"{name}: results are sent without asking whose study it is (identity_check: none)"
    for name in sorted(found.deliveries.keys() - configuration.destinations.keys()):
        waiting = found.deliveries[name].get(DeliveryStatus.WAITING, 0)
        if waiting:
            yield "warning", f"{name}: {waiting} deliveries wait for a destination that the configuration no longer has"
    if configuration.node.accept == "any":
        yield "warning", "any calling AE title may send (accept: any)"


def _storage_warnings(found: _Found, configuration: Configuration) -> Iterator[tuple[str, str]]:
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


def _queues(found: _Found) -> RenderableType:
    quarantined = found.instances.get(InstanceStatus.CONFLICT, 0) + found.instances.get(InstanceStatus.CORRECTION, 0)
    unreadable = found.instances.get(InstanceStatus.UNREADABLE, 0)
    rows = [
        (
            "objects",
            f"{found.load.waiting} to be indexed",
            _if(quarantined, "set aside"),
            _if(unreadable, "unreadable"),
        ),
        (
            "studies",
            f"{found.studies['receiving']} arriving",
            _if(found.studies["undecided"], "to be decided"),
            _if(found.studies["held"], "held"),
        ),
        (
            "jobs",
            f"{found.jobs.get(JobStatus.QUEUED, 0)} queued",
            f"{found.jobs.get(JobStatus.RUNNING, 0)} running",
            _if(found.jobs.get(JobStatus.ENDED, 0), "to be reported"),
            _if(found.jobs.get(JobStatus.UNREPORTABLE, 0), "not reportable"),
        ),
    ]
    lines = [Text.assemble((f"{name:<9}", "bold"), ", ".join(part for part in parts if part)) for name, *parts in rows]
    return Group(*lines)


def _if(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def _outbox(found: _Found) -> list[RenderableType]:
    columns = (DeliveryStatus.WAITING, DeliveryStatus.SENDING, DeliveryStatus.DELIVERED, DeliveryStatus.HELD)
    rows = []
    for name, counts in found.deliveries.items():
        due = found.next_due.get(name)
        wait = "" if due is None else "now" if due <= found.now else f"in {output.ago(due - found.now)}"
        dead = counts.get(DeliveryStatus.DEAD, 0)
        counted = [cell(counts.get(status, 0)) for status in columns]
        rows.append([cell(name), *counted, cell(dead, "bold red" if dead else ""), cell(wait)])
    if not rows:
        return [Text(), cell("The configuration has no destinations.")]
    names = [">waiting", ">sending", ">delivered", ">held", ">dead", "=next"]
    why = [cell(f"{name} waits: {text}", "yellow") for name, text in found.why_waiting.items() if text]
    return [Text(), table("Deliveries", ["Destination", *names], rows), *why]


def _attention(found: _Found, zone: tzinfo) -> Iterator[RenderableType | None]:
    """What a person has to do something about; nothing where there is nothing."""
    yield _listed(
        "Held studies (release: pacsnode retry STUDY)",
        ["=Study", "=Accession", "Why"],
        [(cell(tail(s.study_instance_uid)), cell(s.accession_number), cell(s.hold)) for s in found.held_studies],
    )
    yield _listed(
        "Held and dead deliveries (pacsnode retry NUMBER, or cancel NUMBER)",
        [">Number", "=Destination", "=Status", "=Study", "Why"],
        [
            (cell(d.id), cell(d.destination), cell(d.status), cell(tail(d.study_instance_uid)), cell(d.hold or d.error))
            for d in (*found.held, *found.dead)
        ],
    )
    yield _listed(
        "Failed jobs (again: pacsnode retry JOB)",
        ["=Job", "=Study", "Plugin", "=Status", "Why"],
        [
            (
                cell(short(job.id)),
                cell(tail(job.study_instance_uid)),
                cell(job.plugin),
                cell("unreportable" if job.status is JobStatus.UNREPORTABLE else "failed", "red"),
                cell(job.error),
            )
            for job in found.troubled
        ],
    )
    yield _alerts(found, zone)


def _alerts(found: _Found, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "Alerts",
        ["=When", "=Study", "What"],
        [
            (
                cell(clock_text(event.at, zone, found.now)),
                cell(tail(event.study_instance_uid or "")),
                cell(words(event)),
            )
            for event in found.alerts
        ],
    )


def _listed(title: str, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> RenderableType | None:
    if not rows:
        return None
    shown = table(title, columns, rows[:SHOWN])
    more = [cell(f"… and {len(rows) - SHOWN} more (--json)")] if len(rows) > SHOWN else []
    return Group(Text(), shown, *more)


_FOR_MACHINES = ("content", "in_force", "shown", "file", "count")
"""Details of `rules.refused` that say in another way what its `problems` say."""


def words(event: Event) -> str:
    """An event in one line: its kind, and its details as key=value."""
    told = {key: value for key, value in event.detail.items() if value not in (None, "") and key not in _FOR_MACHINES}
    detail = " ".join(f"{key}={_shown(value)}" for key, value in told.items())
    return f"{event.kind} {detail}".strip()


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if _UID.fullmatch(text):
        return tail(text)
    return json.dumps(text, ensure_ascii=False) if " " in text else text


def _latest(found: _Found, zone: tzinfo, identify: bool) -> list[RenderableType]:
    if not found.latest:
        return [Text(), cell("No study has arrived yet.")]
    columns = ["=Received", "=Accession", "=Study", "=Images", "=Status", "Jobs", "Sent"]
    rows = []
    for study, series, work, sent in found.latest:
        row = [
            cell(clock_text(study.last_received_at, zone, found.now)),
            cell(study.accession_number),
            cell(tail(study.study_instance_uid, 10)),
            cell(_images(series)),
            cell(_study_status(study), "bold red" if study.hold else ""),
            cell(_counted(job.outcome or job.status for job in work)),
            cell(_sent(sent)),
        ]
        rows.append([*row[:2], cell(study.patient_id), *row[2:]] if identify else row)
    if identify:
        columns.insert(2, "=Patient ID")
    return [Text(), table("Last studies", columns, rows)]


def _study_status(study: Study) -> str:
    if study.hold:
        return "held"
    return f"{study.status}" if study.revision <= 1 else f"{study.status} {study.revision}"


def _images(series: Sequence[Series]) -> str:
    """`CT 275`, `MR+SR 300`."""
    return f"{'+'.join(sorted({each.modality for each in series}))} {sum(each.instances for each in series)}"


def _counted(words: Iterator[str]) -> str:
    counts = Counter(word.replace("_", " ") for word in words)
    return ", ".join(word if count == 1 else f"{count} {word}" for word, count in counts.items())


def _sent(sent: Sequence[Delivery]) -> str:
    counts = Counter(delivery.status for delivery in sent)
    done = counts.pop(DeliveryStatus.DELIVERED, 0)
    rest = [f"{count} {status}" for status, count in counts.items()]
    return ", ".join([f"{done} of {len(sent)}", *rest]) if sent else ""
