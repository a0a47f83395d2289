"""Options that say which of many are meant: the same for `retry`, `cancel` and `release`."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from typing import Annotated

import typer

from node.cli import output
from node.cli.output import cell
from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import bulk, carrying_out, periods
from node.desk.actor import who_types
from node.desk.bulk import BulkAction, Selection
from node.desk.outcomes import ActionOutcome
from node.desk.site import open_ledger
from node.errors import UsageError

Status = Annotated[str | None, typer.Option("--status", help="All that have this status.")]
Rule = Annotated[str | None, typer.Option("--rule", help="Only of this rule.")]
Plugin = Annotated[str | None, typer.Option("--plugin", help="Only of this plugin.")]
Destination = Annotated[str | None, typer.Option("--destination", help="Only what goes to this destination.")]
StudyName = Annotated[str | None, typer.Option("--study", help="Only of this study, named as for `study`.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Only what is younger: a period (2d, 3h) or a moment (2026-03-02 14:00).")
]
Until = Annotated[str | None, typer.Option("--until", help="Only what is older; a period or a moment.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many that is.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however many these are.")]


def selection(
    status: str | None,
    rule: str | None,
    plugin: str | None,
    destination: str | None,
    study: str | None,
    since: str | None,
    until: str | None,
) -> tuple[Selection, str | None, str | None]:
    """As typed; the moments are read with the site's time zone, in `act`."""
    return Selection(status, rule, plugin, destination, study), since, until


def act(
    configuration: Configuration,
    action: BulkAction,
    chosen: tuple[Selection, str | None, str | None],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> ActionOutcome:
    """Find what is meant, have a person confirm where that is much, and do it; UsageError."""
    ledger = open_ledger(configuration)
    found, since, until = chosen
    now = SystemClock().now()
    found = replace(found, since=_moment(since, now, configuration), until=_moment(until, now, configuration))
    many = carrying_out.many_of(ledger, configuration, action, found)
    about = bulk.described(many)
    if dry_run or not many.count:
        return about
    if many.count > bulk.MANY and not yes:
        _confirm(about, as_json)
    return bulk.carry_out(ledger, many, SystemClock().now, who_types(), None if as_json else _progress)


def _moment(text: str | None, now: datetime, configuration: Configuration) -> datetime | None:
    return None if text is None else periods.moment(text, now, configuration.node.zone)


def _confirm(about: ActionOutcome, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise UsageError(f"{about.sentence}\nthat is more than {bulk.MANY}: say --yes to have it done")
    for line in about.sentence.splitlines():
        output.console().print(cell(line), soft_wrap=True)
    if not typer.confirm("Do it?"):
        raise UsageError("nothing was done")


def _progress(done: int, of: int) -> None:
    """On standard error, so that standard output has the outcome alone."""
    if of > bulk.MANY:
        output.error(f"{done} of {of}")
