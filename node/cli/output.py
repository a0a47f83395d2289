"""How the command speaks: tables for people, JSON for scripts, errors on standard error."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from node.clock import to_text
from node.config.problems import printable


class ExitCode(IntEnum):
    """What the command's exit code says."""

    OK = 0
    FAILED = 1
    """It did not work: a peer refused, there is no such study, some files were not sent."""
    USAGE = 2
    """Wrong usage or configuration: nothing was tried."""


SEVERITY_STYLES = {"critical": "bold red", "alert": "bold red", "warning": "yellow", "info": ""}


def console() -> Console:
    """Standard output for people; made when needed, so that it goes where standard output goes then."""
    return Console(highlight=False, soft_wrap=False)


def error(message: str) -> None:
    """One error, on standard error, in plain words; its control characters are escaped, its line ends kept."""
    lines = [printable(line) for line in message.splitlines()]
    with contextlib.suppress(OSError):  # a full disk under standard error: the exit code, or `serve`, still says it
        typer.echo("\n".join(lines), err=True)


def as_json(value: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_json_value))


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def cell(value: object, style: str = "") -> Text:
    """A value in a table: never read as markup, control characters escaped; empty for None."""
    return Text("" if value is None else printable(str(value)), style=style)


def logs(named: Iterable[str | None], data: Path) -> list[RenderableType]:
    """The paths of logs, which are named relative to the data folder: each once, on a line of its own, to be copied."""
    paths = [cell(data.absolute() / name) for name in dict.fromkeys(named) if name]
    return [cell("Logs", "bold"), *paths] if paths else []


def show_finding(mark: str, style: str, sentence: str, next_step: str) -> None:
    """One line that says how it is, and a line for what to do, where there is something."""
    line = cell(f"{mark:<9} ", style)
    line.append_text(cell(sentence))
    page = console()
    page.print(line)
    if next_step:
        page.print(Padding(cell(f"→ {next_step}"), (0, 0, 0, 10)))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Text | str]]) -> RenderableType:
    """A table without rules between rows; columns named with `>` in front stand to the right, with `=` never wrap."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        name = column.lstrip(">=")
        made.add_column(name, justify="right" if ">" in column else "left", no_wrap="=" in column, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return Group(Text(title, style="bold"), made)
