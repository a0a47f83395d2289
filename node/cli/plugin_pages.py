"""How `pacsnode plugin` shows what it found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from node.cli import output
from node.cli.output import cell, table
from node.kit.checking import CheckFinding
from node.kit.inventory import InventoryEntry
from node.kit.listing import PluginEntry
from node.kit.running import PluginAnswer

_LOG_LINES = 30
"""Of a failed run that are shown; all of it is in the file."""


def show_answer(answer: PluginAnswer, out: Path, *, as_json: bool) -> None:
    """What a run gave: what the result says, the report as readers get it, or why there is none."""
    if as_json:
        output.as_json(asdict(answer))
        return
    console = output.console()
    for text in answer.warnings:
        output.error(f"warning: {text}")
    for line in answer.says:
        console.print(cell(line), soft_wrap=True)
    if answer.report:
        console.print()
        console.print(cell("The report:", "bold"))
        for line in answer.report:
            console.print(cell(line), soft_wrap=True)
    if not answer.worked:
        output.error(f"{'failed' if answer.error else 'no result'}: {answer.error}")
        for line in answer.log.splitlines()[-_LOG_LINES:]:
            output.error(f"  | {line}")
    took = f"{answer.seconds:.1f} s" if answer.seconds is not None else "no time"
    memory = f", {answer.peak_memory / 2**20:.0f} MiB" if answer.peak_memory else ""
    console.print()
    console.print(cell(f"It took {took}{memory}. Written to {out}:"))
    for path in answer.files:
        console.print(cell(f"  {path.relative_to(out)}"), soft_wrap=True)


def shown_while_it_lasts(found: Iterable[CheckFinding], *, as_json: bool) -> Iterator[CheckFinding]:
    """Each thing as it is found; for scripts all of them at the end."""
    kept = []
    for each in found:
        kept.append(each)
        if not as_json:
            _show(each)
        yield each
    if as_json:
        ok = all(each.passed for each in kept)
        output.as_json({"ok": ok, "findings": [asdict(each) for each in kept]})


def _show(found: CheckFinding) -> None:
    word, style = ("ok", "green") if found.passed else ("WRONG", "bold red")
    if found.passed and found.warning:
        word, style = "look", "yellow"
    first, *more = found.detail.splitlines() or [""]
    console = output.console()
    told = f": {first}" if first else ""
    console.print(cell(f"{word:<6}", style) + cell(f"{found.what}{told}"), soft_wrap=True)
    for line in more:
        console.print(cell(f"      {line}"), soft_wrap=True)


def show_list(entries: Sequence[PluginEntry], *, as_json: bool) -> None:
    """All plugins in one table."""
    if as_json:
        output.as_json({"plugins": [asdict(each) for each in entries]})
        return
    rows = [
        [cell(each.name), cell(each.version), cell(each.origin), cell(", ".join(each.used_by)), cell(each.state)]
        for each in entries
    ]
    output.console().print(table("Plugins", ["=Name", "=Version", "=From", "Used by", "State"], rows))


def show_inventory(entries: Sequence[InventoryEntry], *, as_json: bool) -> None:
    """One table of versions and numbers, then what is stated of each."""
    if as_json:
        output.as_json({"inventory": [asdict(each) for each in entries]})
        return
    rows = [
        [
            cell(each.name),
            cell(each.version),
            cell(each.digest[:12]),
            cell("yes" if each.installed else "no"),
            cell(each.since.strftime("%Y-%m-%d") if each.since else ""),
            cell(each.jobs),
            cell(each.failures),
            cell("withdrawn" if each.withdrawn else "", "red"),
        ]
        for each in entries
    ]
    columns = ["=Name", "=Version", "=Digest", "Here", "=Since", ">Jobs", ">Failed", "State"]
    output.console().print(table("Inventory", columns, rows))
    for each in entries:
        output.console().print()
        output.console().print(
            cell(f"{each.name} {each.version} ({each.manufacturer or 'manufacturer not stated'})", "bold")
        )
        for label, text in _STATED:
            said = getattr(each, text) or ("" if text in ("withdrawn", "udi") else "not stated")
            if said:
                output.console().print(cell(f"  {label:<14} {said}"), soft_wrap=True)


_STATED = (
    ("intended use", "intended_use"),
    ("clearance", "clearance"),
    ("training data", "training_data"),
    ("known limits", "known_limits"),
    ("validated on", "validated_on"),
    ("allowed by", "allowed_by"),
    ("UDI", "udi"),
    ("digest", "digest"),
    ("withdrawn", "withdrawn"),
)


def show_facts(facts: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    """One plugin, line by line."""
    if as_json:
        named: dict[str, list[str]] = {}
        for name, text in facts:
            named.setdefault(name, []).append(text)
        output.as_json(named)
        return
    for name, text in facts:
        output.console().print(cell(f"{name:<12} {text}"), soft_wrap=True)
