"""Warm workers: the node's share of a job, the processor seconds of a cold start, memory over many jobs.

The plugin is bare: it imports NumPy and the contract, and answers at once. Its jobs have one small image, so a job from
its claim to its end is the node's share; of what is copied for a plugin there is a table of its own.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.clock import SystemClock
from node.kit.quiet_log import quiet
from node.ledger import attempts
from node.run.sandbox import isolation
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.benchmarks.figures import quantile, spread, table
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import Site
from tests.support.sites.warm_room import WarmRoom
from tests.support.wait import until

SHARE_GOAL, COLD_GOAL, GROWTH_GOAL = 0.150, 0.35, 1.05
JOBS = 500
_SETTLED = 10
"""Jobs after which the memory of a worker is what it stays."""


@dataclass(frozen=True, slots=True)
class WarmFigures:
    """What was measured."""

    shares: Sequence[float]
    """Seconds of each warm job, from its claim to its end."""
    cold: Sequence[float]
    """Processor seconds of each job in a process of its own, with its guard and its sandbox, until it answers."""
    memory: Sequence[int]
    """Bytes that the worker held after each job."""

    @property
    def growth(self) -> float:
        """Memory at the end by that after the first jobs."""
        return self.memory[-1] / self.memory[min(_SETTLED, len(self.memory) - 1)]


def measure(folder: Path, jobs: int) -> WarmFigures:
    """Run so many jobs in one worker, and a few in a process each."""
    with quiet():
        shares, memory = _warm(folder / "site", jobs)
        cold = _cold(folder / "room")
    shutil.rmtree(folder)
    return WarmFigures(shares, cold, memory)


def _cold(folder: Path) -> list[float]:
    room = WarmRoom(folder, isolation())
    room.plugin('said["seconds"] = time.process_time()')
    cold = []
    for _ in range(10):
        before = _processor_seconds()
        job = room.job(worker_jobs=1)
        # A process that is ended with its pid namespace is in nobody's account.
        cold.append(_processor_seconds() - before + job.said["seconds"])
    return cold


def _warm(folder: Path, jobs: int) -> tuple[list[float], list[int]]:
    site = Site(folder, SystemClock())
    site.python_plugin("bare", warm={"jobs": jobs + 2, "idle": "1h"})
    receipts = site.receive(1)
    site.complete()
    workers = WarmWorkers(site.data_folder.work)
    plugins = site.catalogue()
    run = RunStage(site.node, with_slots(1), lambda _: plugins, workers)
    shares: list[float] = []
    memory: list[int] = []
    for number in range(jobs + 1):
        job = site.job("bare", receipts, rule=f"rule {number}")
        until(lambda job=job: run.run_once() and site.get(job).finished_at, what="the end of the job")
        attempt = attempts.last_of(site.ledger.database, job.id)
        assert attempt is not None
        assert attempt.ended_at is not None
        if number:  # in the first, it loads
            shares.append((attempt.ended_at - attempt.started_at).total_seconds())
            until(lambda: workers.waiting, what="the worker to wait")
            memory += [each.memory for each in workers.waiting]
    assert len(memory) == jobs, "the worker was not kept"
    run._stop(0)
    workers.close()
    return shares, memory


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(found: WarmFigures) -> str:
    """One line for each."""
    held = [octets / 2**20 for octets in found.memory]
    rows = [
        [
            f"the node's share of a warm job, s ({len(found.shares)} jobs)",
            spread(found.shares, 3),
            f"p95 {quantile(found.shares, 0.95):.3f}",
        ],
        [f"processor seconds of a cold start ({len(found.cold)} jobs)", spread(found.cold, 3), ""],
        ["memory of the worker, MiB", spread(held, 1), f"at the end by after {_SETTLED} jobs: {found.growth:.3f}"],
    ]
    return table(["warm workers", "median (min–max)", ""], rows)


def goals(found: WarmFigures) -> list[list[str]]:
    """Rows of the table of goals."""
    share, cold = quantile(found.shares, 0.5), quantile(found.cold, 0.5)
    measured = [
        ("the node's share of a warm job, s", SHARE_GOAL, share),
        ("processor seconds of a cold start", COLD_GOAL, cold),
        (f"memory after {len(found.memory)} jobs ÷ after {_SETTLED}", GROWTH_GOAL, found.growth),
    ]
    return [
        [
            "warm workers",
            what,
            f"≤ {goal:g}",
            f"{value:.3f}",
            "met" if value <= goal else f"missed by {value - goal:.3f}",
        ]
        for what, goal, value in measured
    ]


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(Path(scratch) / "warm", int(sys.argv[1]) if sys.argv[1:] else JOBS)))
