"""`pacsnode check --security`: a table for people, or plain values."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import typer

from node.cli import output
from node.cli.output import ExitCode, cell
from node.desk.security import asking
from node.desk.security.row import SecurityRow, SecuritySeverity

_STYLES = {
    SecuritySeverity.GOOD: "green",
    SecuritySeverity.NOTE: "dim",
    SecuritySeverity.WARNING: "yellow",
    SecuritySeverity.CRITICAL: "bold red",
}


def show(config: Path, *, as_json: bool) -> None:
    """Answer, and end the command with 1 where something is critical."""
    found = list(asking.rows(config))
    if as_json:
        output.as_json({"rows": [asdict(each) for each in found]})
    else:
        for each in found:
            _line(each)
        counts = Counter(each.severity for each in found)
        told = ", ".join(f"{counts[severity]} {severity}" for severity in reversed(SecuritySeverity))
        output.console().print(cell(told))
    if any(each.severity is SecuritySeverity.CRITICAL for each in found):
        raise typer.Exit(ExitCode.FAILED)


def _line(row: SecurityRow) -> None:
    place = f"{row.where} {row.key}: " if row.where else ""
    change = f"{place}{row.change}" if row.change else ""
    output.show_finding(row.severity, _STYLES[row.severity], f"{row.topic}: {row.said}", change)
