"""`pacsnode explain`: why each rule matches a study or does not, clause by clause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from node.cli import output, site
from node.cli.output import ExitCode, cell, table
from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import explain as desk_explain
from node.desk.explain import Explanation, StudyExplanation
from node.desk.words import clock_text
from rules import explain as explaining
from rules.decision import Decision

_STYLES = {"+": "green", "-": "red", "?": "yellow", ">": "bold green"}


def explain(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY|PATH",
            help="A study (UID, a unique beginning or end of it, or accession number), or DICOM files and folders.",
        ),
    ],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    rule: Annotated[str | None, typer.Option("--rule", help="Only this rule.")] = None,
    as_test: Annotated[
        bool,
        typer.Option(
            "--as-test", help="Write a test for the rules instead: this study, and what the rules do with it now."
        ),
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """Show why each rule matches or not: for each clause the value found, where, and why it passed or failed.

    A study is looked up in the ledger. It is checked against the rules in the configuration now, as it was when it was
    complete. The decision of that time is shown if it differs. DICOM files are read as the node would read them on
    arrival. Exit code 1: there is no such study, or no DICOM file.
    """
    configuration = site.known(config)
    found = desk_explain.explain(configuration, what, rule, SystemClock().now())
    if as_json:
        output.as_json(desk_explain.for_scripts(found))
    elif as_test:
        for each in found.studies:
            typer.echo(desk_explain.as_test(each, found.rules), nl=False)
    else:
        _show(found, configuration)
    if not found.studies:
        output.error("there is no DICOM file to explain")
        raise typer.Exit(ExitCode.FAILED)


def _show(found: Explanation, configuration: Configuration) -> None:
    for path, reason in found.skipped:
        output.error(f"skipped {path}: {reason}")
    for each in found.studies:
        output.console().print(Group(*_parts(each, found.digest, configuration)))


def _parts(explained: StudyExplanation, digest: str, configuration: Configuration) -> Iterator[RenderableType]:
    facts, row = explained.facts, explained.row
    images = sum(len(series.instances) for series in facts.series)
    yield cell(f"Study {facts.study_instance_uid}", "bold")
    about = f"{len(facts.series)} series, {images} instances"
    if row is not None:
        state = f"revision {facts.revision}" if facts.complete else "not complete yet: nothing is decided"
        about = f"accession {row.accession_number or '(none)'}; {row.status}, {state}; {about}"
    yield cell(about)
    if not explained.decisions:
        yield cell("There is no enabled rule.")
        return
    yield Text()
    yield _verdicts(explained.decisions, digest)
    for decision in explained.decisions:
        yield Text()
        yield from traced(explaining.lines(decision.trace))
    yield from _as_decided(explained, digest, configuration)
    for each in (*explained.outside, *explained.stopped):
        yield Text()
        yield cell(each, "bold yellow")
    yield Text()


def _verdicts(taken: Sequence[Decision], digest: str) -> RenderableType:
    rows = []
    for each in taken:
        near = f"; near miss, all but: {each.near_miss}" if each.near_miss else ""
        style = "green" if each.matched else "yellow" if each.near_miss or each.problems else ""
        rows.append(
            (cell(each.rule.name), cell("matched" if each.matched else "not matched", style), cell(each.why + near))
        )
    return table(f"By the rules of the configuration (version {digest[:8]})", ["Rule", "=Verdict", "Why"], rows)


def traced(lines: Sequence[str]) -> Iterator[RenderableType]:
    """The lines of an explanation, each wrapped under its own beginning."""
    for line in lines:
        text = line.lstrip(" ")
        style = _STYLES.get(text[:1], "") if text[1:2] == " " else "bold yellow" if text.startswith("near miss") else ""
        yield Padding(cell(text, style), (0, 0, 0, len(line) - len(text)), expand=False)


def _as_decided(explained: StudyExplanation, digest: str, configuration: Configuration) -> Iterator[RenderableType]:
    """What was decided when it counted, in full where it is not what the rules say now."""
    if not explained.recorded:
        return
    first = explained.recorded[0]
    when = clock_text(first.decided_at, configuration.node.zone, SystemClock().now())
    version = first.rule_set[:8]
    by = "these rules" if first.rule_set == digest else f"other rules (version {version}: pacsnode rules {version})"
    same = "" if explained.differing else ", with the same outcome"
    yield Text()
    yield cell(f"Decided {when} on revision {first.revision} by {by}{same}.")
    for each in explained.differing:
        yield Text()
        yield cell(f"Then, {each.rule} {each.outcome.replace('_', ' ')}:", "bold yellow")
        if "when" in each.trace:
            yield from traced(explaining.lines(each.trace))
