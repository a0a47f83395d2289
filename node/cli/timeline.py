"""`pacsnode study`: everything that happened to one study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from node.cli import commitments, output, plain, site
from node.cli.explain import traced
from node.cli.output import SEVERITY_STYLES, cell, clock_text, short, table, tail
from node.cli.status_page import words
from node.clock import SystemClock
from node.config.models import Configuration
from node.ledger import commitments as requests
from node.ledger import (
    decisions,
    deliveries,
    events,
    fetches,
    forwards,
    identities,
    jobs,
    notifications,
    objects,
    studies,
)
from node.ledger.database import Database
from node.ledger.decisions import Decision
from node.ledger.deliveries import Delivery
from node.ledger.events import Event
from node.ledger.fetches import Fetch
from node.ledger.forwards import Standing
from node.ledger.identities import Identity
from node.ledger.job import Job
from node.ledger.notifications import Notification
from node.ledger.studies import Series, Study
from rules import explain as explaining

_Content = tuple[str, Sequence[str], Sequence[Sequence[Text]]]
"""Title, columns and rows of a table."""


def study(
    name: Annotated[
        str, typer.Argument(metavar="STUDY", help="UID, a unique beginning or end of it, or the accession number.")
    ],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", "-v", help="Show for each decision every clause, and the values it was held against."
        ),
    ] = False,
    identify: Annotated[
        bool, typer.Option("--identify", help="Show the Patient ID too; it is left out by default.")
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """Show one study: its series, every decision, job and delivery, and all that happened, in order."""
    configuration = site.known(config)
    ledger = site.open_ledger(configuration)
    with ledger.snapshot() as database:
        found = site.find_study(database, name)
        plainly = _plain(database, found, explain, identify) if as_json else {}
        parts = () if as_json else tuple(_parts(database, found, configuration, explain, identify))
    if as_json:
        output.as_json(plainly)
    else:
        output.console().print(Group(*parts))


def _plain(database: Database, found: Study, explain: bool, identify: bool) -> dict[str, Any]:
    uid = found.study_instance_uid
    return {
        "study": plain.study(found, identify=identify),
        "series": [plain.series(each) for each in studies.series_of(database, uid)],
        "decisions": [plain.decision(each, explain=explain) for each in decisions.of_study(database, uid)],
        "fetches": [plain.fetch(each) for each in fetches.of_study(database, uid)],
        "jobs": [plain.job(each) for each in jobs.of_study(database, uid)],
        "deliveries": [plain.delivery(each) for each in deliveries.results_of_study(database, uid)],
        "images": [plain.images(each) for each in forwards.of_study(database, uid)],
        "notifications": [plain.notification(each) for each in notifications.of_study(database, uid)],
        "commitments": [commitments.plain(*each) for each in requests.of_study(database, uid)],
        "identities": [plain.identity(each) for each in identities.of_study(database, uid)],
        "events": [plain.event(each) for each in events.of_study(database, uid)],
    }


def _parts(
    database: Database, found: Study, configuration: Configuration, explain: bool, identify: bool
) -> Iterator[RenderableType]:
    uid, zone, now = found.study_instance_uid, configuration.node.zone, SystemClock().now()
    yield cell(f"Study {uid}", "bold")
    who = f"; Patient ID {found.patient_id} {found.issuer_of_patient_id}".rstrip() if identify else ""
    yield cell(f"accession {found.accession_number or '(none)'}{who}; {found.status}, revision {found.revision}")
    if found.hold:
        yield cell(f"held: {found.hold} (release: pacsnode retry {uid})", "bold red")
    yield from _section(_series(studies.series_of(database, uid)))
    taken = decisions.of_study(database, uid)
    yield from _section(_decisions(taken))
    if explain:
        yield from _traces(taken)
    yield from _section(_fetches(fetches.of_study(database, uid), zone, now))
    yield from _section(_jobs(jobs.of_study(database, uid)))
    yield from _section(_deliveries(deliveries.results_of_study(database, uid), _kinds(database, uid)))
    yield from _section(_images(forwards.of_study(database, uid)))
    yield from _section(_notifications(notifications.of_study(database, uid)))
    yield from _section(_answers(identities.of_study(database, uid), zone, now))
    yield from _section(commitments.of_study(requests.of_study(database, uid)))
    yield from _section(_timeline(events.of_study(database, uid), zone))


def _fetches(found: Sequence[Fetch], zone: tzinfo, now: datetime) -> _Content:
    rows = [
        (cell(each.rule), cell(each.source), cell(each.status), cell(tail(each.prior_study or "")),
         cell(each.error or (f"waits until {clock_text(each.deadline, zone, now)}" if each.ended_at is None else "")))
        for each in found
    ]  # fmt: skip
    return "Waits for an earlier study", ["Rule", "From", "=Status", "=Study", "About"], rows


def _images(found: Sequence[Standing]) -> _Content:
    rows = [
        (cell(each.destination), cell(each.status, "red" if each.status in ("held", "dead") else ""),
         cell(each.instances), cell(each.why or ""))
        for each in found
    ]  # fmt: skip
    return "Images sent on", ["Destination", "=Status", ">Images", "About"], rows


def _answers(found: Sequence[Identity], zone: tzinfo, now: datetime) -> _Content:
    rows = [
        (cell(each.destination), cell(each.status, "bold red" if each.status == "differs" else ""),
         cell(each.detail), cell(clock_text(each.checked_at, zone, now)))
        for each in found
    ]  # fmt: skip
    return "Whose study it is, as the destinations say", ["Destination", "=Answer", "Differs in", "=Asked"], rows


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


def _kinds(database: Database, study: str) -> dict[str, str]:
    """What each result object of the study is, by SOP Instance UID: sr, sc, seg."""
    made = (made for job in jobs.of_study(database, study) for made in objects.of_job(database, job.id))
    return {each.sop_instance_uid: each.kind for each in made}


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
