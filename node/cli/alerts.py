"""`pacsnode alerts`: what needs a person, what to do about it, and who sees to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from node.cli import output, site
from node.cli.actions import tell
from node.cli.output import SEVERITY_STYLES, cell
from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import alerts as desk
from node.desk import handbook, plain
from node.desk.actor import who_types
from node.desk.names import StudyName
from node.desk.rows import Alert
from node.desk.site import open_ledger
from node.desk.words import clock_text, details

alerts = typer.Typer(help="List alerts, show what to do about one, or say who sees to it.", add_completion=False)

Owner = Annotated[str | None, typer.Option("--owner", help="Who sees to it; you, if nobody is named.")]
Note = Annotated[str | None, typer.Option("--note", help="What others should know.")]


@alerts.callback(invoke_without_command=True)
def listing(
    context: typer.Context,
    closed: Annotated[bool, typer.Option("--closed", help="Those that are over, the latest first.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Open ones, then those that are over.")] = False,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """List all open alerts, critical ones first. `pacsnode alerts ack NUMBER` says who sees to one."""
    if context.invoked_subcommand is not None:
        return
    configuration = site.known(config)
    ledger = open_ledger(configuration)
    found = desk.listed(ledger, closed=closed, every=every)
    if as_json:
        output.as_json({"alerts": [plain.alert(each) for each in found]})
    elif not found:
        output.console().print("no alert is over yet" if closed else "no alert is open")
    else:
        output.console().print(_table(found, desk.studies(ledger, found), configuration))


@alerts.command()
def ack(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The number of the alert.")],
    owner: Owner = None,
    note: Note = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Say who sees to an open alert. It is not sent again while it lasts; its end still is."""
    ledger = open_ledger(site.known(config))
    tell(desk.acknowledge(ledger, f"{desk.ALERT}{number}", SystemClock().now(), who_types(), owner, note), as_json)


@alerts.command(name="help")
def help_with(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The kind of the alert, as in destination.down.")],
) -> None:
    """Show the page of the handbook on a kind of alert: cause, check, remedy, whom to call."""
    output.console().out(handbook.page_of(kind).rstrip("\n"), highlight=False)


def _table(found: Sequence[Alert], names: Mapping[str, StudyName], configuration: Configuration) -> RenderableType:
    zone, now = configuration.node.zone, SystemClock().now()
    return output.table(
        "Alerts (what to do: pacsnode alerts help KIND)",
        [">Number", "=Since", "=Over since", ">Times", "=Owner", "=Study", "What"],
        [
            (
                cell(each.id),
                cell(clock_text(each.opened_at, zone, now)),
                cell(clock_text(each.closed_at or each.gone_since, zone, now)),
                cell(each.times),
                cell(each.owner),
                cell(names[each.study] if each.study else ""),
                cell(
                    " ".join(filter(None, (each.kind, _place(each), details(each.detail, zone, now), each.note))),
                    "" if each.closed_at else SEVERITY_STYLES[each.severity],
                ),
            )
            for each in found
        ],
    )


def _place(alert: Alert) -> str:
    """Where it is, without the study, which has a column, and without what the details say again."""
    told = {alert.study, *map(str, alert.detail.values())}
    return " ".join(word for word in alert.place.split() if word not in told)
