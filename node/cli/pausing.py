"""`pacsnode pause` and `pacsnode resume`: hold back a plugin, a rule or a destination."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import site
from node.cli.actions import tell
from node.clock import SystemClock
from node.desk import pausing
from node.desk.actor import who_types
from node.desk.rows import Pause
from node.desk.site import open_ledger

What = Annotated[str, typer.Argument(metavar="WHAT", help="plugin, rule or destination.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name in the configuration.")]
Why = Annotated[str, typer.Option("--why", help="The reason, which `status` shows.")]


def pause(
    what: What, name: Name, why: Why, config: site.ConfigPath = site.DEFAULT_CONFIG, as_json: site.AsJson = False
) -> None:
    """Hold back a plugin, a rule or a destination until it is resumed. Nothing is lost, and `status` shows it.

    A plugin or a rule starts no more jobs; a rule still decides. To a destination nothing more is sent. What runs or is
    being sent just now is finished. A running node notices by itself.
    """
    configuration = site.known(config)
    by = who_types()
    found = Pause(pausing.kind(what), name, str(by), SystemClock().now(), why)
    tell(pausing.pause(open_ledger(configuration), configuration, found, by), as_json)


def resume(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="plugin, rule, destination or suspension.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; of a suspension its number.")],
    why: Annotated[
        str | None, typer.Option("--why", help="The reason, for the record. What a stop rule suspended needs one.")
    ] = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Let a paused plugin, rule or destination go on, or what a stop rule has suspended.

    The stop rule then begins a new window. Studies that were reported as not analysed meanwhile are not analysed by
    that: `retry --status failed` does it.
    """
    ledger = open_ledger(site.known(config))
    tell(pausing.resume(ledger, pausing.kind(what), name, SystemClock().now(), who_types(), why), as_json)
