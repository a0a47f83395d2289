"""`pacsnode doctor`."""

from __future__ import annotations

import typer
from rich.padding import Padding

from node.cli import output, site
from node.cli.output import ExitCode, cell
from node.clock import SystemClock
from node.desk.doctor import looking
from node.desk.doctor.finding import Diagnosis, DoctorFinding

_STYLES = {
    Diagnosis.GOOD: "green",
    Diagnosis.DOUBTFUL: "yellow",
    Diagnosis.WRONG: "bold red",
    Diagnosis.NOT_SEEN: "dim",
}


def doctor(config: site.ConfigPath = site.DEFAULT_CONFIG, as_json: site.AsJson = False) -> None:
    """Look at what goes wrong at real sites, and name the next step for each.

    Ports, peers, clock, disk, confinement, GPU, certificates, permissions, log, character sets. It changes nothing.
    Exit code 1: something is wrong.
    """
    found: list[DoctorFinding] = []
    for each in looking.look(config, SystemClock().now()):
        found.append(each)
        if not as_json:
            _show(each)
    if as_json:
        output.as_json({"findings": [_plain(each) for each in found]})
    if any(each.diagnosis is Diagnosis.WRONG for each in found):
        raise typer.Exit(ExitCode.FAILED)


def _show(finding: DoctorFinding) -> None:
    """One line, and a line for what to do."""
    line = cell(f"{finding.diagnosis:<9} ", _STYLES[finding.diagnosis])
    line.append_text(cell(f"{finding.what}: {finding.said}"))
    console = output.console()
    console.print(line)
    if finding.next_step:
        console.print(Padding(cell(f"→ {finding.next_step}"), (0, 0, 0, 10)))


def _plain(finding: DoctorFinding) -> dict[str, str]:
    return {
        "what": finding.what,
        "diagnosis": finding.diagnosis,
        "said": finding.said,
        "next_step": finding.next_step,
    }
