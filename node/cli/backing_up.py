"""`pacsnode backup`, `restore` and `verify`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from node.cli import output, site
from node.cli.actions import tell
from node.cli.output import ExitCode, cell
from node.clock import SystemClock
from node.desk import backups
from node.desk.actor import who_types
from node.errors import UsageError

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="FOLDER", help="Where backups are kept; absent: `backup.to` of the configuration."),
]
Keep = Annotated[
    int | None,
    typer.Option("--keep", min=1, help="Drop all but this many of the newest backups. Absent: nothing is dropped."),
]
Name = Annotated[str, typer.Option("--name", help="The backup, by the name of its folder; absent: the newest.")]


def backup(
    folder: Folder = None,
    keep: Keep = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Back up the data folder, while the node runs or not: the ledger, received images, results and keys.

    Only what is new is copied. A backup that was cut short counts for nothing, and those before it are kept.
    """
    os.umask(0o077)  # images and secrets
    tell(backups.make(site.known(config), folder, keep, SystemClock(), who_types()), as_json)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the backups are.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The data folder to make: empty, or not there.")],
    name: Name = "",
    as_json: site.AsJson = False,
) -> None:
    """Restore a backup into an empty data folder. If it is cut short, the same command goes on.

    What the node did after the backup is not in it. Studies under way begin again. Before a result is sent, its
    destination is asked whether it has one already; `restored` lists what a person has to answer.
    """
    os.umask(0o077)
    tell(backups.put_back(folder, data, name, SystemClock(), who_types()), as_json)


def verify(
    backup: Annotated[
        Path | None, typer.Option("--backup", help="Check the backups in this folder, not the data folder.")
    ] = None,
    name: Name = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read the files: only look whether they are there.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be proved.")] = False,
    take_from: Annotated[
        Path | None, typer.Option("--from", help="With --repair: a folder of backups to take files from.")
    ] = None,
    config: site.ConfigPath = site.DEFAULT_CONFIG,
    as_json: site.AsJson = False,
) -> None:
    """Check that every file is there and unchanged, and that the ledger is consistent. Exit code 1: it is not.

    The node may run meanwhile. Nothing is changed without --repair.
    """
    if (take_from and not repair) or (backup and (repair or quick)) or (name and not backup):
        raise UsageError("--from needs --repair; --backup goes with --name alone, and --name with --backup")
    os.umask(0o077)
    if backup is not None:
        report = backups.check_backup(backup, name)
    else:
        data = site.known(config).node.data
        report = backups.check(data, quick=quick)
        if repair:
            backups.mend(data, report, SystemClock(), take_from)
    if as_json:
        output.as_json(backups.plain(report))
    else:
        for line in backups.in_words(report):
            output.console().print(cell(line), soft_wrap=True)
    if not report.sound:
        raise typer.Exit(ExitCode.FAILED)
