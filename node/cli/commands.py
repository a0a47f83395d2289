"""The command as a whole: every command under its name, and what becomes of errors."""

from __future__ import annotations

import gc
import io
import sys
from collections import UserDict
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from node import __version__
from node.cli.output import ExitCode, error
from node.config.problems import ConfigurationError
from node.errors import NodeError, UsageError

COMMANDS = {
    "serve": "running",
    "check": "running",
    "schema": "running",
    "echo": "network",
    "send": "network",
    "notify": "notifying",
    "status": "status",
    "alerts": "alerts",
    "ack": "acknowledging",
    "studies": "searching",
    "study": "timeline",
    "explain": "explain",
    "replay": "replay",
    "rules": "rules",
    "review": "reviewing",
    "retry": "actions",
    "release": "actions",
    "complete": "actions",
    "cancel": "actions",
    "done": "actions",
    "adopt": "actions",
    "answers": "answers",
    "pause": "pausing",
    "resume": "pausing",
    "retention": "retention",
    "audit": "auditing",
    "backup": "backing_up",
    "restore": "backing_up",
    "restored": "restored",
    "verify": "backing_up",
    "read": "reports",
    "plugin": "plugin",
    "demo": "running",
    "init": "beginning",
    "doctor": "doctor",
    "metrics": "metrics",
    "users": "users",
    "plan": "plan",
    "install": "installing",
    "uninstall": "installing",
    "bundle": "bundle",
    "upgrade": "upgrading",
}
"""Name of each command, in the order of the help, and the module of `node.cli` that has a function of that name."""


class _Commands(UserDict[str, Any]):
    """Commands by name, each imported when it is asked for: most of what one of them needs no other one does."""

    def __getitem__(self, name: str) -> Any:
        """The command, as typer makes it of its function; KeyError."""
        found = getattr(import_module(f"node.cli.{self.data[name]}"), name)
        if isinstance(found, typer.Typer):  # a group of its own
            group = typer.main.get_command(found)
            group.name = name  # by which the help of all commands lists it
            return group
        alone = typer.Typer(add_completion=False, context_settings=_SETTINGS, pretty_exceptions_enable=False)
        alone.command(name)(found)
        return typer.main.get_command(alone)


class _Group(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(COMMANDS)


_SETTINGS = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="pacsnode",
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they show local variables, which hold patients' data
    context_settings=_SETTINGS,
)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"pacsnode {__version__}")
        raise typer.Exit(ExitCode.OK)
    return wanted


@app.callback()
def _pacsnode(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A hospital DICOM node with AI routing: studies in, rules in YAML, results back to the PACS.

    Exit codes: 0 ok, 1 it did not work, 2 wrong usage or configuration.
    """
    assert not version, "its callback has ended the command"


_RARELY = 100_000
"""Objects after which Python looks for cycles: by its own measure it does so a hundred times at the start."""


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit. What the node can name is said in one line, without a traceback."""
    usual = gc.get_threshold()
    gc.set_threshold(_RARELY)
    try:
        _run(arguments)
    finally:
        gc.set_threshold(*usual)  # whoever calls this in a process of its own has not asked for it


def _run(arguments: Sequence[str] | None) -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 lacks our arrows and dots
    try:
        app(args=None if arguments is None else list(arguments), prog_name="pacsnode")
    except (ConfigurationError, UsageError) as problem:
        error(str(problem))
        sys.exit(ExitCode.USAGE)
    except NodeError as problem:
        error(f"pacsnode: {problem}")
        sys.exit(ExitCode.FAILED)
    except PermissionError as problem:
        error(f"pacsnode: {problem.filename}: {problem.strerror}; run it as the user that the node runs as")
        sys.exit(ExitCode.FAILED)
