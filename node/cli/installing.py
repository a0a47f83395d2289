"""`pacsnode install`."""

from __future__ import annotations

from typing import Annotated

import typer

from node.errors import UsageError


def install(
    users_only: Annotated[
        bool, typer.Option("--users-only", help="Make the system users pacsnode and pacsnode-plugin.")
    ] = False,
) -> None:
    """Prepare this machine for a node whose plugins run as a user of their own. As root.

    It says of each thing whether it made it or found it. It can be run again, and changes nothing that is there.
    """
    if not users_only:
        raise UsageError("say what to install: --users-only makes the system users, and nothing else can be installed")
    from node.serve import users

    for line in users.make():
        typer.echo(line)
