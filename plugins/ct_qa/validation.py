"""The figures of README.md: `python -m plugins.ct_qa.validation [FOLDER …]`.

Without a folder: phantoms with a known fault, and how far each number is from the truth. With folders: what the plugin
says of each CT series in them; of images of patients it has to say that they are not applicable.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from plugins import manifest
from plugins.contract import ImageReference, NotApplicableError, Series, Study, Volume
from plugins.ct_qa import cylinder, readings
from plugins.ct_qa.plugin import CTQA
from plugins.phantoms.water import WaterPhantom

SEEDS = range(1, 9)
PHANTOMS = {
    "sound": WaterPhantom(),
    "sound, noise of 15 HU": WaterPhantom(noise_hu=15.0),
    "sound, 1 slice of 1 mm, noise of 12 HU": WaterPhantom(size=512, slices=1, slice_mm=1.0, noise_hu=12.0),
    "sound, 12 mm out of the middle": WaterPhantom(centre_mm=(9.0, -8.0)),
    "sound, 320 mm": WaterPhantom(diameter_mm=320.0, field_of_view_mm=400.0, size=512),
    "drift of 7 HU": WaterPhantom(drift_hu=7.0),
    "cupping of 8 HU at the edge": WaterPhantom(cupping_hu=8.0),
    "capping of -8 HU at the edge": WaterPhantom(cupping_hu=-8.0),
    "ring of 6 HU": WaterPhantom(ring_hu=6.0),
    "ring of 6 HU, 12 mm out of the middle": WaterPhantom(ring_hu=6.0, centre_mm=(9.0, -8.0)),
    "ring of -5 HU, noise of 8 HU": WaterPhantom(ring_hu=-5.0, noise_hu=8.0),
    "streak of 6 HU": WaterPhantom(streak_hu=6.0),
}


def as_volume(phantom: WaterPhantom) -> Volume:
    """The phantom's voxels as the plugin would read them."""
    step = phantom.pixel_mm
    affine = np.diag([step, step, phantom.slice_mm, 1.0])
    frames = tuple(ImageReference(f"1.2.{index + 1}") for index in range(phantom.slices))
    spacing = (phantom.slice_mm, step, step)
    return Volume(phantom.hounsfield.astype(np.float32), spacing, affine, frames)


def measured(phantom: WaterPhantom) -> readings.Reading:
    """What the plugin measures of it."""
    volume = as_volume(phantom)
    return readings.read(volume, cylinder.find(volume))


def of_phantoms(names: Collection[str] = PHANTOMS.keys()) -> Iterator[str]:
    """One row for each phantom: the largest error of eight scans with different noise, and what was found."""
    yield "| phantom | water, HU | noise, % | edge minus center, HU | ring, HU | local deviation, HU |"
    yield "|---|---|---|---|---|---|"
    for name in names:
        phantom = PHANTOMS[name]
        found = [measured(replace(phantom, seed=seed)) for seed in SEEDS]
        water = max(abs(reading.water - phantom.drift_hu) for reading in found)
        noise = max(abs(reading.noise / phantom.noise_hu - 1) for reading in found)
        edge = float(phantom.truth(phantom.diameter_mm / 2 - 22.6)) - phantom.drift_hu
        uniformity = max(abs(reading.uniformity - edge) for reading in found)
        rings = _range([reading.ring for reading in found])
        spots = _range([reading.spot for reading in found])
        yield f"| {name} | ±{water:.1f} | ±{100 * noise:.0f} | ±{uniformity:.1f} | {rings} | {spots} |"


_DAYS = 20
NOISES = (4.0, 8.0, 15.0)
"""HU, of the phantoms for `of_limits`."""


def of_limits(noises: Sequence[float] = NOISES) -> Iterator[str]:
    """What is found for certain and what never, with the default limits, by the noise of a scan.

    Drift and cupping add to what noise alone makes of a scan, so the scans of a sound scanner say from where on all of
    them are out of limits (`always`) and up to where none is (`never`).
    """
    parameters = manifest.load(Path(__file__).parent).parameters_for({})
    water, edge, change = (float(parameters[f"maximum_{name}_hu"]) for name in ("water", "nonuniformity", "drift"))
    yield "| noise, HU | drift, HU | cupping at the edge, HU | drift a day that 20 daily scans show, HU |"
    yield "|---|---|---|---|"
    for noise in noises:
        found = [measured(WaterPhantom(noise_hu=noise, seed=seed)) for seed in SEEDS]
        phantom = WaterPhantom(cupping_hu=1.0)
        share = float(phantom.truth(phantom.diameter_mm / 2 - 22.6))
        drift = _bounds([reading.water for reading in found], water, 1.0)
        edges = [max(reading.edges.values()) - reading.water for reading in found]
        cupping = _bounds(edges, edge, share)
        worst = max(reading.water for reading in found) - min(reading.water for reading in found)
        daily = (change + worst) / ((_DAYS + 1) / 2)
        yield f"| {noise:g} | {drift} | {cupping} | {daily:.2f} |"


def _bounds(errors: Sequence[float], limit: float, share: float) -> str:
    return f"always from {(limit - min(errors)) / share:.1f}, never up to {(limit - max(errors)) / share:.1f}"


def _range(values: Sequence[float]) -> str:
    return "none" if not any(values) else f"{min(values):+.1f} to {max(values):+.1f}"


def of_series(folders: Sequence[Path]) -> Iterator[str]:
    """What the plugin says of each CT series below the folders."""
    by_series: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(each for folder in folders for each in folder.rglob("*") if each.is_file()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError):
            continue
        if header.get("Modality") == "CT" and "Rows" in header and "SeriesInstanceUID" in header:
            by_series[str(header.SeriesInstanceUID)].append(path)
    parameters = manifest.load(Path(__file__).parent).parameters_for({})
    for uid, files in by_series.items():
        try:
            said = CTQA().analyse(Study("", (Series(uid, "CT", "", tuple(files)),)), parameters).summary
        except NotApplicableError as reason:
            said = f"not applicable: {reason}"
        yield f"{files[0].parent.name}, {len(files)} images: {said}"


def main(arguments: Sequence[str]) -> None:
    """The command."""
    for line in of_series([Path(each) for each in arguments]) if arguments else (*of_phantoms(), "", *of_limits()):
        print(line, flush=True)  # noqa: T201 - this is a command for whoever validates


if __name__ == "__main__":
    main(sys.argv[1:])
