"""`pacsnode study`: everything that happened to one study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from node.cli import commitments, output, searching, site
from node.cli.explain import traced
from node.cli.output import SEVERITY_STYLES, cell, table
from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import find, nearest, removal, search, viewing
from node.desk import study as desk_study
from node.desk.actor import who_types
from node.desk.arriving import status_text
from node.desk.rows import (
    Alert,
    Attempt,
    DeliveryCommitment,
    Event,
    Fetch,
    Identity,
    ImageCount,
    Job,
    Notification,
    ReturnedObjectRow,
    StoredDecision,
    Withdrawals,
)
from node.desk.site import open_ledger
from node.desk.study import StudyHistory
from node.desk.words import answer_text, clock_text, details, local, short, tail, words
from node.errors import NodeError
from rules import explain as explaining

_Content = tuple[str, Sequence[str], Sequence[Sequence[Text]]]
"""Title, columns and rows of a table."""


def study(
    name: Annotated[
        list[str],
        typer.Argument(
            metavar="WORD",
            help="The UID of a study, a unique beginning or end of it, or the accession number. Else words of the "
            "patient's name, Patient ID, accession number or description: studies that have all of them.",
        ),
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
    """Show one study: its series, every decision, job and delivery, and its history in order.

    If several studies have the words, they are listed, the most recently received first. Patient names
    are searched, but never shown.
    """
    configuration = site.known(config)
    ledger = open_ledger(configuration)
    several = desk_study.search(ledger, name)
    if len(several) > 1:
        shown, more = several[: find.SHOWN], len(several) > find.SHOWN
        lines = search.described(ledger, shown)
        searching.show(lines, configuration, more=more, identify=identify, as_json=as_json)
        return
    found = desk_study.look(ledger, several[0].study_instance_uid, configuration)
    try:
        viewing.viewed(ledger, found.study.study_instance_uid, who_types(), SystemClock().now())
    except NodeError as error:  # whoever needs the study sees it
        output.error(f"it is not recorded that you looked at this study: {error}")
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
    status = status_text(study, configuration.node, now, ended=found.ended)
    yield cell(f"accession {study.accession_number or '(none)'}{who}; {status}; revision {study.revision}")
    if study.hold:
        yield cell(f"held: {study.hold} (release: pacsnode release {uid})", "bold red")
    yield from map(cell, removal.lines(found, zone))
    yield from _section(_alerts(found.alerts, zone, now))
    yield from _section(_series(found))
    yield from _closest(found.decisions)
    yield from _section(_decisions(found.decisions))
    if explain:
        yield from _traces(found.decisions)
    yield from _section(_fetches(found.fetches, zone, now))
    yield from _section(_jobs(found.jobs, found.waits))
    yield from (cell(each.in_words()) for each in found.computed_from)
    yield from _section(_attempts(found.attempts, zone, now))
    yield from _section(_returned(found.returned))
    yield from output.logs((each.log for each in found.attempts), configuration.node.data)
    yield from _section(_deliveries(found, zone, now))
    yield from _section(_images(found.images))
    yield from (cell(text, "yellow") for text in found.hold_ups)
    yield from _section(_assessments(found, zone, now))
    yield from _section(_withdrawals(found.withdrawals, zone, now))
    yield from _section(_notifications(found.notifications))
    yield from _section(_turnaround(found, zone, now))
    yield from _section(_answers(found.identities, zone, now))
    yield from _section(commitments.by_destinations(found.kept, zone, now))
    yield from _section(commitments.of_study(found.commitments))
    yield from _section(_timeline(found.events, zone))


def _alerts(found: Sequence[Alert], zone: tzinfo, now: datetime) -> _Content:
    rows = [
        (
            cell(clock_text(each.opened_at, zone, now)),
            cell(each.times),
            cell(f"{each.kind} {details(each.detail, zone, now)}", SEVERITY_STYLES[each.severity]),
        )
        for each in found
    ]
    return "Alerts (what to do: pacsnode alerts help KIND)", ["=Since", ">Times", "What"], rows


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
    return "Waits for an earlier study, or for deleted images", ["Rule", "From", "=Status", "=Study", "About"], rows


def _images(found: Sequence[ImageCount]) -> _Content:
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


def _series(found: StudyHistory) -> _Content:
    rows = [
        (
            cell(each.modality),
            cell(each.instances),
            *([cell(found.gone.get(each.series_instance_uid, 0))] if found.gone else []),
            cell(each.description),
            cell(tail(each.series_instance_uid)),
        )
        for each in found.series
    ]
    deleted = [">Deleted"] if found.gone else []
    return "Series", ["Modality", ">Images", *deleted, "Description", "=UID ends in"], rows


def _closest(taken: Sequence[StoredDecision]) -> Iterator[RenderableType]:
    """Why the rule that came closest did not match: what an admin asks first."""
    found = nearest.closest(taken)
    if found is None:
        return
    decision, lacked = found
    yield Text()
    yield cell(f"Closest rule that did not match: {decision.rule}", "bold")
    if lacked.where:
        yield cell(f"  no series is left to choose; closest is {lacked.where}")
    for line in lacked.words:
        yield Padding(cell(line, "yellow"), (0, 0, 0, 2), expand=False)


def _decisions(taken: Sequence[StoredDecision]) -> _Content:
    rows = [
        (
            cell(_at_look(each)),
            cell(each.rule),
            cell(each.outcome.replace("_", " ")),
            cell(each.rule_set[:8]),
            cell(nearest.why(each)),
        )
        for each in nearest.ordered(taken)
    ]
    return "Decisions", [">Rev.", "Rule", "=Outcome", "=Version", "Why"], rows


def _at_look(decision: StoredDecision) -> str:
    """`1`, and `1.2` for the second look at the study after it was complete for the first time."""
    return f"{decision.revision}.{decision.look}" if decision.look else str(decision.revision)


def _traces(taken: Sequence[StoredDecision]) -> Iterator[RenderableType]:
    for decision in taken:
        yield Text()
        yield from traced(explaining.lines(decision.trace))


def _jobs(work: Sequence[Job], waits: Mapping[str, str]) -> _Content:
    rows = []
    for job in work:
        outcome = (job.outcome or "").replace("_", " ")
        took = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else None
        about = (
            waits.get(job.id) or job.error or (f"→ {', '.join(job.destinations)}" if job.destinations else "stays here")
        )
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


def _attempts(made: Sequence[Attempt], zone: tzinfo, now: datetime) -> _Content:
    rows = []
    for each in made:
        took = (each.ended_at or now) - each.started_at
        how = f"{each.state} ({each.failure.replace('_', ' ')})" if each.failure else each.state
        rows.append(
            (
                cell(short(each.job)),
                cell(each.number),
                cell(clock_text(each.started_at, zone, now)),
                cell(f"{took.total_seconds():.1f}"),
                cell(how, "red" if each.state in ("failed", "lost") else ""),
                cell(each.identity or ""),
                cell(" ".join(part for part in ("" if each.counted else "(not counted)", each.detail) if part)),
            )
        )
    return "Attempts", ["=Job", ">No.", "=Began", ">Seconds", "=Ended", "Identity", "About"], rows


def _returned(found: Sequence[ReturnedObjectRow]) -> _Content:
    rows = [
        (
            cell(short(each.job)),
            cell(each.number),
            cell(each.modality),
            cell(each.maker),
            cell("as ours" if each.marked else "as it came"),
            cell(each.sop_instance_uid),
        )
        for each in found
    ]
    return "DICOM that plugins returned", ["=Job", ">No.", "=Kind", "Maker", "=Sent", "UID of its maker"], rows


def _deliveries(found: StudyHistory, zone: tzinfo, now: datetime) -> _Content:
    rows = []
    for each in found.deliveries:
        answer = answer_text(each.answer)
        bad = "red" if each.status in ("held", "dead") else ""
        kept = "" if each.commitment is DeliveryCommitment.NONE else f"storage commitment: {each.commitment}"
        about = "; ".join(filter(None, (kept, local(each.hold or each.error, zone, now))))
        rows.append(
            (
                cell(each.id),
                cell(short(each.job or "")),
                cell(found.kinds.get(each.item, "")),
                cell(each.destination),
                cell(each.status, bad),
                cell(each.attempts),
                cell(answer),
                cell(about),
            )
        )
    columns = [">No.", "=Job", "=Kind", "=Destination", "=Status", ">Tries", "=Answer", "About"]
    return "Deliveries", columns, rows


def _assessments(found: StudyHistory, zone: tzinfo, now: datetime) -> _Content:
    over = {each.supersedes for each in found.assessments}
    rows = []
    for each in found.assessments:
        about = (
            clock_text(each.at, zone, now),
            each.by,
            short(each.job),
            tail(each.finding or "", 6),
            each.verdict,
            each.reason,
        )
        rows.append([cell(text, "dim" if each.id in over else "") for text in about])
    return "Verdicts", ["=At", "=By", "=Job", "=Finding", "=Verdict", "Reason"], rows


def _withdrawals(found: Sequence[Withdrawals], zone: tzinfo, now: datetime) -> _Content:
    rows = [
        (
            cell(clock_text(each.listed_at, zone, now)),
            cell(each.destination),
            cell(each.status, "red" if each.status == "listed" else ""),
            cell(each.results),
            cell(each.images),
            cell(each.reason),
        )
        for each in found
    ]
    return "Withdrawals", ["=Since", "=Destination", "=Status", ">Results", ">Images", "Why"], rows


def _notifications(told: Sequence[Notification]) -> _Content:
    rows = [
        (
            cell(each.id),
            cell(short(each.job or "")),
            cell(each.person),
            cell(each.occasion.replace("-", " ")),
            cell(each.status, "red" if each.status == "dead" else ""),
            cell(", ".join(each.sent_by)),
            cell(each.acknowledged_by),
            cell(each.error),
        )
        for each in told
    ]
    return "People told", [">No.", "=Job", "Person", "Occasion", "=Status", "By", "Acknowledged by", "About"], rows


def _turnaround(found: StudyHistory, zone: tzinfo, now: datetime) -> _Content:
    rows = [
        (
            cell(clock_text(each.at, zone, now)),
            cell(f"{each.minutes:.1f}"),
            cell(short(each.job or "")),
            cell(each.step),
        )
        for each in found.since_last_image
    ]
    return "Since the last image", ["=When", ">Minutes", "=Job", "What"], rows


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
                cell(words(event, zone, begin), SEVERITY_STYLES[event.severity]),
            )
        )
    title = f"Timeline, from {begin.astimezone(zone):%Y-%m-%d} ({zone})" if begin else ""
    return title, ["=When", ">Seconds", "Job, delivery", "What"], rows
