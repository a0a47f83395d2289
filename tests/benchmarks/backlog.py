"""What 100,000 objects cost that wait for a destination which is down, against a node with none: nothing but disk.

Both sites take turns in one run. Memory and CPU are those of all processes of the node, after it has come to rest.

python -m tests.benchmarks.backlog
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket

import psutil

from node.clock import SystemClock
from node.ledger.database import FILE, Ledger
from tests.benchmarks import ledger_rows
from tests.benchmarks.figures import table
from tests.support.sites.site import Site, destination

WAITING = 100_000
GOAL = 1.25
"""The site with the backlog by the one without: start, memory and `status`."""
CPU_GOAL = 1.0
"""Percent of a core, while the destination is down."""
_ROUNDS = 3
_REST, _WATCHED = 8.0, 20.0
"""Seconds until a node has come to rest, and for which its CPU is counted."""


@dataclass(slots=True)
class BacklogFigures:
    """One site, a figure for each round."""

    waiting: int
    start: list[float] = field(default_factory=list)
    """Seconds until it listens and its ledger is open."""
    memory: list[float] = field(default_factory=list)
    """MB resident."""
    cpu: list[float] = field(default_factory=list)
    """CPU, as percent of a core: nothing waits in the empty node, so a ratio would say nothing."""
    status: list[float] = field(default_factory=list)
    """CPU seconds of `pacsnode status`."""


def measure(folder: Path, waiting: int = WAITING, rounds: int = _ROUNDS) -> list[BacklogFigures]:
    """An empty node and one with the backlog, round by round."""
    with closing(socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    retry = {"first": "10s", "factor": 2, "longest": "15m"}
    pacs = {"pacs": destination("PACS", port, retry=retry)}
    found = []
    for number in (0, waiting):
        site = Site(folder / str(number), pacs, rules=[])
        site.data.mkdir(parents=True)
        _fill(site.data / FILE, number)
        found.append((site, BacklogFigures(number)))
    for site, _ in found:
        with site:  # the first start of a folder looks at all that is in it, once
            pass
    for _ in range(rounds):
        for site, figures in found:
            _round(site, figures)
    return [figures for _, figures in found]


def show(found: Sequence[BacklogFigures]) -> str:
    """For people."""
    rows = [[f"{each.waiting:,}", *(f"{value:.2f}" for value in _medians(each))] for each in found]
    rows.append(["ratio", *(f"{ratio:.2f}" for ratio in ratios(found)), ""])
    head = ["Objects that wait", "start s", "memory MB", "status, CPU s", "CPU, % of a core"]
    return table(head, rows)


def goals(found: Sequence[BacklogFigures]) -> list[list[str]]:
    """The lines of the table of goals."""
    empty, full = found
    worst = max(ratios(found))
    verdict = "met" if worst <= GOAL else f"missed by {worst / GOAL - 1:.0%}"
    what = f"{full.waiting:,} objects that wait ÷ {empty.waiting}: start, memory, status; the worst"
    busy = statistics.median(full.cpu)
    spent = "met" if busy <= CPU_GOAL else f"missed by {busy - CPU_GOAL:.1f}"
    return [
        ["a destination is down", what, f"≤ {GOAL:g}", f"{worst:.2f}", verdict],
        ["a destination is down", "CPU of the node meanwhile, % of a core", f"≤ {CPU_GOAL:g}", f"{busy:.2f}", spent],
    ]


def ratios(found: Sequence[BacklogFigures]) -> list[float]:
    """The site with the backlog by the other, by their medians: start, memory, `status`."""
    empty, full = (_medians(each)[:3] for each in found)
    return [large / small for small, large in zip(empty, full, strict=True)]


def _medians(figures: BacklogFigures) -> list[float]:
    return [statistics.median(each) for each in (figures.start, figures.memory, figures.status, figures.cpu)]


def _round(site: Site, figures: BacklogFigures) -> None:
    began = time.monotonic()
    with site:
        figures.start.append(time.monotonic() - began)
        time.sleep(_REST)
        before = _cpu_of(site.processes())
        time.sleep(_WATCHED)
        processes = site.processes()
        figures.cpu.append((_cpu_of(processes) - before) / _WATCHED * 100)
        figures.memory.append(sum(each.memory_info().rss for each in processes) / 2**20)
        figures.status.append(_status(site))


def _cpu_of(processes: Sequence[psutil.Process]) -> float:
    times = [each.cpu_times() for each in processes]
    return float(sum(each.user + each.system for each in times))


def _status(site: Site) -> float:
    command = [sys.executable, "-m", "node.cli", "status", "--config", str(site.config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def _fill(path: Path, waiting: int) -> None:
    """A study at least, so that both have what `status` shows."""
    ledger = Ledger(path)
    ledger_rows.add_waiting(ledger, waiting, SystemClock().now())
    ledger.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.backlog", description=__doc__)
    parser.add_argument("--waiting", type=int, default=WAITING)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(Path(scratch), options.waiting, options.rounds)))
