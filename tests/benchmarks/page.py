"""docs/performance.md, from what was measured; what does not come from a run stands in performance_notes.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks import attacks, encoding, receive, receivers, rules, turnaround
from tests.benchmarks.encoding import Encoded
from tests.benchmarks.figures import quantile, spread, table
from tests.benchmarks.receive import Figures, Scenario
from tests.benchmarks.turnaround import Turn
from tests.support.peers import find_program

_ROOT = Path(__file__).resolve().parents[2]
PATH = _ROOT / "docs" / "performance.md"
_NOTES = Path(__file__).with_name("performance_notes.md")

_GOALS = [
    ("CT, one association", receivers.FSYNC, receivers.ORTHANC, 2.0),
    ("CT, one association", receivers.FSYNC, receivers.PYNETDICOM, 8.0),
    ("CT, one association", receivers.OS, receivers.DCMTK, 0.9),
    ("CT, sender with Nagle", receivers.FSYNC, receivers.ORTHANC_AS_PACKAGED, 10.0),
]
_TURNAROUND_GOAL = 1.5


@dataclass(frozen=True)
class Measured:
    """All that one run of the bench found."""

    received: Sequence[tuple[Scenario, dict[str, Figures]]]
    turns: Sequence[Turn]
    slices: int
    """Images of each study of `turns`."""
    encoded: Sequence[Encoded]
    decided: rules.Figures
    attacked: attacks.Outcomes


def text(found: Measured, remark: str = "") -> str:
    """The page; `remark` says what was special about this run."""
    parts = [
        "# Performance",
        "Written by `make bench`; do not edit. Ratios compare receivers that took turns in one run, round by round;"
        " absolute figures belong to one machine and one day. Figures are `median (min–max)` of the rounds.",
        _machine(),
        "## Goals",
        _goals(found),
        _NOTES.read_text().strip(),
        *([remark] if remark else []),
        "## Receiving",
        *(receive.show(scenario, figures).strip() for scenario, figures in found.received),
        f"## Turnaround, CT of {found.slices} slices",
        turnaround.show(list(found.turns)),
        "## Encoding results",
        "Checks before sending included, in a warm encoder process; memory is all that the process took.",
        encoding.show(found.encoded),
        "## Rules",
        rules.show(found.decided),
        "## Attacks",
        attacks.__doc__ or "",
        attacks.show(found.attacked),
    ]
    return "\n\n".join(parts) + "\n"


def _goals(found: Measured) -> str:
    by_name = {scenario.name: figures for scenario, figures in found.received}
    rows = []
    for scenario, ours, theirs, goal in _GOALS:
        figures = by_name[scenario]
        ratios = receive.ratios(figures[ours.name], figures[theirs.name])
        rows.append(
            [scenario, f"{ours.name} ÷ {theirs.name}", f"≥ {goal:g}", spread(ratios, 2), _verdict(ratios, goal)]
        )
    overhead = quantile([turn.overhead for turn in found.turns], 0.95)
    verdict = "met" if overhead <= _TURNAROUND_GOAL else f"missed by {overhead - _TURNAROUND_GOAL:.1f} s"
    rows.append(["turnaround", "p95 of the node's overhead, s", f"≤ {_TURNAROUND_GOAL:g}", f"{overhead:.2f}", verdict])
    rows += [_encoding_goal(one) for one in found.encoded]
    rows += found.decided.goals
    rows.append(attacks.goal(found.attacked))
    return table(["scenario", "what", "goal", "measured", ""], rows)


def _encoding_goal(one: Encoded) -> list[str]:
    taken, octets = median(one.an_object), f"{one.octets / 1e9:.2f} GB of {encoding.MOST_MEMORY / 1e9:g}"
    met = taken <= one.goal and one.octets <= encoding.MOST_MEMORY
    verdict = "met" if met else f"missed by {max(0.0, taken - one.goal):.2f} s"
    return [
        f"encoding, {one.name}",
        "seconds an object; memory",
        f"≤ {one.goal:g}",
        f"{spread(one.an_object, 2)}; {octets}",
        verdict,
    ]


def _verdict(ratios: Sequence[float], goal: float) -> str:
    return "met" if median(ratios) >= goal else f"missed by {1 - median(ratios) / goal:.0%}"


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"Machine: {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, loopback; load"
        f" average at the end {os.getloadavg()[2]:.1f} over 15 minutes (other work runs on it, so the spread is wide)."
        f" Python {platform.python_version()}, pynetdicom {version('pynetdicom')}, pydicom {version('pydicom')},"
        f" {_says('storescp', '--version')}, {_says('Orthanc', '--version')}."
    )


def _says(program: str, option: str) -> str:
    path = find_program(program)
    done = subprocess.run([str(path), option], capture_output=True, text=True, check=False)
    words = done.stdout.replace("$dcmtk: storescp", "dcmtk").split()
    return " ".join(words[:2])
