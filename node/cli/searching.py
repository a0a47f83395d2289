"""`pacsnode studies`: lists of studies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from rich.console import RenderableType

from node.cli import output, site
from node.cli.output import cell, table
from node.clock import SystemClock
from node.config.models import Configuration, NodeSettings
from node.config.values import parse_duration
from node.desk import search
from node.desk.rows import Study
from node.desk.search import NO_JOBS, OUTCOMES, STATES, StudyLine, StudyQuestion
from node.desk.site import open_ledger
from node.desk.words import clock_text, tail
from node.errors import UsageError

_MOST = 1000
_DIGITS = 10
"""Of the end of a UID, as `status` shows it."""


def studies(
    patient: Annotated[str, typer.Option(metavar="WORDS", help="Words of the patient's name, or the Patient ID.")] = "",
    accession: Annotated[str, typer.Option(metavar="NUMBER", help="The accession number.")] = "",
    date: Annotated[
        str, typer.Option(metavar="DAY", help="Study Date: 2026-11-03, or a period: 2026-11-01..2026-11-30.")
    ] = "",
    modality: Annotated[str, typer.Option(metavar="CT", help="A modality of its series.")] = "",
    rule: Annotated[str, typer.Option(metavar="NAME", help="A rule that matched it, or waits for more of it.")] = "",
    plugin: Annotated[str, typer.Option(metavar="NAME", help="A plugin that has, or had, a job on it.")] = "",
    outcome: Annotated[
        str,
        typer.Option(
            metavar="OUTCOME", help=f"What came of a job: {', '.join(OUTCOMES)}. {NO_JOBS}: there was no job."
        ),
    ] = "",
    state: Annotated[
        str, typer.Option(metavar="STATE", help=f"What is under way, or stops it: {', '.join(STATES)}.")
    ] = "",
    since: Annotated[
        str, typer.Option(metavar="PERIOD", help="It received something since then, as in 12h or 7d.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="How many are shown.", show_default=True)] = 20,
    after: Annotated[
        str, typer.Option(metavar="STUDY", help="Go on behind this study, the last one of the page before.")
    ] = "",
    identify: Annotated[bool, typer.Option("--identify", help="Also show the Patient ID.")] = False,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """List studies that have all of what is asked for, the most recently received first.

    Patient names are searched, and never shown. `pacsnode study` shows one of them. Exit code 1: there is none.
    """
    configuration = site.known(config)
    question = StudyQuestion(
        patient, accession, date, modality, rule, plugin, outcome, state, _moment(since, SystemClock().now())
    )
    ledger = open_ledger(configuration)
    found, more = search.search(ledger, question, limit, search.place(ledger, after) if after else None)
    show(found, configuration, more=more, identify=identify, as_json=as_json)
    if more and not as_json:
        output.console().print(f"The next ones: --after {found[-1].study.study_instance_uid}", soft_wrap=True)
    if not found:
        raise typer.Exit(output.ExitCode.FAILED)


def show(
    found: Sequence[StudyLine], configuration: Configuration, *, more: bool, identify: bool, as_json: bool
) -> None:
    """A list of studies, for people or for scripts; that there are more is said."""
    if as_json:
        output.as_json(search.for_scripts(found, more=more, identify=identify))
    elif not found:
        output.error("there is no study that has all of this")
    else:
        output.console().print(_table(found, configuration.node, more, identify))


def _table(found: Sequence[StudyLine], node: NodeSettings, more: bool, identify: bool) -> RenderableType:
    now = SystemClock().now()
    rows = [
        (
            cell(clock_text(line.study.last_received_at, node.zone, now)),
            cell(line.study.accession_number),
            *([cell(line.study.patient_id)] if identify else []),
            cell(tail(line.study.study_instance_uid, _DIGITS)),
            cell(", ".join(line.states), "red" if {"held", "failed"} & set(line.states) else ""),
            cell(", ".join(_results(line))),
            cell(_about(line.study)),
        )
        for line in found
    ]
    who = ["=Patient ID"] if identify else []
    columns = ["=Received", "=Accession", *who, "=Study", "Under way", "Results", "About"]
    title = f"Studies: {len(found)}, there are more" if more else "Studies"
    return table(title, columns, rows)


def _about(study: Study) -> str:
    """`CT, 20240102, CT chest without contrast`."""
    return ", ".join(filter(None, (study.modalities.replace("\\", "/"), study.study_date, study.description)))


def _results(line: StudyLine) -> list[str]:
    """Of each plugin's last job what came of it, each once."""
    return list(dict.fromkeys(f"{job.plugin} {(job.outcome or job.status).replace('_', ' ')}" for job in line.jobs))


def _moment(since: str, now: datetime) -> datetime | None:
    try:
        return now - parse_duration(since) if since else None
    except ValueError as error:
        raise UsageError(f"--since: {error}") from error
