"""`pacsnode restored`: results that destinations, and images that boxes may have from before a restore."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import output, site
from node.cli.actions import tell
from node.cli.output import cell
from node.clock import SystemClock
from node.desk import earlier_results
from node.desk.actor import who_types
from node.desk.earlier_results import EarlierResultsAnswer
from node.desk.site import open_ledger
from node.errors import UsageError

Study = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="The study to answer for; absent: list what is asked.", show_default=False),
]
AsSent = Annotated[bool, typer.Option("--as-sent", help="It is there: what waits is not sent.")]
Send = Annotated[bool, typer.Option("--send", help="Send what waits, as the successor of what is there.")]
Destination = Annotated[str, typer.Option("--destination", help="Answer for this destination or box alone.")]


def restored(
    study: Study = "",
    as_sent: AsSent = False,
    send: Send = False,
    destination: Destination = "",
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """List studies that a destination or a box may have something of from before a restore, or answer for one.

    Nothing is sent there about such a study until it is answered. Look at the study in the PACS first.
    """
    ledger = open_ledger(site.known(config))
    if not study:
        if as_sent or send or destination:
            raise UsageError("name the study that the answer is about")
        _list(earlier_results.questions(ledger), as_json)
        return
    if as_sent == send:
        raise UsageError("answer with --as-sent or with --send")
    said = EarlierResultsAnswer.AS_SENT if as_sent else EarlierResultsAnswer.SEND
    tell(earlier_results.answer(ledger, study, destination, said, SystemClock().now(), who_types()), as_json)


def _list(found: earlier_results.Questions, as_json: bool) -> None:
    if as_json:
        output.as_json({"questions": [earlier_results.plain(each) for each in found]})
        return
    if not found:
        output.console().print("nothing is asked")
    for each in found:
        output.console().print(cell(f"study {each.study_instance_uid}: {each.question}"), soft_wrap=True)
        for command in earlier_results.commands(each).values():
            output.console().print(cell(f"    {command}"), soft_wrap=True)
