"""`pacsnode status`: is it running, what waits where, what went wrong, what arrived last."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import output, site
from node.desk import site as sites


def status(
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    identify: Annotated[bool, typer.Option("--identify", help="Also show the Patient ID of studies.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="One line for Nagios or Icinga, and their exit codes 0 to 3.")
    ] = False,
    as_json: site.AsJson = False,
) -> None:
    """Show queues, the last studies, failures, what is held, and health. Works while the node is stopped, too.

    Patient names are never shown. Studies are named by accession number or by the end of their UID.
    """
    if check:
        from node.desk import monitoring  # each of the three answers imports what it says, and nothing else

        found_out = monitoring.check(config)
        typer.echo(found_out.line)
        raise typer.Exit(found_out.state)
    from node.desk import overview

    standing = sites.standing(config)
    configuration = standing.configuration
    ledger = sites.open_ledger(configuration)
    found = overview.look(ledger, configuration, standing)
    if as_json:
        from node.desk import plain_overview

        output.as_json(plain_overview.of(found, configuration, identify=identify))
    else:
        from node.cli.status_page import page

        output.console().print(page(found, configuration, identify))
