"""The figures of README.md: `python -m plugins.examples.ct_nodules.validation`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plugins import manifest
from plugins.contract import ImageReference, Volume
from plugins.examples.ct_nodules import ct_nodules
from plugins.phantoms.nodules import EllipsoidalNodule, NoduleChest, SphericalNodule

_Nodule = SphericalNodule | EllipsoidalNodule
NODULES: Mapping[str, _Nodule] = {
    "sphere of 6 mm": SphericalNodule((-110.0, -30.0, 42.0), 6.0),
    "sphere of 8 mm, left lung": SphericalNodule((70.0, -40.0, 30.0), 8.0),
    "sphere of 12 mm": SphericalNodule((-95.0, 40.0, 36.0), 12.0),
    "ellipsoid of 18 x 12 x 14 mm on the wall, left lung": EllipsoidalNodule((125.0, 10.0, 34.0), (6.0, 9.0, 7.0)),
    "sphere of 20 mm, left lung": SphericalNodule((78.0, 45.0, 38.0), 20.0),
}
SLICES = (1.0, 1.5, 2.0, 3.0)
SEEDS = range(1, 4)


def phantom(slice_mm: float, seed: int = 1, size: int = 400) -> NoduleChest:
    """A part of a chest with all of them, of the noise of a low dose, each time elsewhere between the voxels."""
    shift = np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    return NoduleChest(
        size=size,
        slice_mm=slice_mm,
        noise_hu=25.0,
        seed=seed,
        extent=(10.0, 62.0),
        partial_volume=True,
        nodules=tuple(_moved(nodule, shift) for nodule in NODULES.values()),
    )


def _moved(nodule: _Nodule, by: NDArray[np.float64]) -> _Nodule:
    x, y, z = (float(each) for each in np.array(nodule.centre) + by)
    if isinstance(nodule, SphericalNodule):
        return SphericalNodule((x, y, z), nodule.diameter_mm)
    return EllipsoidalNodule((x, y, z), nodule.half_axes)


def as_volume(chest: NoduleChest) -> Volume:
    """The phantom's voxels as the plugin reads them from its files."""
    z, y, x = chest.axes
    affine = np.diag([chest.pixel_mm, chest.pixel_mm, chest.slice_mm, 1.0])
    affine[:3, 3] = x[0], y[0], z[0]
    frames = tuple(ImageReference(f"1.2.{index + 1}") for index in range(len(z)))
    spacing = (chest.slice_mm, chest.pixel_mm, chest.pixel_mm)
    return Volume(chest.array.astype(np.float32), spacing, affine, frames)


def errors(chest: NoduleChest) -> tuple[list[tuple[float, float] | None], int]:
    """For each nodule mm of its long axis and % of its volume too much, None where it was not found; and false ones."""
    volume = as_volume(chest)
    parameters = manifest.load(Path(__file__).parent).parameters_for({})
    found = ct_nodules.find(volume, parameters)
    places = [ct_nodules.position(volume, each.mask) for each in found]
    made: list[tuple[float, float] | None] = []
    for nodule in chest.nodules:
        near = [number for number, place in enumerate(places) if np.linalg.norm(place - nodule.centre) < 5]
        made.append(None)
        if near:
            one = found[near[0]]
            volume_error = 100 * (one.volume_mm3 / (1000 * nodule.volume_ml) - 1)
            made[-1] = one.long_mm - nodule.long_axis_mm, volume_error
    return made, len(found) - sum(each is not None for each in made)


def table(slices: Sequence[float] = SLICES) -> Iterator[str]:
    """One row for each nodule, one column for each slice thickness: the range of the errors of all seeds."""
    yield "| nodule | " + " | ".join(f"{each:g} mm" for each in slices) + " |"
    yield "|---|" + "---|" * len(slices)
    columns, false = [], []
    for slice_mm in slices:
        runs = [errors(phantom(slice_mm, seed)) for seed in SEEDS]
        columns.append([_cell(each) for each in zip(*(made for made, _ in runs), strict=True)])
        false.append(str(sum(count for _, count in runs)))
    for name, cells in zip(NODULES, zip(*columns, strict=True), strict=True):
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield "| found and not there | " + " | ".join(false) + " |"


def _cell(errors_of_one: Sequence[tuple[float, float] | None]) -> str:
    seen = [each for each in errors_of_one if each is not None]
    if not seen:
        return "not found"
    diameters, volumes = zip(*seen, strict=True)
    missed = f", found {len(seen)} of {len(errors_of_one)}" if len(seen) < len(errors_of_one) else ""
    return f"{min(diameters):+.1f} to {max(diameters):+.1f} mm; {min(volumes):+.0f} to {max(volumes):+.0f} %{missed}"


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)  # noqa: T201 - this is a command for whoever validates
