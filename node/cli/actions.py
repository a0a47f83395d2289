"""`pacsnode retry`, `complete` and `cancel`: what a person decides about a job, a delivery or a study."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import output, site
from node.cli.output import cell
from node.clock import SystemClock
from node.desk import actions
from node.desk.actions import ActionOutcome
from node.desk.actor import who_types
from node.desk.site import open_ledger

_HELP = (
    "A job (its id or a unique beginning of it), a delivery (its number) or a notification (notification:NUMBER). "
    "`status` and `study` show them"
)
JobOrDelivery = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=f"{_HELP}. The UID of a study: its waiting images are not forwarded. withdrawal:STUDY: what is listed for "
        "withdrawal was taken out at the destinations, or may stay.",
    ),
]
JobDeliveryOrStudy = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=f"{_HELP}. Also commitment:NUMBER (a storage commitment) and defect:NUMBER (an item that an "
        "unexpected error stopped). The UID of a study: one that is held, or has held or dead images.",
    ),
]


TakeNewest = Annotated[
    bool,
    typer.Option(
        "--take-newest",
        help="For a study that is held because it was sent again under another patient or order: use the newer images.",
    ),
]


def retry(
    what: JobDeliveryOrStudy,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    take_newest: TakeNewest = False,
    as_json: site.AsJson = False,
) -> None:
    """Run a job again, send a delivery now, or release a held study. The record says who asked for it.

    An ended job runs again as a new job that names the old one. Its result is a new result.
    A delivery is sent now, under the same UIDs, after a new identity check at the destination.
    A held study is released as it was first received. With --take-newest it is released as it was sent again: the
    corrected instances count, and the rules decide again.
    A storage commitment is decided again, by what is stored now, and reported.
    What an unexpected error stopped is tried again. A running node notices by itself.
    """
    ledger = open_ledger(site.known(config))
    tell(actions.retry(ledger, what, SystemClock().now(), who_types(), take_newest=take_newest), as_json)


def complete(
    name: Annotated[
        str, typer.Argument(metavar="STUDY", help="The UID, a unique beginning or end of it, or the accession number.")
    ],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Complete a study that is still being received, with the images it has now. The record says who asked for it.

    Neither the quiet period nor an open association is waited for. What comes later makes a new revision. A running
    node notices by itself.
    """
    ledger = open_ledger(site.known(config))
    tell(actions.complete(ledger, name, SystemClock().now(), who_types()), as_json)


def cancel(what: JobOrDelivery, config: site.ConfigPath = site.DEFAULT_CONFIG, as_json: site.AsJson = False) -> None:
    """Stop a job that has no report yet, or a delivery that was not sent yet. The record says who asked for it."""
    ledger = open_ledger(site.known(config))
    tell(actions.cancel(ledger, what, SystemClock().now(), who_types()), as_json)


def tell(done: ActionOutcome, as_json: bool) -> None:
    """What was done, for people or for scripts."""
    if as_json:
        output.as_json(done.value)
    else:
        for line in done.sentence.splitlines():
            output.console().print(cell(line), soft_wrap=True)
