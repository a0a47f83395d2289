"""`pacsnode notify`: does it reach them? A test message to somebody whom rules may tell."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer

from node.cli import output, site
from node.cli.output import Exit, cell
from node.config.problems import closest
from node.errors import NodeError, UsageError
from node.notify import channels, message


def notify(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="A name under `people` in the configuration.")],
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Send a test message to a person now, by every channel. Exit code 1: a channel did not take it."""
    configuration = site.load(config)
    known = configuration.people
    if person not in known:
        meant = closest(person, known)
        hint = f'did you mean "{meant}"?' if meant else f"there is {', '.join(known) or 'nobody'}"
        raise UsageError(f'the configuration has nobody called "{person}" under people; {hint}')
    trial = message.trial(str(uuid.uuid4()), configuration.node.ae_title)
    found: dict[str, Any] = {}
    for name, send in channels.of(known[person], configuration).items():
        try:
            send(trial)
            found[name] = None
        except NodeError as error:
            found[name] = str(error)
    if as_json:
        output.as_json({"person": person, "channels": {name: problem or "taken" for name, problem in found.items()}})
    else:
        for name, problem in found.items():
            output.console().print(cell(f"{name}: {problem or 'taken'}", "bold red" if problem else ""))
    if any(found.values()):
        raise typer.Exit(Exit.FAILED)
