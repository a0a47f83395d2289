"""`pacsnode doctor`."""

from __future__ import annotations

import typer

from node.cli import output, site
from node.cli.output import ExitCode
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
    said = f"{finding.what}: {finding.said}"
    output.show_finding(finding.diagnosis, _STYLES[finding.diagnosis], said, finding.next_step)


def _plain(finding: DoctorFinding) -> dict[str, str]:
    return {
        "what": finding.what,
        "diagnosis": finding.diagnosis,
        "said": finding.said,
        "next_step": finding.next_step,
    }
