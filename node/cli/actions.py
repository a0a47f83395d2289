"""`pacsnode retry` and `pacsnode cancel`: what a person decides about a job, a delivery or a held study."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import output, site
from node.cli.output import cell
from node.clock import SystemClock
from node.desk import actions
from node.desk.actions import Done
from node.desk.actor import who_types
from node.desk.site import open_ledger

_HELP = (
    "A job (its id or a unique beginning of it), a delivery (its number) or a notification (notification:NUMBER), as "
    "`status` and `study` show them"
)
JobOrDelivery = Annotated[
    str, typer.Argument(metavar="ID", help=f"{_HELP}; or the UID of a study: its images are not sent on.")
]
JobDeliveryOrStudy = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=f"{_HELP}; commitment: and the number of a storage commitment; defect: and the number of what could not "
        "be handled; or the UID of a study: one that is held, or has held or dead images.",
    ),
]


TakeNewest = Annotated[
    bool,
    typer.Option(
        "--take-newest",
        help="Of a study held because it was sent again under another patient or order: go by the newer.",
    ),
]


def retry(
    what: JobDeliveryOrStudy,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    take_newest: TakeNewest = False,
    as_json: site.AsJson = False,
) -> None:
    """Do a job again, send a delivery (again), or release a held study. The record says who asked for it.

    An ended job is done again as a new job that names the old one; what it finds is a new result.
    A delivery is sent at once, under the same UIDs, and the destination is asked again whose study it is.
    A held study is released as it was first received, or with --take-newest as it was sent again: then the corrected
    instances count, and it is decided and run anew. A storage commitment is decided anew, by what is stored now, and
    reported. What could not be handled for a reason nobody foresaw is tried again. A running node notices by itself.
    """
    ledger = open_ledger(site.known(config))
    _tell(actions.retry(ledger, what, SystemClock().now(), who_types(), take_newest=take_newest), as_json)


def cancel(what: JobOrDelivery, config: site.ConfigPath = site.DEFAULT_CONFIG, as_json: site.AsJson = False) -> None:
    """Stop a job that has not been reported, or a delivery that has not been sent. The record says who asked for it."""
    ledger = open_ledger(site.known(config))
    _tell(actions.cancel(ledger, what, SystemClock().now(), who_types()), as_json)


def _tell(done: Done, as_json: bool) -> None:
    if as_json:
        output.as_json(done.value)
    else:
        for line in done.sentence.splitlines():
            output.console().print(cell(line), soft_wrap=True)
