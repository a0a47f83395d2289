"""Encoding results, checks included: seconds and memory, in a process that is warm and set up as the node's encoder."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from node.config.encoding import EncodingProfile, Kind
from node.results import encoder
from node.results.encode import encode
from plugins.contract import ImageReference, Result, Segmentation
from tests.benchmarks import samples
from tests.benchmarks.figures import spread, table
from tests.support.results import reports

_UID = "1.2.826.0.1.8"


@dataclass(frozen=True, slots=True)
class Encoded:
    """One kind of object, round by round."""

    name: str
    objects: int
    seconds: list[float]
    """A round, for all its objects."""
    octets: int
    """Of memory that the process took at most, libraries included."""
    goal: float
    """Seconds an object that it may take."""

    @property
    def an_object(self) -> list[float]:
        """Seconds an object, round by round."""
        return [seconds / self.objects for seconds in self.seconds]


def measure(folder: Path, rounds: int, slices: int) -> list[Encoded]:
    """Each kind in a process of its own, warmed by the same on three of the slices."""
    files = sorted(samples.write_study(folder / "files", samples.CT, slices, _UID).iterdir())
    measured = []
    for name, kind, make, goal in _KINDS:
        with ProcessPoolExecutor(1, get_context("spawn"), initializer=encoder.begin) as pool:
            pool.submit(_round, files[:3], kind, make, folder / "warm").result()
            found = [pool.submit(_round, files, kind, make, folder / kind).result() for _ in range(rounds)]
        (objects,) = {objects for objects, _, _ in found}
        most = max(octets for _, _, octets in found)
        measured.append(Encoded(name.format(slices), objects, [seconds for _, seconds, _ in found], most, goal))
    shutil.rmtree(folder)
    return measured


def show(measured: Sequence[Encoded]) -> str:
    """A table; objects of one result together."""
    rows = [[one.name, str(one.objects), spread(one.seconds, 2), f"{one.octets / 1e6:.0f}"] for one in measured]
    return table(["result", "objects", "seconds", "memory, MB"], rows)


def _round(files: Sequence[Path], kind: Kind, make: Callable[[int], Result], folder: Path) -> tuple[int, float, int]:
    """In the encoder's process: objects, seconds, octets."""
    result = make(len(files))
    request = reports.request(files, result, profile=EncodingProfile(kinds=frozenset({kind})))
    began = time.perf_counter()
    objects = encode(request, folder)
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    return len(objects), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- what is encoded ----------------------------------------------------------------------------------


def _frames(count: int) -> list[ImageReference]:
    return [ImageReference(f"{_UID}.1.{number}") for number in range(1, count + 1)]


def _numbers(_count: int) -> Result:
    return reports.measured()


def _pages(count: int) -> Result:
    """A detector's finding on its key image, and a table of numbers: two pages."""
    nodule = reports.nodule(_frames(count)[0])
    return replace(nodule, findings=(*nodule.findings, *reports.measured().findings))


def _segmentation(count: int) -> Result:
    """Two lungs as boxes, on every slice."""
    labels = np.zeros((count, 512, 512), dtype=np.uint8)
    labels[:, 100:400, 60:240], labels[:, 100:400, 270:450] = 1, 2
    frames = _frames(count)
    result = reports.segmented(frames)
    assert result.segmentation is not None
    return replace(result, segmentation=Segmentation(labels, tuple(frames), result.segmentation.segments))


_KINDS: tuple[tuple[str, Kind, Callable[[int], Result], float], ...] = (
    ("SR on {} images", "sr", _numbers, 0.3),
    ("SC pages", "sc", _pages, 0.5),
    ("SEG 512 × 512 × {}", "seg", _segmentation, 4.0),
)
MOST_MEMORY = 1.5e9
"""Octets that a Segmentation may take."""
