"""The figures of README.md: `python -m plugins.lung_density.validation [FOLDER …]`.

Without a folder: phantoms whose truth is known, and how far the measurement is from it. With folders: what the plugin
says of each CT series in them.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from plugins import manifest
from plugins.contract import NotApplicableError, Series, Study
from plugins.lung_density.densitometry import measure
from plugins.lung_density.orientation import AnatomicalView
from plugins.lung_density.plugin import LungDensity
from plugins.lung_density.segmentation import LEFT, RIGHT, segment
from plugins.phantoms.chest import Chest
from plugins.phantoms.long_chest import LongChest

PHANTOMS = {
    "chest": Chest(size=192, slice_mm=2.5),
    "noise of 25 HU, vessels": Chest(size=192, slice_mm=2.5, noise_hu=25, vessels=True),
    "lungs that touch, 25 HU, vessels": Chest(size=192, slice_mm=2.5, noise_hu=25, touching=True, vessels=True),
    "hollow couch, down to the kidneys": LongChest(size=192, slice_mm=2.5, noise_hu=15, stomach=False),
    "stomach in contact with the lung": LongChest(size=192, slice_mm=2.5, noise_hu=15, couch=False),
    "couch, stomach, 35 % emphysema": LongChest(size=192, slice_mm=2.5, noise_hu=15, emphysema=(0.35, 0.2)),
}


def of_phantoms() -> Iterator[str]:
    """One row of a table for each phantom: how far volume, LAA%-950 and Perc15 are from the truth, right and left."""
    yield "| phantom | volume, right / left | LAA%-950 | Perc15 |"
    yield "|---|---|---|---|"
    for name, chest in PHANTOMS.items():
        spacing = (chest.slice_mm, chest.pixel_mm, chest.pixel_mm)
        labels = segment(AnatomicalView(chest.array.astype(np.float32), spacing, (0, 1, 2), ())).labels
        cells = []
        for side in (RIGHT, LEFT):
            found = measure(chest.array[labels == side].astype(np.float32), float(np.prod(spacing)) / 1000)
            truth = chest.truth(side)
            cells.append(
                (
                    f"{100 * (found.volume_ml / truth.volume_ml - 1):+.1f} %",
                    f"{found.laa950_percent - truth.laa950_percent:+.2f}",
                    f"{found.perc15_hu - truth.perc15_hu:+.0f} HU",
                )
            )
        yield f"| {name} | " + " | ".join(f"{right} / {left}" for right, left in zip(*cells, strict=True)) + " |"


def of_series(folders: Sequence[Path]) -> Iterator[str]:
    """What the plugin says of each CT series below the folders."""
    by_series: dict[str, list[Path]] = defaultdict(list)
    names: dict[str, str] = {}
    for path in sorted(each for folder in folders for each in folder.rglob("*") if each.is_file()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError):
            continue
        if header.get("Modality") == "CT" and "Rows" in header and "SeriesInstanceUID" in header:
            by_series[str(header.SeriesInstanceUID)].append(path)
            names.setdefault(
                str(header.SeriesInstanceUID), f"{path.parent.name}: {header.get('SeriesDescription', '')}"
            )
    parameters = manifest.load(Path(__file__).parent).parameters_for({})
    for uid, files in by_series.items():
        try:
            said = LungDensity().analyse(Study("", (Series(uid, "CT", "", tuple(files)),)), parameters).summary
        except NotApplicableError as reason:
            said = f"not applicable: {reason}"
        yield f"{names[uid].strip(': ')}, {len(files)} images: {said}"


def main(arguments: Sequence[str]) -> None:
    """The command."""
    for line in of_series([Path(each) for each in arguments]) if arguments else of_phantoms():
        print(line, flush=True)  # noqa: T201 - this is a command for whoever validates


if __name__ == "__main__":
    main(sys.argv[1:])
