"""`pacsnode answers`: what vendors' boxes sent that belongs to nothing, or came too late."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import output, site
from node.cli.actions import tell
from node.cli.output import cell
from node.clock import SystemClock
from node.desk import boxes
from node.desk.actor import who_types
from node.desk.site import open_ledger
from node.errors import UsageError

Answer = Annotated[
    str,
    typer.Argument(metavar="ANSWER", help="The objects to decide on; absent: list what waits.", show_default=False),
]
Give = Annotated[str, typer.Option("--give", metavar="JOB", help="They answer this job.")]
Dismiss = Annotated[bool, typer.Option("--dismiss", help="They answer nothing.")]


def answers(
    answer: Answer = "",
    give: Give = "",
    dismiss: Dismiss = False,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """List objects of vendors' boxes that belong to no open job, or say which job they answer.

    A job that has ended is done again with them, and nothing is sent to the box again. Study and patient are checked.
    """
    configuration = site.known(config)
    ledger = open_ledger(configuration)
    now = SystemClock().now()
    if not answer:
        if give or dismiss:
            raise UsageError("name the objects that this is about")
        found = boxes.unmatched(ledger)
        if as_json:
            output.as_json({"answers": [boxes.plain(each) for each in found]})
            return
        if not found:
            output.console().print("no object of a box waits")
        for each in found:
            output.console().print(cell(boxes.line(each, configuration.node.zone, now)), soft_wrap=True)
            for command in boxes.commands(each):
                output.console().print(cell(f"    {command}"), soft_wrap=True)
        return
    if bool(give) == dismiss:
        raise UsageError("decide with --give JOB or with --dismiss")
    by = who_types()
    done = boxes.give(ledger, answer, give, now, by) if give else boxes.dismiss(ledger, answer, now, by)
    tell(done, as_json)
