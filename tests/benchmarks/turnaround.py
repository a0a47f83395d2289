"""Turnaround: from the last image that was answered to the moment the PACS has accepted SR and SC."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from node.dimse.demo_pacs import DemoPACS
from node.ledger import deliveries
from tests.benchmarks import receivers, samples
from tests.benchmarks.figures import quantile, table
from tests.support.programs.peers import storescu
from tests.support.sites.site import Site, destination

QUIET_SECONDS = 1.0
OBJECTS = 3
"""SR, and two SC pages."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One study's way, in seconds without the quiet period."""

    total: float
    plugin: float
    """From the plugin's start to its end: its process, its reading of the images, its own work."""

    @property
    def overhead(self) -> float:
        """What is the node's."""
        return self.total - self.plugin


def measure(studies: int, slices: int, folder: Path, instances: int = 0) -> list[Turn]:
    """Send CT studies one after the other to a node with one rule; its PACS is the demonstration's.

    `instances`: what its ledger holds already.
    """
    turns = []
    with DemoPACS(folder / "pacs", "PACS") as pacs, ExitStack() as stack:
        site = Site(
            folder / "node",
            {"pacs": destination("PACS", pacs.port)},
            node={"completion": {"quiet": f"{QUIET_SECONDS:g}s", "quiet_by_modality": {}}},
        )
        if instances:
            receivers.grow(site.data, instances, folder / "example")
        stack.enter_context(site)
        for number in range(studies + 1):
            uid = f"1.2.826.0.1.7.{number}"
            files = samples.write_study(folder / "files", samples.CT, slices, uid)
            _sent(storescu(pacs.port, [next(files.iterdir())], "PACS", "CT1"))
            _sent(storescu(site.port, [files], "PACSNODE", "CT1"))
            last = datetime.now(UTC)
            turn = _turn(site, uid, last)
            if number:  # in the first, programs load
                turns.append(turn)
            shutil.rmtree(files)
    shutil.rmtree(folder)
    return turns


def _sent(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def _turn(site: Site, study: str, last: datetime) -> Turn:
    (job,) = site.wait_delivered(study, OBJECTS)
    sent = [each.sent_at for each in deliveries.of_study(site.ledger.database, study)]
    assert job.started_at is not None
    assert job.finished_at is not None
    accepted = max(each for each in sent if each is not None)
    total = (accepted - last).total_seconds() - QUIET_SECONDS
    return Turn(total, (job.finished_at - job.started_at).total_seconds())


def show(turns: list[Turn]) -> str:
    """Both quantiles, of all and of what is the node's."""
    rows = [
        [name, f"{quantile(values, 0.5):.2f}", f"{quantile(values, 0.95):.2f}", f"{max(values):.2f}"]
        for name, values in (
            ("without the quiet period", [turn.total for turn in turns]),
            ("plugin's job (copying images to it, its process, its work)", [turn.plugin for turn in turns]),
            ("the node's overhead", [turn.overhead for turn in turns]),
        )
    ]
    return table([f"seconds, {len(turns)} studies", "p50", "p95", "max"], rows)
