"""`pacsnode study`: everything that happened to one study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from node.cli import commitments, output, site
from node.cli.explain import traced
from node.cli.output import SEVERITY_STYLES, cell, table
from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import study as desk_study
from node.desk.rows import (
    Decision,
    Delivery,
    Event,
    Fetch,
    Identity,
    ImagesStanding,
    Job,
    Notification,
    Series,
)
from node.desk.site import open_ledger
from node.desk.study import StudyHistory
from node.desk.words import clock_text, short, tail, words
from rules import explain as explaining

_Content = tuple[str, Sequence[str], Sequence[Sequence[Text]]]
"""Title, columns and rows of a table."""


def study(
    name: Annotated[
        str, typer.Argument(metavar="STUDY", help="The UID, a unique beginning or end of it, or the accession number.")
    ],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", "-v", help="Show every clause of each decision, with the values it was checked against."
        ),
    ] = False,
    identify: Annotated[bool, typer.Option("--identify", help="Also show the Patient ID.")] = False,
    as_json: site.AsJson = False,
) -> None:
    """Show one study: its series, every decision, job and delivery, and its history in order."""
    configuration = site.known(config)
    found = desk_study.look(open_ledger(configuration), name)
    if as_json:
        output.as_json(desk_study.for_scripts(found, explain=explain, identify=identify))
    else:
        output.console().print(Group(*_parts(found, configuration, explain, identify)))


def _parts(
    found: StudyHistory, configuration: Configuration, explain: bool, identify: bool
) -> Iterator[RenderableType]:
    study, zone, now = found.study, configuration.node.zone, SystemClock().now()
    uid = study.study_instance_uid
    yield cell(f"Study {uid}", "bold")
    who = f"; Patient ID {study.patient_id} {study.issuer_of_patient_id}".rstrip() if identify else ""
    yield cell(f"accession {study.accession_number or '(none)'}{who}; {study.status}, revision {study.revision}")
    if study.hold:
        yield cell(f"held: {study.hold} (release: pacsnode retry {uid})", "bold red")
    yield from _section(_series(found.series))
    yield from _section(_decisions(found.decisions))
    if explain:
        yield from _traces(found.decisions)
    yield from _section(_fetches(found.fetches, zone, now))
    yield from _section(_jobs(found.jobs))
    yield from _section(_deliveries(found.deliveries, found.kinds))
    yield from _section(_images(found.images))
    yield from _section(_notifications(found.notifications))
    yield from _section(_answers(found.identities, zone, now))
    yield from _section(commitments.of_study(found.commitments))
    yield from _section(_timeline(found.events, zone))


def _fetches(found: Sequence[Fetch], zone: tzinfo, now: datetime) -> _Content:
    rows = [
        (
            cell(each.rule),
            cell(each.source),
            cell(each.status),
            cell(tail(each.prior_study or "")),
            cell(
                each.error or (f"waits until {clock_text(each.deadline, zone, now)}" if each.ended_at is None else "")
            ),
        )
        for each in found
    ]
    return "Waits for an earlier study", ["Rule", "From", "=Status", "=Study", "About"], rows


def _images(found: Sequence[ImagesStanding]) -> _Content:
    rows = [
        (
            cell(each.destination),
            cell(each.status, "red" if each.status in ("held", "dead") else ""),
            cell(each.instances),
            cell(each.why or ""),
        )
        for each in found
    ]
    return "Forwarded images", ["Destination", "=Status", ">Images", "About"], rows


def _answers(found: Sequence[Identity], zone: tzinfo, now: datetime) -> _Content:
    rows = [
        (
            cell(each.destination),
            cell(each.status, "bold red" if each.status == "differs" else ""),
            cell(each.detail),
            cell(clock_text(each.checked_at, zone, now)),
        )
        for each in found
    ]
    return "Identity of the study at each destination", ["Destination", "=Answer", "Differs in", "=Asked"], rows


def _section(content: _Content) -> Iterator[RenderableType]:
    title, columns, rows = content
    if rows:
        yield Text()
        yield table(title, columns, rows)


def _series(found: Sequence[Series]) -> _Content:
    rows = [
        (cell(each.modality), cell(each.instances), cell(each.description), cell(tail(each.series_instance_uid)))
        for each in found
    ]
    return "Series", ["Modality", ">Images", "Description", "=UID ends in"], rows


def _decisions(taken: Sequence[Decision]) -> _Content:
    rows = [
        (
            cell(_at_look(each)),
            cell(each.rule),
            cell(each.outcome.replace("_", " ")),
            cell(each.rule_set[:8]),
            cell(each.trace.get("why", "")),
        )
        for each in taken
    ]
    return "Decisions", [">Rev.", "Rule", "=Outcome", "=Version", "Why"], rows


def _at_look(decision: Decision) -> str:
    """`1`, and `1.2` for the second look at the study after it was complete for the first time."""
    return f"{decision.revision}.{decision.look}" if decision.look else str(decision.revision)


def _traces(taken: Sequence[Decision]) -> Iterator[RenderableType]:
    for decision in taken:
        yield Text()
        yield from traced(explaining.lines(decision.trace))


def _jobs(work: Sequence[Job]) -> _Content:
    rows = []
    for job in work:
        outcome = (job.outcome or "").replace("_", " ")
        took = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else None
        about = job.error or (f"→ {', '.join(job.destinations)}" if job.destinations else "stays here")
        rows.append(
            (
                cell(short(job.id)),
                cell(job.plugin),
                cell(job.status),
                cell(outcome, "red" if outcome == "failed" else ""),
                cell(job.attempts),
                cell("" if took is None else f"{took:.1f}"),
                cell(about),
            )
        )
    return "Jobs", ["=Job", "Plugin", "=Status", "Outcome", ">Tries", ">Seconds", "About"], rows


def _deliveries(sent: Sequence[Delivery], kinds: Mapping[str, str]) -> _Content:
    rows = []
    for each in sent:
        answer = "" if each.dimse_status is None else f"{each.dimse_status:04X}"
        bad = "red" if each.status in ("held", "dead") else ""
        about = each.hold or each.error or ""
        rows.append(
            (
                cell(each.id),
                cell(short(each.job or "")),
                cell(kinds.get(each.sop_instance_uid, "")),
                cell(each.destination),
                cell(each.status, bad),
                cell(each.attempts),
                cell(answer),
                cell(about),
            )
        )
    columns = [">No.", "=Job", "=Kind", "=Destination", "=Status", ">Tries", "=Answer", "About"]
    return "Deliveries", columns, rows


def _notifications(told: Sequence[Notification]) -> _Content:
    rows = [
        (
            cell(each.id),
            cell(short(each.job or "")),
            cell(each.person),
            cell(each.occasion.replace("-", " ")),
            cell(each.status, "red" if each.status == "dead" else ""),
            cell(", ".join(each.sent_by)),
            cell(each.error),
        )
        for each in told
    ]
    return "People told", [">No.", "=Job", "Person", "Occasion", "=Status", "By", "About"], rows


def _timeline(history: Sequence[Event], zone: tzinfo) -> _Content:
    rows = []
    begin = history[0].at if history else None
    for event in history:
        assert begin is not None, "there is a first event where there is any"
        since = (event.at - begin).total_seconds()
        about = short(event.job or "") + (f" #{event.delivery}" if event.delivery else "")
        rows.append(
            (
                cell(clock_text(event.at, zone, begin)),
                cell(f"+{since:.1f}"),
                cell(about.strip()),
                cell(words(event), SEVERITY_STYLES[event.severity]),
            )
        )
    title = f"Timeline, from {begin.astimezone(zone):%Y-%m-%d} ({zone})" if begin else ""
    return title, ["=When", ">Seconds", "Job, delivery", "What"], rows
