"""The overview as a page for people: `pacsnode status` without `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from node.cli import commitments, output, status_studies
from node.cli.output import SEVERITY_STYLES, cell, table
from node.config.models import Configuration
from node.desk import boxes, destinations, services, warnings
from node.desk.overview import SHOWN, Overview
from node.desk.rows import UNSENT, DeliveryStatus, InstanceStatus, JobStatus
from node.desk.words import ago, clock_text, details, local, short, tail
from rules.model import rule_set_digest


def page(found: Overview, configuration: Configuration, identify: bool) -> RenderableType:
    """All of it, the most urgent first."""
    zone = configuration.node.zone
    parts: list[RenderableType] = [_headline(found, configuration)]
    parts += [
        cell(f"! {text}", output.SEVERITY_STYLES[severity]) for severity, text in warnings.of(found, configuration)
    ]
    parts += [Text(), _queues(found), *_outbox(found)]
    parts += [part for part in _attention(found, zone, configuration.node.data) if part is not None]
    parts += status_studies.latest(found, configuration.node, identify)
    return Group(*parts)


def _headline(found: Overview, configuration: Configuration) -> Text:
    title = configuration.node.ae_title
    if found.health.running is None:
        return cell(f"{title} is not running; this is the state in its ledger", "bold yellow")
    port, tls = found.health.running.get("port"), found.health.running.get("tls_port")
    ports = ", ".join(
        [*([f"port {port}"] if port else []), *([f"TLS {tls}" if port else f"TLS port {tls}"] if tls else [])]
    )
    runs = f"{title} runs (process {found.health.running['pid']}), {ports}"
    return Text.assemble((runs, "bold green"), f"; {_rules(found, configuration)}")


def _rules(found: Overview, configuration: Configuration) -> str:
    """`3 rules, version 1f2e3d4c since 13:30:02`."""
    running, count = found.standing.running, len(configuration.rules)
    since = f" since {clock_text(running.since, configuration.node.zone, found.now)}" if running else ""
    number = {0: "no rules", 1: "1 rule"}.get(count, f"{count} rules")
    return f"{number}, version {rule_set_digest(configuration.rules)[:8]}{since}"


def _queues(found: Overview) -> RenderableType:
    quarantined = found.instances.get(InstanceStatus.CONFLICT, 0) + found.instances.get(InstanceStatus.CORRECTION, 0)
    unreadable = found.instances.get(InstanceStatus.UNREADABLE, 0)
    rows: list[tuple[str, ...]] = [
        (
            "objects",
            f"{found.health.load.waiting} to be indexed",
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
            _if(found.fetches, "waiting for an archive"),
            _if(found.jobs.get(JobStatus.ENDED, 0), "to be reported"),
            _if(found.jobs.get(JobStatus.UNREPORTABLE, 0), "not reportable"),
        ),
    ]
    if waiting := sum(found.notifications.get(each, 0) for each in UNSENT):
        rows.append(("people", f"{waiting} notifications not sent", "", ""))
    asked = commitments.queue(found.commitments)
    rows += [("commitments", *asked)] if asked else []
    if (last := found.attention.last_backup) is not None:
        rows.append(("backup", f"the last one {ago(found.now - last.began_at)} ago"))
    lines = [Text.assemble((f"{name:<12}", "bold"), ", ".join(part for part in parts if part)) for name, *parts in rows]
    zone = found.standing.configuration.node.zone
    lines += [Text.assemble(("box         ", "bold"), boxes.sentence(each, zone, found.now)) for each in found.boxes]
    told = (services.sentence(each, zone, found.now) for each in found.services)
    lines += [Text.assemble(("service     ", "bold"), each) for each in told]
    if found.jobs.get(JobStatus.QUEUED, 0):
        lines += [cell(f"{name or 'each queued job'} {why}", "yellow") for name, why in found.health.waits.items()]
    return Group(*lines)


def _if(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def _outbox(found: Overview) -> list[RenderableType]:
    columns = (DeliveryStatus.SENDING, DeliveryStatus.DELIVERED, DeliveryStatus.WITHHELD, DeliveryStatus.HELD)

    def row(name: str, counts: Mapping[DeliveryStatus, int]) -> list[Text]:
        dead = counts.get(DeliveryStatus.DEAD, 0)
        waiting = sum(counts.get(each, 0) for each in (DeliveryStatus.WAITING, DeliveryStatus.REFUSED))
        counted = [cell(waiting), *(cell(counts.get(status, 0)) for status in columns)]
        return [cell(name), *counted, cell(dead, "bold red" if dead else "")]

    def next_due(name: str) -> Text:
        due = found.next_due.get(name)
        return cell("" if due is None else "now" if due <= found.now else f"in {ago(due - found.now)}")

    rows = [[*row(name, counts), next_due(name)] for name, counts in found.deliveries.items()]
    if not rows:
        return [Text(), cell("The configuration has no destinations.")]
    names = ["Destination", ">waiting", ">sending", ">delivered", ">withheld", ">held", ">dead"]
    waits = {name: text for name, text in found.why_waiting.items() if text and name not in found.hold_ups}
    why = [cell(text, "yellow") for text in destinations.sentences(found.hold_ups, found.hold_ups)]
    why += [cell(f"{name} waits: {text}", "yellow") for name, text in waits.items()]
    images = [row(name, counts) for name, counts in found.images.items()]
    sent_on = [Text(), table("Forwarded images", names, images)] if images else []
    kept = commitments.of_destinations(found.kept.results, found.kept.images)
    return [Text(), table("Deliveries", [*names, "=next"], rows), *sent_on, *why, *kept]


def _attention(found: Overview, zone: tzinfo, data: Path) -> Iterator[RenderableType | None]:
    """What a person has to do something about; nothing where there is nothing."""
    yield _held_studies(found)
    yield _stuck_deliveries(found, zone)
    yield _to_withdraw(found, zone)
    yield _waiting_rules(found, zone)
    yield _untold(found)
    yield _stuck_images(found)
    yield _under_way(found, zone)
    yield _being_encoded(found, zone)
    yield _failed_jobs(found, data)
    yield _listed(*commitments.attention(found.attention.unsettled))
    yield _defects(found, zone)
    yield _refused(found, zone)
    yield _alerts(found, zone)


def _held_studies(found: Overview) -> RenderableType | None:
    return _listed(
        "Held studies (release: pacsnode release STUDY)",
        ["=Study", "=Accession", "=Modality", "Why"],
        [
            (
                cell(tail(s.study_instance_uid)),
                cell(s.accession_number),
                cell(found.names[s.study_instance_uid].modalities),
                cell(s.hold),
            )
            for s in found.attention.held_studies
        ],
    )


def _stuck_deliveries(found: Overview, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "Held and dead deliveries (pacsnode retry NUMBER, or cancel NUMBER)",
        [">Number", "=Destination", "=Status", "=Study", "Why"],
        [
            (
                cell(d.id),
                cell(d.destination),
                cell(d.status),
                _name(found, d.study_instance_uid),
                cell(local(d.hold or d.error, zone, found.now)),
            )
            for d in (*found.attention.held, *found.attention.dead)
        ],
    )


def _to_withdraw(found: Overview, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "To be withdrawn at the destination (when that is done: pacsnode done withdrawal:STUDY)",
        ["=Since", "=Destination", "=Study", ">Results", ">Images", "Why"],
        [
            (
                cell(clock_text(w.listed_at, zone, found.now)),
                cell(w.destination),
                cell(tail(w.study_instance_uid)),
                cell(w.results),
                cell(w.images),
                cell(w.reason),
            )
            for w in found.attention.to_withdraw
        ],
    )


def _waiting_rules(found: Overview, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "Rules that wait for more of a study (end a wait: pacsnode complete STUDY)",
        ["=Until", "=Study", "=Rule", "Why"],
        [
            (cell(clock_text(w.due_at, zone, found.now)), _name(found, w.study_instance_uid), cell(w.rule), cell(why))
            for w, why in found.waiting
        ],
    )


def _untold(found: Overview) -> RenderableType | None:
    return _listed(
        "People not yet notified (pacsnode retry notification:NUMBER, or cancel)",
        [">Number", "=Person", "=Status", "=Study", "Why"],
        [
            (cell(n.id), cell(n.person), cell(n.status), _name(found, n.study_instance_uid), cell(n.error))
            for n in found.attention.untold
        ],
    )


def _stuck_images(found: Overview) -> RenderableType | None:
    return _listed(
        "Held and dead images (pacsnode retry STUDY, or cancel STUDY)",
        ["=Destination", "=Status", ">Images", "=Study", "=Accession", "Why"],
        [
            (
                cell(s.destination),
                cell(s.status),
                cell(s.instances),
                cell(tail(s.study_instance_uid)),
                cell(found.names[s.study_instance_uid].accession),
                cell(s.why),
            )
            for s in found.attention.stuck
        ],
    )


def _being_encoded(found: Overview, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "Results being encoded (stop: pacsnode cancel JOB)",
        ["=Since", "=Job", "=Study", "Plugin"],
        [
            (
                cell(clock_text(since, zone, found.now)),
                cell(short(job.id)),
                _name(found, job.study_instance_uid),
                cell(job.plugin),
            )
            for job, since in found.encoding
        ],
    )


def _under_way(found: Overview, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "Running jobs (stop: pacsnode cancel JOB)",
        ["=Since", "=Job", "=Study", "Plugin", ">Attempt"],
        [
            (
                cell(clock_text(attempt.started_at, zone, found.now)),
                cell(short(job.id)),
                _name(found, job.study_instance_uid),
                cell(job.plugin),
                cell(attempt.number),
            )
            for job, attempt in ((job, found.attempts[job.id]) for job in found.under_way)
        ],
    )


def _failed_jobs(found: Overview, data: Path) -> RenderableType | None:
    listed = _listed(
        "Failed jobs (again: pacsnode retry JOB)",
        ["=Job", "=Study", "Plugin", "=Status", "Why"],
        [
            (
                cell(short(job.id)),
                _name(found, job.study_instance_uid),
                cell(job.plugin),
                cell("unreportable" if job.status is JobStatus.UNREPORTABLE else "failed", "red"),
                cell(job.error),
            )
            for job in found.troubled
        ],
    )
    last = [found.attempts.get(job.id) for job in found.troubled[:SHOWN]]
    return Group(listed, *output.logs((each.log for each in last if each), data)) if listed else None


def _defects(found: Overview, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "Stopped by an unexpected error (try again: pacsnode retry defect:NUMBER)",
        [">Number", "=Stage", "What", "=Study", ">Tries", "=Since", "=Next", "Why"],
        [
            (
                cell(each.id),
                cell(each.stage),
                cell(each.item.partition(":")[0]),
                _name(found, each.study_instance_uid),
                cell(each.times),
                cell(clock_text(each.first_at, zone, found.now)),
                cell("given up" if each.parked else "by itself", "bold red" if each.parked else ""),
                cell(each.error),
            )
            for each in found.attention.defects
        ],
    )


def _refused(found: Overview, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "Refused callers, last 24 h (to let one in, enter the last column in the configuration)",
        ["=Last", ">Times", "=Calls itself", "=From", "Why", "To enter"],
        [
            (
                cell(clock_text(each.last_at, zone, found.now)),
                cell(each.times),
                cell(each.calling_ae_title or "(TLS)"),
                cell(each.address),
                cell(each.reason),
                cell(line),
            )
            for each, line in found.attention.refused
        ],
    )


def _alerts(found: Overview, zone: tzinfo) -> RenderableType | None:
    return _listed(
        "Alerts (what to do: pacsnode alerts help KIND; all of them: pacsnode alerts)",
        [">Number", "=Since", ">Times", "=Owner", "=Study", "What"],
        [
            (
                cell(each.id),
                cell(clock_text(each.opened_at, zone, found.now)),
                cell(each.times),
                cell(each.owner),
                _name(found, each.study),
                cell(f"{each.kind} {details(each.detail, zone, found.now)}", SEVERITY_STYLES[each.severity]),
            )
            for each in found.attention.alerts
        ],
    )


def _name(found: Overview, study: str | None) -> Text:
    """What people call a study: `20260302-0017 CT`."""
    return cell(found.names[study] if study else "")


def _listed(title: str, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> RenderableType | None:
    if not rows:
        return None
    shown = table(title, columns, rows[:SHOWN])
    more = [cell(f"… and {len(rows) - SHOWN} more (--json)")] if len(rows) > SHOWN else []
    return Group(Text(), shown, *more)
