"""The figures of README.md: `python -m plugins.brain_tissue.validation [FOLDER]`.

Without a folder: what the plugin says of phantoms that are no brain. With the folder of one series, a real head: what
it says of that head, of what was done to its voxels, and of what was done to its files.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from scipy import ndimage

from plugins import imaging
from plugins.brain_tissue.brain_tissue import MODEL, BrainTissue
from plugins.brain_tissue.network import Box, BrainNetwork
from plugins.brain_tissue.segmentation import segment
from plugins.contract import NotApplicableError, Series, Study, Volume
from plugins.phantoms.head import FLUID, GREY, SCALP, HeadPhantom

_SIDE = 200
"""Voxels of 1 mm of a phantom without files."""


def of_phantoms() -> Iterator[str]:
    """One row of a table for each phantom."""
    yield from _rows("phantom", {name: _volume(make()) for name, make in PHANTOMS.items()})


def of_head(folder: Path) -> Iterator[str]:
    """One row of a table for the head of a series, and for each change of it."""
    head = imaging.volume(_files(folder))
    yield from _rows("head", {name: change(head) for name, change in CHANGES.items()})
    for factor in (0.9, 1.1):
        yield _row(f"input of the network times {factor:g}", head, _DimmedNetwork(factor))


def of_files(folder: Path) -> Iterator[str]:
    """One row of a table for each change of the files of a series, whose patient is an adult unless it says so."""
    plugin = BrainTissue()
    yield "| files | result |"
    yield "|---|---|"
    for name, change in FILE_CHANGES.items():
        with tempfile.TemporaryDirectory() as place:
            changed = change([dcmread(path) for path in _files(folder)])
            paths = [Path(place) / f"{number:04d}.dcm" for number in range(len(changed))]
            for path, dataset in zip(paths, changed, strict=True):
                dataset.save_as(path)
            series = Series(changed[0].SeriesInstanceUID, changed[0].Modality, "", tuple(paths))
            yield f"| {name} | {_said(plugin, Study('1.2', (series,), patient_age=AGES.get(name, 40.0)))} |"


def _said(plugin: BrainTissue, study: Study) -> str:
    try:
        return plugin.analyse(study, {"minimum_age_years": 18.0}).summary
    except NotApplicableError as reason:
        return f"not applicable: {reason}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".dcm")


class _DimmedNetwork(BrainNetwork):
    """The network, for an input that is darker or brighter than its authors' scaling makes it."""

    def __init__(self, by: float) -> None:
        super().__init__(MODEL, threads=2)
        self._by = by

    def labels(self, image: NDArray[np.float32], box: Box, factor: float = 1.0) -> NDArray[np.uint8]:
        return super().labels(image, box, factor * self._by)


def _rows(title: str, volumes: Mapping[str, Volume]) -> Iterator[str]:
    network = BrainNetwork(MODEL, threads=2)
    yield f"| {title} | result |"
    yield "|---|---|"
    for name, volume in volumes.items():
        yield _row(name, volume, network)


def _row(name: str, volume: Volume, network: BrainNetwork) -> str:
    try:
        found = segment(volume, network)
        said = f"white {found.white_ml:.0f} mL, grey {found.grey_ml:.0f} mL"
    except NotApplicableError as reason:
        said = f"not applicable: {reason}"
    return f"| {name} | {said} |"


# --- phantoms --------------------------------------------------------------------------------------


