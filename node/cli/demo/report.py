"""The report, the files and the pictures of one study, as they were read back from the PACS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from node.cli.demo.site import ZONE, DemoError, DemoSite
from node.ledger import events, objects
from node.ledger.events import Event
from node.ledger.job import Job
from node.reading import reader
from node.reading.report import ReadReport
from plugins import exchange

_TIMELINE = {
    "study.first-received": "first image received",
    "study.complete": "complete: nothing more came",
    "study.decided": "rules decided",
    "job.started": "plugin started",
    "job.ended": "plugin ended",
    "job.reported": "encoded as DICOM",
    "delivery.delivered": "delivered to the PACS",
}


def show(job: Job, site: DemoSite, console: Console) -> None:
    """The report in words, then where report, pages and all else are; DemoError where something is missing."""
    held = {path.stem: path for path in site.pacs.files()}
    made = objects.of_job(site.ledger.database, job.id)
    missing = [each.sop_instance_uid for each in made if each.sop_instance_uid not in held]
    if missing:
        raise DemoError(f"the PACS does not hold {missing[0]}")
    console.rule("The report, as it was read back from the PACS")
    files = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for each in made:
        path = held[each.sop_instance_uid]
        files.add_row(each.kind.upper(), site.folder.shown(path))
        if each.kind == "sr":
            report = reader.read_sr(path)
            console.print("\n".join(report.lines()), markup=False)
            compare(job, report, site)
        elif each.kind == "sc":
            picture = site.folder.pictures / f"{path.stem}.png"
            reader.sc_png(path, picture)
            files.add_row("", site.folder.shown(picture))
    console.rule("Files")
    console.print(files)


def compare(job: Job, report: ReadReport, site: DemoSite) -> None:
    """DemoError where a number that the plugin computed is not in the report."""
    if job.result is None:  # an attempt that failed has none
        return
    kept = site.folder.data / job.result
    result = exchange.read_result(kept, exchange.read_request(kept))
    computed = Counter(
        (m.concept.value, m.value) for each in result.findings for m in each.measurements if m.value is not None
    )
    arrived = Counter(
        (m.concept.value, m.value) for each in report.findings for m in each.measurements if m.value is not None
    )
    if missing := computed - arrived:
        raise DemoError(f"{missing.total()} of {computed.total()} numbers that were computed are not in the SR")


def show_timeline(study: str, site: DemoSite, console: Console) -> None:
    """The last time that each thing happened to a study, and the seconds since the one before."""
    console.print()
    console.print(_timeline(events.of_study(site.ledger.database, study)))


def _timeline(history: Sequence[Event]) -> Table:
    last = {event.kind: event for event in history if event.kind in _TIMELINE}
    table = Table(title="Timeline", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("When", "What", "Seconds"):
        table.add_column(column, justify="right" if column == "Seconds" else "left")
    before = None
    for event in sorted(last.values(), key=lambda each: each.at):
        seconds = "" if before is None else f"{(event.at - before).total_seconds():.1f}"
        table.add_row(event.at.astimezone(ZONE).strftime("%H:%M:%S"), _TIMELINE[event.kind], seconds)
        before = event.at
    return table
