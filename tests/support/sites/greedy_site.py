"""A site with a small data disk where one plugin takes whatever it can get, and another plugin has a study to read."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom import dcmread

from node.dimse.demo_pacs import DemoPACS
from node.ledger import jobs
from node.ledger.job import Job
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import SeriesHeader
from tests.support.programs.peers import storescu
from tests.support.sites.site import SUPPORT, Site, destination, rule

CHEST = Chest(size=64, slice_mm=23.0)
GREEDY = SeriesHeader(study_description="greedy", patient_id="GREEDY", accession_number="G1")
MODEST = SeriesHeader(study_description="modest", patient_id="MODEST", accession_number="M1")
OTHER = SeriesHeader(study_description="other", patient_id="OTHER", accession_number="O1")
ENDS = {
    "findings": "10000 items, at most 1000",
    "holes": "has 65536 × 32768 pixels a slice",
    "memory": "in files in memory), at most 400 MiB",
    "disk": "wrote more than the data disk has room for",
}
"""What it takes too much of, and what the job's error says."""
DEADLINE_SECONDS = 180.0
"""For all of it, on a machine that has other work, too."""


class NoSmallDiskError(Exception):
    """Nothing can be mounted on this machine."""


@dataclass(frozen=True, slots=True)
class BesideGreedy:
    """What happened to the others meanwhile."""

    reported_seconds: float
    """From the last image of the modest study to its report in the PACS."""
    accepted: int
    """Associations of a modality; each was accepted."""
    ended: dict[str, Job]
    """What it takes → its job."""


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[Site, DemoPACS]]:
    """The node, on a data disk of 600 MiB, which runs all of it at once, and a PACS that has the images already.

    Raises `NoSmallDiskError`.
    """
    with DemoPACS(folder / "pacs", "PACS") as pacs:
        for header in (GREEDY, MODEST):
            for path in chest_series.write_series(CHEST, folder / header.patient_id, header):
                (pacs.folder / f"{header.patient_id}-{path.name}").symlink_to(path)
        greedy = {"folder": str(SUPPORT / "sites" / "greedy"), "at_once": len(ENDS), "attempts": 1}
        node = {"jobs_at_once": len(ENDS) + 1, "limits": {"free_space": "100MiB"}}
        made = Site(folder / "node", {"pacs": destination("PACS", pacs.port)}, _rules(), {"greedy": greedy}, node)
        made.data.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(made.data)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            raise NoSmallDiskError("nothing can be mounted here, so no small disk")
        try:
            with made:
                yield made, pacs
        finally:
            subprocess.run(["umount", "--lazy", str(made.data)], check=True)


def play(site: Site, pacs: DemoPACS, folder: Path) -> BesideGreedy:
    """Send both studies, then images of a third one until both are through; AssertionError where one is refused."""
    greedy, modest = (sorted((folder / each.patient_id).iterdir()) for each in (GREEDY, MODEST))
    other = chest_series.write_series(replace(CHEST, slice_mm=5.0), folder / "other", OTHER)
    _send(site, greedy)
    _send(site, modest)
    sent, accepted, seconds = time.monotonic(), 0, 0.0
    while not seconds or not _have_ended(_greedy_jobs(site, _study(greedy))):
        _send(site, [other[accepted % len(other)]])
        accepted += 1
        now = time.monotonic() - sent
        assert now < DEADLINE_SECONDS, {k: each.status for k, each in _greedy_jobs(site, _study(greedy)).items()}
        if not seconds and _is_reported(pacs, _study(modest)):
            seconds = now
    return BesideGreedy(seconds, accepted, _greedy_jobs(site, _study(greedy)))


def _rules() -> list[dict[str, object]]:
    greedy = [
        rule("greedy", name=f"greedy-{takes}", run={"plugin": "greedy", "parameters": {"takes": takes}})
        | {"when": {"Modality": "CT", "StudyDescription": "greedy"}}
        for takes in ENDS
    ]
    return [*greedy, rule() | {"when": {"Modality": "CT", "StudyDescription": "modest"}}]


def _send(site: Site, paths: list[Path]) -> None:
    done = storescu(site.port, paths, called="PACSNODE", calling="CT1")
    assert done.returncode == 0, f"refused: {done.stderr}"


def _is_reported(pacs: DemoPACS, study: str) -> bool:
    made = [dcmread(path, stop_before_pixels=True) for path in pacs.files() if not path.is_symlink()]
    return any((each.StudyInstanceUID, each.Modality) == (study, "SR") for each in made)


def _greedy_jobs(site: Site, study: str) -> dict[str, Job]:
    return {job.rule.removeprefix("greedy-"): job for job in jobs.of_study(site.ledger.database, study)}


def _have_ended(found: dict[str, Job]) -> bool:
    return found.keys() == ENDS.keys() and all(job.outcome is not None for job in found.values())


def _study(paths: list[Path]) -> str:
    return str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
