"""What encoding costs (performance.md: SR < 0.3 s, a page < 0.5 s, a SEG of 512 × 512 × 300 < 4 s and < 1.5 GB)."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from node.results.encode import encode
from node.results.request import EncodingProfile, Kind
from plugins.contract import ImageReference, Result, Segment, Segmentation
from tests.support import reports

SLICES, SIDE = 300, 512


def measure() -> dict[str, float]:
    """Seconds for an SR, for a page and for a SEG, each with its gate and on disk; peak memory of the process in GB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = reports.write_series("ct", folder / "in")
        nodule = reports.nodule(reports.reference("ct"))
        _seconds(paths, nodule, "sr", folder / "warm")  # the first one loads tables and fonts
        found = {
            "sr_seconds": _seconds(paths, nodule, "sr", folder / "sr"),
            "page_seconds": _seconds(paths, nodule, "sc", folder / "sc") / 2,
            "seg_seconds": _seconds(_large_series(folder / "large"), _large_result(), "seg", folder / "seg"),
        }
    found["peak_gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def _seconds(paths: list[Path], result: Result, kind: Kind, target: Path) -> float:
    profile = EncodingProfile(kinds=frozenset({kind}))
    request = reports.request(paths, result, profile=profile)
    start = time.perf_counter()
    encode(request, target)
    return time.perf_counter() - start


def _large_series(folder: Path) -> list[Path]:
    paths = []
    for number in range(1, SLICES + 1):
        image = reports.ct(number)
        image.Rows = image.Columns = SIDE
        image.PixelData = bytes(SIDE * SIDE * 2)
        paths.append(reports.write(image, folder / f"{number:04d}.dcm"))
    return paths


def _large_result() -> Result:
    labels = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    labels[20:280, 100:400, 60:230], labels[20:280, 100:400, 280:450] = 1, 2
    frames = tuple(ImageReference(f"{reports.STUDY_UID}.2.{number}") for number in range(1, SLICES + 1))
    small = reports.lungs(reports.frames("ct"))
    segments: tuple[Segment, ...] = small.segments
    measured = reports.measured()
    return Result(
        measured.status, measured.summary, measured.findings, segmentation=Segmentation(labels, frames, segments)
    )
