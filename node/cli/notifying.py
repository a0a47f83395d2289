"""`pacsnode notify`: does it reach them? A test message to somebody whom rules may tell."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli import output, site
from node.cli.output import ExitCode, cell
from node.desk import trial


def notify(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="A name under `people` in the configuration.")],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Send a test message to a person now, by every channel. Exit code 1: a channel did not take it."""
    found = trial.send(config, person)
    if as_json:
        output.as_json({"person": person, "channels": {name: problem or "taken" for name, problem in found.items()}})
    else:
        for name, problem in found.items():
            output.console().print(cell(f"{name}: {problem or 'taken'}", "bold red" if problem else ""))
    if any(found.values()):
        raise typer.Exit(ExitCode.FAILED)
