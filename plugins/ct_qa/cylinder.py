"""Where the phantom is: a round, homogeneous section in each slice; else the reason why it is not one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.contract import NotApplicableError, Volume

_DENSE_HU = -300.0
SMALLEST_MM, LARGEST_MM = 150.0, 400.0
_ROUND = 0.98
"""Share of the section that lies in the circle of the same area; a head has less than 0.95."""
_SAME_MM = 3.0
"""How much the diameter may differ from slice to slice: the end of a phantom is not measured."""
_HOMOGENEOUS_HU = 25.0
"""Standard deviation within the phantom, after smoothing by 5 mm, that no artefact of a working scanner reaches."""
_WATER_HU = 60.0
"""How far the middle may be from 0 HU and still be called water."""
_PART_MM = 8.0
"""What touches the phantom on less than twice this width is cut off: a holder, a couch."""
_MOST = 5
"""Slices that are measured: those in the middle."""


@dataclass(frozen=True, slots=True)
class Cylinder:
    """The phantom's section."""

    slices: tuple[int, ...]
    """Those that are measured."""
    row: float
    column: float
    """Its middle, in pixels, 0 the centre of the first one."""
    radius_mm: float


def find(volume: Volume) -> Cylinder:
    """The phantom; NotApplicableError where there is none, or nothing to be measured."""
    _, row_mm, column_mm = volume.spacing
    if abs(row_mm - column_mm) > 0.01 * row_mm:
        raise NotApplicableError("The pixels are not square.")
    sections = [_section(plane, row_mm) for plane in volume.array]
    diameters = [found[2] for found in sections if found is not None]
    if not diameters:
        raise NotApplicableError(
            f"No phantom was found: no slice has a round section of {SMALLEST_MM:g} to {LARGEST_MM:g} mm."
        )
    usual = float(np.median(diameters))
    whole = [index for index, found in enumerate(sections) if found is not None and abs(found[2] - usual) <= _SAME_MM]
    start = max(0, (len(whole) - _MOST) // 2)
    chosen = tuple(whole[start : start + _MOST])
    middle = [found for index in chosen if (found := sections[index]) is not None]
    row, column = (float(np.mean([each[axis] for each in middle])) for axis in (0, 1))
    cylinder = Cylinder(chosen, row, column, usual / 2)
    _refuse_other_things(volume, cylinder)
    return cylinder


def _section(plane: NDArray[np.float32], pixel_mm: float) -> tuple[float, float, float] | None:
    """Row, column and diameter in mm of the largest section, if it is round."""
    dense = ndimage.binary_fill_holes(plane > _DENSE_HU)
    far = ndimage.distance_transform_edt(dense) * pixel_mm
    numbers, count = ndimage.label(far > _PART_MM)
    if count == 0:
        return None
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    core = numbers == sizes.argmax()
    section = dense & (ndimage.distance_transform_edt(~core) * pixel_mm <= _PART_MM)
    row, column = ndimage.center_of_mass(section)
    diameter = 2 * float(np.sqrt(section.sum() / np.pi)) * pixel_mm
    if not SMALLEST_MM <= diameter <= LARGEST_MM:
        return None
    inside = _distances(plane.shape, row, column) * pixel_mm <= diameter / 2
    if (section & inside).sum() < _ROUND * section.sum():
        return None
    return float(row), float(column), diameter


def _distances(shape: tuple[int, ...], row: float, column: float) -> NDArray[np.float64]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(rows - row, columns - column))


def distances(volume: Volume, cylinder: Cylinder) -> NDArray[np.float64]:
    """mm of each pixel from the phantom's axis, shape (rows, columns)."""
    return _distances(volume.array.shape[1:], cylinder.row, cylinder.column) * volume.spacing[1]


def _refuse_other_things(volume: Volume, cylinder: Cylinder) -> None:
    """A patient's head or trunk is not homogeneous; an acrylic phantom is not water."""
    mean = np.mean(volume.array[list(cylinder.slices)], axis=0)
    smooth = ndimage.gaussian_filter(mean, 5.0 / volume.spacing[1])
    inside = distances(volume, cylinder) < 0.75 * cylinder.radius_mm
    spread = float(smooth[inside].std())
    if spread > _HOMOGENEOUS_HU:
        raise NotApplicableError(
            f"What was scanned is not homogeneous ({spread:.0f} HU): not a water phantom, or not its water section."
        )
    centre = float(np.median(smooth[inside]))
    if abs(centre) > _WATER_HU:
        raise NotApplicableError(f"What was scanned measures {centre:.0f} HU: not water.")
