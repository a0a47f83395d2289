"""The command as a whole: every command under its name, and what becomes of errors."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from node import __version__
from node.cli import (
    actions,
    explain,
    network,
    notifying,
    output,
    replay,
    reports,
    rules,
    running,
    site,
    status,
    timeline,
)
from node.cli.output import Exit
from node.config.problems import ConfigurationError
from node.errors import NodeError

app = typer.Typer(
    name="pacsnode",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they show local variables, which hold patients' data
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    running.serve,
    running.check,
    running.schema,
    network.echo,
    network.send,
    notifying.notify,
    status.status,
    timeline.study,
    explain.explain,
    replay.replay,
    rules.rules,
    actions.retry,
    actions.cancel,
    reports.read,
    running.demo,
):
    app.command()(command)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"pacsnode {__version__}")
        raise typer.Exit(Exit.OK)
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


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit. What the node can name is said in one line, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 lacks our arrows and dots
    try:
        app(args=None if arguments is None else list(arguments), prog_name="pacsnode")
    except (ConfigurationError, site.UsageError) as error:
        output.error(str(error))
        sys.exit(Exit.USAGE)
    except NodeError as error:
        output.error(f"pacsnode: {error}")
        sys.exit(Exit.FAILED)
    except PermissionError as error:
        output.error(f"pacsnode: {error.filename}: {error.strerror}; run it as the user that the node runs as")
        sys.exit(Exit.FAILED)
