"""`pacsnode ack`: somebody has taken note of a notification or an alert."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import site
from node.cli.actions import tell
from node.cli.alerts import Note, Owner
from node.clock import SystemClock
from node.desk.actor import who_types
from node.desk.alerts import acknowledge
from node.desk.site import open_ledger


def ack(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="notification:NUMBER or alert:NUMBER.")],
    owner: Owner = None,
    note: Note = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Acknowledge a notification, so that nobody else is notified of it, or an alert. The record says who did."""
    ledger = open_ledger(site.known(config))
    tell(acknowledge(ledger, what, SystemClock().now(), who_types(), owner, note), as_json)