def _volume(array: NDArray[np.float32], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    """Axial slices from feet to head, rows from front to back, columns from right to left."""
    return Volume(array, spacing, np.diag([*spacing[::-1], 1.0]), ())


def _distance(*half_axes: float) -> NDArray[np.float64]:
    """From the middle, 1 at the surface of an ellipsoid; (z, y, x)."""
    grid = np.meshgrid(*[np.arange(_SIDE) - _SIDE / 2] * 3, indexing="ij", sparse=True)
    return np.asarray(np.sqrt(sum((axis / half) ** 2 for axis, half in zip(grid, half_axes, strict=True))))


def _noisy(array: NDArray[np.floating], sigma: float = 12.0) -> NDArray[np.float32]:
    """The magnitude of signal and noise."""
    generator = np.random.default_rng(1)
    parts = generator.normal(0, sigma, (2, *array.shape))
    return np.asarray(np.hypot(array + parts[0], parts[1]), dtype=np.float32)


def _nested() -> NDArray[np.float32]:
    """A brain's brightness in a brain's order, and none of its shape: scalp, skull, fluid, grey shell, white core."""
    array = np.zeros((_SIDE,) * 3)
    for radius, value in ((92.0, 800.0), (86.0, 60.0), (80.0, 150.0), (76.0, 430.0), (62.0, 600.0)):
        array[_distance(radius, radius, radius) <= 1] = value
    return _noisy(array)


def _cross() -> NDArray[np.float32]:
    """Bright lines in noise, as in a scan whose pixels show no head."""
    array = np.zeros((_SIDE,) * 3)
    array[:, 98:102, 98:102], array[98:102, :, 98:102], array[98:102, 98:102] = 2000, 2000, 2000
    return _noisy(array, 25)


def _head(table: Mapping[int, float]) -> NDArray[np.float32]:
    """The head phantom with other values of some tissues."""
    phantom = HeadPhantom(size=_SIDE, slice_mm=1.0, field_of_view_mm=float(_SIDE), bleed=None)
    values = phantom.t1_weighted.astype(np.float64)
    for tissue, value in table.items():
        values[phantom.labels == tissue] = value
    return _noisy(values)


PHANTOMS: Mapping[str, Callable[[], NDArray[np.float32]]] = {
    "nothing: one value everywhere": lambda: np.full((_SIDE,) * 3, 100, np.float32),
    "noise": lambda: _noisy(np.zeros((_SIDE,) * 3), 100),
    "a bright cross in noise": _cross,
    "a sphere of 15 cm": lambda: _noisy(500.0 * (_distance(75, 75, 75) <= 1)),
    "an ellipsoid of a brain's size": lambda: _noisy(500.0 * (_distance(65, 85, 70) <= 1)),
    "spheres within each other, bright as tissues": _nested,
    "a head of ellipsoids with a smooth brain": lambda: _head({}),
    "the same, with fluid instead of a brain": lambda: _head(dict.fromkeys((GREY, GREY + 1), 160.0)),
    "the same, with air instead of a brain": lambda: _head(dict.fromkeys((FLUID, GREY, GREY + 1), 0.0)),
    "the same, brain without a head": lambda: _head(dict.fromkeys((SCALP, SCALP + 1, FLUID), 0.0)),
}

# --- changes of a real head ------------------------------------------------------------------------


def _axis_towards(volume: Volume, direction: int) -> int:
    """The axis of the array that runs mostly along x, y or z (0, 1, 2)."""
    return 2 - int(np.abs(volume.affine[direction, :3]).argmax())


def _without(direction: int, begin: float, end: float) -> Callable[[Volume], Volume]:
    """A scan that covers only a part along x, y or z, from `begin` to `end` (shares of the whole, in LPS)."""

    def change(volume: Volume) -> Volume:
        axis = _axis_towards(volume, direction)
        column = 2 - axis
        size = volume.array.shape[axis]
        first, last = round(begin * size), round(end * size)
        if volume.affine[direction, column] < 0:
            first, last = size - last, size - first
        affine = np.array(volume.affine)
        affine[:3, 3] += first * affine[:3, column]
        kept = tuple(slice(first, last) if other == axis else slice(None) for other in range(3))
        return replace(volume, array=volume.array[kept], affine=affine, frames=())

    return change


def _stored_mirrored(volume: Volume) -> Volume:
    """The same head, with its columns from the other side, and a header that says so."""
    affine = np.array(volume.affine)
    affine[:3, 3] += (volume.array.shape[2] - 1) * affine[:3, 0]
    affine[:3, 0] *= -1
    return replace(volume, array=np.ascontiguousarray(volume.array[:, :, ::-1]), affine=affine, frames=())


def _lying(*directions: int) -> Callable[[Volume], Volume]:
    """Pixels that are turned over along x, y or z, under a header that does not say so."""

    def change(volume: Volume) -> Volume:
        axes = [_axis_towards(volume, direction) for direction in directions]
        return replace(volume, array=np.ascontiguousarray(np.flip(volume.array, tuple(axes))))

    return change


def _values(change: Callable[[NDArray[np.float32]], NDArray[np.floating]]) -> Callable[[Volume], Volume]:
    return lambda volume: replace(volume, array=change(volume.array).astype(np.float32))


def _shaded(array: NDArray[np.float32]) -> NDArray[np.floating]:
    """Brightness that falls to a third from one end of the slices to the other, as far from a surface coil."""
    return array * np.linspace(1, 1 / 3, array.shape[1])[np.newaxis, :, np.newaxis]


def _with_spot(array: NDArray[np.float32]) -> NDArray[np.floating]:
    """A corner that is twice as bright as all else, and larger than what the limits leave out."""
    spotted = np.array(array)
    spotted[tuple(slice(0, size // 6) for size in array.shape)] = 2 * array.max()
    return spotted


CHANGES: Mapping[str, Callable[[Volume], Volume]] = {
    "as it is": lambda volume: volume,
    "stored mirrored, and the header says so": _stored_mirrored,
    "mirrored left to right, and the header does not say so": _lying(0),
    "upside down, and the header does not say so": _lying(2),
    "back to front, and the header does not say so": _lying(1),
    "turned by half about its length, and the header does not say so": _lying(0, 1),
    "right half only": _without(0, 0.0, 0.5),
    "three quarters from the right": _without(0, 0.0, 0.72),
    "without the top": _without(2, 0.0, 0.8),
    "without the lower third": _without(2, 0.45, 1.0),
    "without the front": _without(1, 0.25, 1.0),
    "without the back": _without(1, 0.0, 0.75),
    "without neck and face": _without(2, 0.33, 1.0),
    "contrast inverted": _values(lambda array: np.where(array > 60, np.clip(700 - array, 0, None), array)),
    "0.1 % of the voxels much brighter, so that all else is darker by half": _values(_with_spot),
    "brightness falling to a third": _values(_shaded),
    "noise as strong as grey matter": _values(lambda array: _noisy(array.astype(np.float64), 150)),
    "blurred by 3 mm": _values(lambda array: ndimage.gaussian_filter(array, 3 / 0.87)),
}


# --- changes of its files --------------------------------------------------------------------------


def _with(**values: object) -> Callable[[list[Dataset]], list[Dataset]]:
    """Other values of attributes in each image."""

    def change(images: list[Dataset]) -> list[Dataset]:
        for image in images:
            for keyword, value in values.items():
                setattr(image, keyword, value)
        return images

    return change


def _each(step: int) -> Callable[[list[Dataset]], list[Dataset]]:
    """Each third slice, say, in the order along the scan; thickness as it was."""

    def change(images: list[Dataset]) -> list[Dataset]:
        axis = np.cross(*np.reshape(images[0].ImageOrientationPatient, (2, 3)).astype(float))
        return sorted(images, key=lambda image: float(axis @ np.array(image.ImagePositionPatient, float)))[::step]

    return change


FILE_CHANGES: Mapping[str, Callable[[list[Dataset]], list[Dataset]]] = {
    "a patient of 3 years": _with(),
    "a patient of unknown age": _with(),
    "an agent in Contrast/Bolus Agent": _with(ContrastBolusAgent="GADOVIST"),
    "a volume in Contrast/Bolus Volume": _with(ContrastBolusVolume="7.5"),
    "Series Description T1 MPRAGE +C": _with(SeriesDescription="T1 MPRAGE +C"),
    "slices of 3 mm by Slice Thickness": _with(SliceThickness="3"),
    "each third slice": _each(3),
    "2D": _with(MRAcquisitionType="2D"),
    "spin echo": _with(ScanningSequence="SE"),
    "an inversion time of 2,200 ms, as of FLAIR": _with(InversionTime="2200"),
    "a CT by Modality": _with(Modality="CT"),
}
AGES: Mapping[str, float | None] = {"a patient of 3 years": 3.0, "a patient of unknown age": None}
"""Years, where they are not 40."""


def main(arguments: Sequence[str]) -> None:
    """The command."""
    folders = [Path(each) for each in arguments]
    rows = [make(folder) for folder in folders for make in (of_files, of_head)] or [of_phantoms()]
    for line in (line for table in rows for line in table):
        print(line, flush=True)  # noqa: T201 - this is a command for whoever validates


if __name__ == "__main__":
    main(sys.argv[1:])
