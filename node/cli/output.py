"""How the command speaks: tables for people, JSON for scripts, errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from node.clock import to_text
from node.config.problems import printable


class Exit(IntEnum):
    """What the command's exit code says."""

    OK = 0
    FAILED = 1
    """It did not work: a peer refused, there is no such study, some files were not sent."""
    USAGE = 2
    """Wrong usage or configuration: nothing was tried."""


SEVERITY_STYLES = {"alert": "bold red", "warning": "yellow", "info": ""}


def console() -> Console:
    """Standard output for people; made when needed, so that it goes where standard output goes then."""
    return Console(highlight=False, soft_wrap=False)


def error(message: str) -> None:
    """One error, on standard error, in plain words; its control characters are escaped, its line ends kept."""
    lines = [printable(line) for line in message.splitlines()]
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


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Text | str]]) -> RenderableType:
    """A table without rules between rows; columns named with `>` in front stand to the right, with `=` never wrap."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        name = column.lstrip(">=")
        made.add_column(name, justify="right" if ">" in column else "left", no_wrap="=" in column, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return Group(Text(title, style="bold"), made)


def clock_text(moment: datetime | None, zone: tzinfo, now: datetime) -> str:
    """A moment in the site's time zone, as short as possible on the day of `now`."""
    if moment is None:
        return ""
    local, today = moment.astimezone(zone), now.astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d}"


def ago(period: timedelta) -> str:
    """A period in its largest fitting unit: `42 s`, `7 min`, `3 h`, `5 d`."""
    seconds = max(0, int(period.total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def tail(uid: str, length: int = 14) -> str:
    """The end of a UID, which tells it from its neighbours; `study` takes it."""
    return uid if len(uid) <= length else f"…{uid[-length + 1 :]}"


def short(job: str) -> str:
    """The beginning of a job's id, enough to name it."""
    return job[:8]
