"""`pacsnode install` and `uninstall`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Root = Annotated[
    Path, typer.Option("--root", metavar="DIR", help="A system that is being built there, instead of this machine.")
]
_MACHINE = Path("/")


def install(
    users_only: Annotated[
        bool, typer.Option("--users-only", help="Make the system users pacsnode and pacsnode-plugin alone.")
    ] = False,
    dry_run: DryRun = False,
    root: Root = _MACHINE,
) -> None:
    """Make the node a service of this machine: users, folders, units for systemd, the journal. As root.

    It says of each thing whether it made it or found it. It can be run again; what a person changed is left alone.
    """
    if users_only:
        from node.serve import users

        lines = users.make()
    else:
        from node.installation import making

        lines = making.install(root.absolute(), dry_run=dry_run)
    for line in lines:
        typer.echo(line)


def uninstall(dry_run: DryRun = False, root: Root = _MACHINE) -> None:
    """Remove what `pacsnode install` wrote. As root. Images, ledger, configuration and users stay.

    The last lines say where they are. What a person changed is left alone.
    """
    from node.installation import removal

    for line in removal.uninstall(root.absolute(), dry_run=dry_run):
        typer.echo(line)
