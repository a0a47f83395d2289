"""docs/performance.md, from what was measured; what does not come from a run stands in performance_notes.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks import (
    attacks,
    backlog,
    beside_greedy,
    encoding,
    laying_out,
    models,
    purging,
    receive,
    receivers,
    retries,
    rules,
    searching,
    size,
    turnaround,
    warm,
)
from tests.benchmarks.backlog import BacklogFigures
from tests.benchmarks.encoding import Encoded
from tests.benchmarks.figures import quantile, spread, table
from tests.benchmarks.laying_out import LaidOut
from tests.benchmarks.receive import Figures, Scenario
from tests.benchmarks.size import Sized
from tests.benchmarks.turnaround import Turn
from tests.support.programs.peers import find_program
from tests.support.sites.greedy_site import BesideGreedy

_ROOT = Path(__file__).resolve().parents[2]
PATH = _ROOT / "docs" / "performance.md"
_NOTES = Path(__file__).with_name("performance_notes.md")

_GOALS = [
    ("CT, one association", receivers.FSYNC, receivers.ORTHANC, 2.0),
    ("CT, one association", receivers.FSYNC, receivers.PYNETDICOM, 8.0),
    ("CT, one association", receivers.OS, receivers.DCMTK, 0.9),
    ("CT, sender with Nagle", receivers.FSYNC, receivers.ORTHANC_AS_PACKAGED, 10.0),
    ("Growth: CT, one association", receivers.grown(10**6), receivers.grown(10**3), 0.9),
]
_TURNAROUND_GOAL = 1.5
_GROWTH_GOAL = 1.1
"""p95 of the turnaround with a million instances in the ledger, by that with a thousand."""

SIZE_NOTE = (
    "Report, pages, segmentation of both lungs and three nodules, heat map and key images, as the node keeps them and"
    " sends them where that is accepted; the images count uncompressed (`python -m tests.benchmarks.size` alone)."
)


@dataclass(frozen=True)
class Measured:
    """All that one run of the bench found."""

    received: Sequence[tuple[Scenario, dict[str, Figures]]]
    turns: Sequence[Turn]
    slices: int
    """Images of each study of `turns`."""
    grown: Mapping[int, Sequence[Turn]]
    """Turns with this many instances in the ledger; none in a short run."""
    encoded: Sequence[Encoded]
    sized: Sequence[Sized]
    decided: rules.Figures
    retried: retries.Retries
    attacked: attacks.Outcomes
    handed: Sequence[LaidOut]
    beside_greedy: BesideGreedy | None
    kept: warm.WarmFigures
    searched: Sequence[searching.Searched]
    purged: purging.PurgeFigures
    waiting: Sequence[BacklogFigures]
    """A node without and one with a backlog."""
    modelled: Sequence[models.ModelFigures]


def text(found: Measured, remark: str = "") -> str:
    """The page; `remark` says what was special about this run."""
    parts = [
        "# Performance",
        "Written by `make bench`; do not edit. Ratios compare receivers that took turns in one run, round by round;"
        " absolute figures belong to one machine and one day. Figures are `median (min–max)` of the rounds.",
        _machine(),
        "## Goals",
        _goals(found),
        *_reasons(found),
        _NOTES.read_text().strip(),
        *([remark] if remark else []),
        "## Receiving",
        *(receive.show(scenario, figures).strip() for scenario, figures in found.received),
        f"## Turnaround, CT of {found.slices} slices",
        turnaround.show(list(found.turns)),
        *(f"With {n:,} instances in the ledger:\n\n{turnaround.show(list(turns))}" for n, turns in found.grown.items()),
        "## Encoding results",
        "Checks before sending included, in a warm encoder process; memory is all that the process took.",
        encoding.show(found.encoded),
        "## Size of results",
        SIZE_NOTE,
        size.show(found.sized),
        "## Handing images to a plugin",
        laying_out.show(found.handed),
        "## Warm workers",
        warm.__doc__ or "",
        warm.show(found.kept),
        "## Model files",
        models.__doc__ or "",
        models.show(found.modelled),
        "## Rules",
        rules.show(found.decided),
        "## A person's retry while images are indexed",
        retries.show(found.retried),
        "## Looking for studies",
        f"Among {searching.STUDIES:,} studies; goal {searching.GOAL} s.",
        searching.show(found.searched),
        "## Receiving while studies go",
        purging.__doc__ or "",
        purging.show(found.purged),
        "## A backlog for a destination that is down",
        backlog.show(found.waiting),
        "## Beside a plugin that takes what it can get",
        beside_greedy.show(found.beside_greedy),
        "## Attacks",
        attacks.__doc__ or "",
        attacks.show(found.attacked),
    ]
    return "\n\n".join(parts) + "\n"


def _goals(found: Measured) -> str:
    by_name = {scenario.name: figures for scenario, figures in found.received}
    rows = []
    for scenario, ours, theirs, goal in _GOALS:
        if scenario not in by_name:
            continue  # the short form leaves some out
        figures = by_name[scenario]
        ratios = receive.ratios(figures[ours.name], figures[theirs.name])
        rows.append(
            [scenario, f"{ours.name} ÷ {theirs.name}", f"≥ {goal:g}", spread(ratios, 2), _verdict(ratios, goal)]
        )
    overhead = quantile([turn.overhead for turn in found.turns], 0.95)
    verdict = "met" if overhead <= _TURNAROUND_GOAL else f"missed by {overhead - _TURNAROUND_GOAL:.1f} s"
    rows.append(["turnaround", "p95 of the node's overhead, s", f"≤ {_TURNAROUND_GOAL:g}", f"{overhead:.2f}", verdict])
    if found.grown:
        few, many = (quantile([turn.overhead for turn in found.grown[n]], 0.95) for n in (10**3, 10**6))
        verdict = "met" if many <= _GROWTH_GOAL * few else f"missed by {many / few - _GROWTH_GOAL:.0%}"
        rows.append(
            ["turnaround", "p95 at 10⁶ instances ÷ at 10³", f"≤ {_GROWTH_GOAL:g}", f"{many / few:.2f}", verdict]
        )
    rows += [_encoding_goal(one) for one in found.encoded]
    rows += [size_goal(one) for one in found.sized]
    rows.append(laying_out.goal(found.handed))
    rows += warm.goals(found.kept)
    rows += found.decided.goals
    rows.append(retries.goal(found.retried))
    rows.append(searching.goal(found.searched))
    rows.append(purging.goal(found.purged))
    rows += backlog.goals(found.waiting)
    rows.append(beside_greedy.goal(found.beside_greedy))
    rows.append(attacks.goal(found.attacked))
    return table(["scenario", "what", "goal", "measured", ""], rows)


def _reasons(found: Measured) -> list[str]:
    """Why the goals of one association are missed where they are, from what this run measured."""
    figures = {scenario.name: each for scenario, each in found.received}["CT, one association"]
    fsync, os_, dcmtk, app = (
        figures[each.name] for each in (receivers.FSYNC, receivers.OS, receivers.DCMTK, receivers.PYNETDICOM)
    )
    said = []
    if median(receive.ratios(fsync, app)) < 8:
        wanted, best = 8 * median(app.images_a_second), median(dcmtk.images_a_second)
        said.append(
            f"**8 × the pynetdicom app, durable and indexed,** would be {wanted:,.0f} images a second here. dcmtk's"
            f" storescp, in C++, which synchronises nothing and has no index, took {best:,.0f} from the same sender in"
            f" the same rounds, {best / wanted:.2f} of that."
        )
    if median(receive.ratios(os_, dcmtk)) < 0.9:
        said.append(
            f"**Against dcmtk,** CPU seconds a gigabyte: pacsnode {receive.shares(os_)}, dcmtk"
            f" {median(dcmtk.cpu_seconds_a_gigabyte):.1f} (senders {median(dcmtk.by_process['senders']):.1f}), on"
            f" {os.cpu_count()} cores that sender, receiver and index share."
        )
    return said


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


def size_goal(one: Sized) -> list[str]:
    """A row of the table of goals."""
    verdict = "met" if one.ratio <= size.GOAL else f"missed by {one.ratio - size.GOAL:.2f}"
    what = "bytes of a rich result ÷ bytes of its images"
    return [f"size, {one.name}", what, f"≤ {size.GOAL:g}", f"{one.ratio:.2f}", verdict]


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
