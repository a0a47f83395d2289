"""`pacsnode retention`: what goes, what stays and why, and how long the disk will do."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group

from node.cli import output, site
from node.cli.actions import tell
from node.cli.output import cell, table
from node.clock import SystemClock
from node.config.values import duration_text
from node.desk import retention as desk
from node.desk.actor import who_types
from node.desk.retention import UNITS, ClassOutlook, RetentionOutlook
from node.desk.site import open_ledger

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would go, what stays, and how long the disk will do.")
]


def retention(
    config: site.ConfigPath = site.DEFAULT_CONFIG, dry_run: DryRun = False, as_json: site.AsJson = False
) -> None:
    """Let what is old enough by `retention` go now, whatever the time of day. A running node does it.

    With --dry-run nothing goes. It shows of each class how much would, how much stays although it is old enough, and
    why; and in how many days the disk will be full if it goes on like in the last seven.
    """
    configuration = site.known(config)
    ledger, now = open_ledger(configuration), SystemClock().now()
    if not dry_run:
        tell(desk.begin(ledger, configuration, now, who_types()), as_json)
        return
    found = desk.look(ledger, configuration, now)
    if as_json:
        output.as_json(desk.for_scripts(found))
        return
    rows = [[cell(text) for text in _row(each)] for each in found.classes]
    parts = [table("Would go now", ["Class", "Older than", ">Would go", ">Size", "Stays although it is old"], rows)]
    output.console().print(Group(*parts, *(cell(line) for line in _disk(found))))


def _row(found: ClassOutlook) -> list[str]:
    if found.age is None:
        return [found.name, "kept", "", "", ""]
    kept = "; ".join(f"{number}: {why}" for why, number in sorted(found.kept.items(), key=lambda each: -each[1]))
    size = _size(found.bytes) if found.bytes is not None else ""
    return [found.name, duration_text(found.age), f"{found.going} {UNITS.get(found.name, 'rows')}", size, kept]


def _disk(found: RetentionOutlook) -> list[str]:
    below = f"; below {_size(found.below)} files go before their time" if found.below is not None else ""
    lines = ["", f"{_size(found.free)} are free, {_size(found.stays_free)} are to stay free{below}"]
    if found.received_a_day is None or found.removed_a_day is None:
        return [*lines, "The ledger is too young to say how fast the disk fills"]
    lines.append(f"A day: {_size(found.received_a_day)} received, {_size(found.removed_a_day)} of images removed")
    if found.days_left is None:
        return [*lines, "The disk does not fill"]
    return [*lines, f"{found.days_left} days are left until associations are refused, if it goes on like this"]


def _size(octets: int) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if octets >= size:
            return f"{octets / size:.1f} {unit}"
    return f"{octets} B"
