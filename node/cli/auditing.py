"""`pacsnode audit`: whether the audit trail is what was written, and what it says."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import RenderableType

from node.cli import output, site
from node.cli.output import ExitCode, cell, table
from node.clock import SystemClock
from node.desk import audit as desk
from node.desk import periods
from node.desk.actor import who_types
from node.desk.audit import AuditLine, AuditQuestion
from node.desk.site import open_ledger
from node.desk.words import clock_text

audit = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Verify, show and export the audit trail.",
)

Since = Annotated[str, typer.Option("--since", help="From then on: 2d, 3h, 2026-03-02, or with a time of day.")]
Until = Annotated[str, typer.Option("--until", help="Before then, written likewise.")]


class ExportFormat(StrEnum):
    """What `export` writes."""

    XML = "xml"
    JSON = "json"


@audit.command()
def verify(
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", metavar="NUMBER:DIGEST", help="An entry and its digest, as noted elsewhere."),
    ] = None,
    as_json: site.AsJson = False,
) -> None:
    """Check that nothing of the audit trail was changed, removed, inserted or cut off. Exit code 1: something was.

    The last line is a checkpoint: with --checkpoint it shows later that the trail was not made again as a whole.
    """
    known = [desk.checkpoint(each) for each in checkpoint or ()]
    configuration = site.known(config)
    found = desk.verify(configuration.node.data, open_ledger(configuration), known)
    last = f"{found.last.number}:{found.last.digest}"
    if as_json:
        breaks = [{"file": each.file, "line": each.line, "what": each.what} for each in found.breaks]
        said = {"entries": found.entries, "first": found.first, "breaks": breaks, "notes": found.notes}
        output.as_json({**said, "checkpoint": last if found.entries else None})
    else:
        lines = [*found.notes, *map(str, found.breaks)]
        lines.append(f"{found.entries} entries; {'NOT ' if found.breaks else ''}as they were written")
        lines += [f"checkpoint {last}"] if found.entries else []
        for line in lines:
            output.console().print(cell(line), soft_wrap=True)
    if found.breaks:
        raise typer.Exit(ExitCode.FAILED)


@audit.command()
def show(
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    since: Since = "1d",
    until: Until = "",
    study: Annotated[str, typer.Option("--study", help="The UID of a study, its end, or the accession number.")] = "",
    person: Annotated[str, typer.Option("--person", help="Who: hong, or part of it, as in os: or ae:CT1.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="What: study.viewed, or its beginning, as in study.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="The newest entries, at most.")] = 200,
    identify: Annotated[bool, typer.Option("--identify", help="Also show the Patient ID.")] = False,
    as_json: site.AsJson = False,
) -> None:
    """Show who did what, from the audit trail, the newest at the end. That you look is recorded."""
    configuration = site.known(config)
    ledger, now, zone = open_ledger(configuration), SystemClock().now(), configuration.node.zone
    question = AuditQuestion(
        since=periods.moment(since, now, zone) if since else None,
        until=periods.moment(until, now, zone) if until else None,
        study=study,
        person=person,
        kind=kind,
    )
    desk.note_reading(ledger, now, who_types(), question, "show")
    newest: deque[AuditLine] = deque(maxlen=limit + 1)
    newest.extend(desk.read(configuration.node.data, question))
    more, found = len(newest) > limit, list(newest)[-limit:]
    if as_json:
        output.as_json(desk.for_scripts(found, more=more, identify=identify))
        return
    output.console().print(_table(found, zone, now, more=more, identify=identify))


def _table(found: Sequence[AuditLine], zone: tzinfo, now: datetime, *, more: bool, identify: bool) -> RenderableType:
    patient = ["Patient ID"] if identify else []
    rows = []
    for each in found:
        who = (each.kind, each.actor, each.accession, each.study, *([each.patient] if identify else []))
        rows.append([cell(clock_text(each.at, zone, now)), *map(cell, who)])
    title = f"Audit trail{', the newest entries' if more else ''}"
    return table(title, ["=When", "What", "Who", "Accession", "Study", *patient], rows)


@audit.command()
def export(
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    since: Since = "",
    until: Until = "",
    form: Annotated[
        ExportFormat, typer.Option("--as", help="xml: a message of PS3.15 a line. json: an entry a line.")
    ] = ExportFormat.XML,
) -> None:
    """Print the messages of a period as they are, Patient IDs included, one a line. That you read them is recorded."""
    configuration = site.known(config)
    ledger, now, zone = open_ledger(configuration), SystemClock().now(), configuration.node.zone
    question = AuditQuestion(
        since=periods.moment(since, now, zone) if since else None,
        until=periods.moment(until, now, zone) if until else None,
    )
    desk.note_reading(ledger, now, who_types(), question, f"export {form}")
    for each in desk.read(configuration.node.data, question):
        typer.echo(each.message if form is ExportFormat.XML else each.text)
