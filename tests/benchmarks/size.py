"""How large a rich result is beside its images: report, pages, segmentation and heat map of a chest CT."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from plugins.contract import (
    Box,
    Code,
    Finding,
    Heatmap,
    ImageReference,
    KeyImage,
    Result,
    ResultStatus,
    Score,
    Segment,
    Segmentation,
)
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import write_series
from tests.benchmarks.figures import table
from tests.support.results import reports
from tests.support.shared_data import SHARED_DATA

GOAL = 0.25
_KINDS = ("sr", "sc", "seg", "pm", "ko")
_TISSUE_HU, _AIR_HU = -500, -1020
_WIDTH, _REACH = 14.0, 5.0
"""Of the places that the heat map shows, in pixels and in planes."""


@dataclass(frozen=True, slots=True)
class Sized:
    """One series and its result."""

    name: str
    images: int
    octets: int
    """Of the images, uncompressed."""
    by_kind: Counter[str]
    """Bytes of the result's objects, by their kind."""

    @property
    def ratio(self) -> float:
        """Bytes of the result by bytes of its images."""
        return self.by_kind.total() / self.octets


def measure(folder: Path) -> list[Sized]:
    """The chest phantom at 512 × 512, and a real chest CT where the shared data have it."""
    chest = Chest(size=512, slice_mm=2.3, noise_hu=15, vessels=True)
    found = [_sized("chest phantom", write_series(chest, folder / "phantom"), chest.labels, folder)]
    real = sorted((SHARED_DATA / "LIDC-IDRI-0314").glob("*.dcm"), key=_height)
    if real:
        found.append(_sized("LIDC-IDRI-0314", real, np.stack([_lungs(path) for path in real]), folder))
    shutil.rmtree(folder)
    return found


def show(sized: Sequence[Sized]) -> str:
    """A table, a row for each CT."""
    rows = [
        [
            f"{one.name}, {one.images} images",
            f"{one.octets / 1e6:.0f}",
            *(f"{one.by_kind[kind] / 1e6:.2f}" for kind in _KINDS),
            f"{one.ratio:.2f}",
        ]
        for one in sized
    ]
    return table(["CT", "images, MB", *(f"{kind}, MB" for kind in _KINDS), "result ÷ images"], rows)


def _sized(name: str, files: Sequence[Path], labels: NDArray[np.uint8], folder: Path) -> Sized:
    frames = [
        ImageReference(str(dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID))
        for path in files
    ]
    made = reports.whole(reports.request(files, _rich(frames, np.array(labels))), folder / name)
    sizes: Counter[str] = Counter()
    for one in made:
        sizes[one.kind] += one.path.stat().st_size
    return Sized(name, len(files), 2 * labels.size, sizes)


def _height(path: Path) -> float:
    return float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


def _lungs(path: Path) -> NDArray[np.uint8]:
    """What is as thin as lung in the middle of the image, its left half 1 and its right half 2."""
    image = dcmread(path)
    hounsfield = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    thin = (hounsfield < _TISSUE_HU) & (hounsfield > _AIR_HU)
    thin[:80] = thin[430:] = thin[:, :60] = thin[:, 450:] = False
    labels = thin.astype(np.uint8)
    labels[:, 256:] *= 2
    return labels


def _rich(frames: Sequence[ImageReference], labels: NDArray[np.uint8]) -> Result:
    """Two lungs, three nodules with regions, segments and key images, and a map of where the detector looked."""
    count, rows, columns = labels.shape
    spots = ((count // 2, 250, 150), (count // 3, 260, 370), (2 * count // 3, 220, 160))
    z, y, x = np.ogrid[:count, :rows, :columns]
    values = np.zeros(labels.shape, dtype=np.float32)
    segments = [Segment(n, name, reports.ABNORMALITY, reports.LUNG) for n, name in ((1, "Right"), (2, "Left"))]
    findings, keys = [], []
    for number, (plane, row, column) in enumerate(spots, start=1):
        across = ((y - row) ** 2 + (x - column) ** 2) / _WIDTH**2 / 2
        distance = (across + ((z - plane) / _REACH) ** 2 / 2).astype(np.float32)
        score = 1.1 - 0.2 * number
        np.maximum(values, score * np.exp(-distance), out=values)
        labels[distance < 0.4] = 2 + number
        name = f"Nodule {number}"
        box = Box(np.array([[column - 16.0, row - 16.0], [column + 16.0, row + 16.0]]), frames[plane])
        finding = Finding(reports.NODULE, present=True, score=Score(round(score, 2), 0.5), regions=(box,))
        findings.append(_segmented(finding, 2 + number, name))
        segments.append(Segment(2 + number, name, reports.ABNORMALITY, reports.NODULE))
        keys.append(KeyImage(frames[plane], name))
    saliency = Heatmap(values, tuple(frames), Code("130404", "DCM", "Saliency"), label="Where the detector looked")
    return Result(
        ResultStatus.FINDINGS,
        "Three nodules.",
        tuple(findings),
        segmentation=Segmentation(labels, tuple(frames), tuple(segments)),
        heatmaps=(saliency,),
        key_images=tuple(keys),
    )


def _segmented(finding: Finding, segment: int, name: str) -> Finding:
    return replace(finding, segments=(segment,), tracking_id=name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="pacsnode-bench-") as scratch:
        print(show(measure(Path(scratch) / "size")))
