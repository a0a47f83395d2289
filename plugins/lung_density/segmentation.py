"""Left and right lung from HU, by a published method of thresholds and connected components.

After Hu, Hoffman, Reinhardt (IEEE Trans Med Imaging 2001;20:490, doi:10.1109/42.929615), in steps:
air inside the body (below −500 HU, not reaching the edge of its slice) → trachea and main bronchi taken
out (`airways`) → large components that are not pure gas (bowel, stomach) → where the two lungs touch at
the junction lines, separated by a stricter threshold and erosion, grown back → vessels inside each lung
filled in by closing. Deterministic; nothing is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.contract import NotApplicableError
from plugins.lung_density.airways import airways
from plugins.lung_density.beside_lung import without_couch, without_stomach
from plugins.lung_density.checks import refuse_cut_off
from plugins.lung_density.masks import Mask, bounding_box, closed, components, enclosed, filled
from plugins.lung_density.orientation import AnatomicalView

RIGHT, LEFT = 1, 2
"""Values of the label map."""

LUNG_HU = -500
"""Half-way between normal lung (−860) and tissue (+40): the usual limit for whole-lung densitometry."""
GAS_HU = -978
"""Components whose median is below are gas (stomach, bowel, pneumothorax), not lung."""
LEAST_COMPONENT_ML = 60.0
LEAST_LUNG_ML = 300.0
APART_MM = 60.0
"""Least distance from left to right between the middles of the two lungs."""
VESSEL_MM = 4.0
"""Closing radius: vessels inside the lung up to about 8 mm across count as lung."""
HOLE_MM2 = 150.0
"""Tissue that lung surrounds in an axial slice is a vessel up to this area; the dome of the liver is larger."""
_SPLITS = ((-500, 1), (-650, 1), (-750, 1), (-800, 2), (-500, 3), (-750, 4), (-500, 7), (-700, 9))
"""(HU below which seed voxels lie, erosion in voxels of the coarser grid), gentlest first."""


@dataclass(frozen=True)
class Lungs:
    """Label map (z, y, x): 1 right lung, 2 left lung; and the airways that were taken out."""

    labels: NDArray[np.uint8]
    airways: Mask
    touching: bool
    """Whether the two lungs had to be separated where they touch."""


def segment(view: AnatomicalView) -> Lungs:
    """The lungs of a chest CT; raises `NotApplicableError` where they are incomplete or the trachea is not found."""
    spacing = view.spacing
    inside = enclosed(view.array < LUNG_HU)
    out = airways(view.array, inside, spacing)
    if out is None:
        raise NotApplicableError(
            "No trachea was found, so air in the airways cannot be separated from lung: not a complete chest CT, "
            "or the airway is filled or displaced."
        )
    air = without_couch(view.array, inside & ~out, spacing)
    candidates = _without_gas(view.array, without_stomach(view.array, air, spacing), spacing)
    box = bounding_box(candidates, (1, 1, 1))
    labels = np.zeros(view.array.shape, dtype=np.uint8)
    try:
        sides, touching = _sides(view.array[box], candidates[box], spacing)
    except NotApplicableError:
        refuse_cut_off(candidates)  # that is why there are no two, where it is so
        raise
    labels[box] = sides
    refuse_cut_off(labels > 0)
    _fill(labels, out, spacing)
    return Lungs(labels, out, touching)


def _without_gas(array: NDArray[np.float32], mask: Mask, spacing: tuple[float, float, float]) -> Mask:
    """The large components, without those that hold gas only."""
    labels, sizes = components(mask)
    least = LEAST_COMPONENT_ML * 1000 / float(np.prod(spacing))
    keep = sizes >= least
    for number in np.flatnonzero(keep):
        keep[number] = np.median(array[labels == number]) > GAS_HU
    return np.asarray(keep[labels])


def _sides(
    array: NDArray[np.float32], mask: Mask, spacing: tuple[float, float, float]
) -> tuple[NDArray[np.uint8], bool]:
    """The mask's voxels as right (1) and left (2) lung."""
    labels, sizes = components(mask)
    pair = _pair(labels, sizes, spacing)
    if pair is not None:
        result = np.zeros(mask.shape, dtype=np.uint8)
        middles = ndimage.center_of_mass(mask, labels, range(1, len(sizes)))
        limit = (middles[pair[0] - 1][2] + middles[pair[1] - 1][2]) / 2
        for number, middle in enumerate(middles, start=1):
            result[labels == number] = LEFT if middle[2] > limit else RIGHT
        return result, False
    for threshold, erosion in _SPLITS:
        seeds = _seeds(array, mask, spacing, threshold, erosion)
        if seeds is not None:
            return _grown(*seeds, mask), True
    raise NotApplicableError("Two lungs could not be separated: one is missing, very small, or filled.")


def _pair(
    labels: NDArray[np.signedinteger[Any]], sizes: NDArray[np.signedinteger[Any]], spacing: tuple[float, float, float]
) -> tuple[int, int] | None:
    """(right, left): the two largest components, if they are two lungs beside each other."""
    if len(sizes) < 3:
        return None
    first, second = (int(number) for number in np.argsort(sizes)[:-3:-1])
    if sizes[second] * float(np.prod(spacing)) / 1000 < LEAST_LUNG_ML or sizes[second] < sizes[first] / 5:
        return None
    x = [float(ndimage.center_of_mass(labels == number)[2]) * spacing[2] for number in (first, second)]
    if abs(x[0] - x[1]) < APART_MM:
        return None
    return (first, second) if x[0] < x[1] else (second, first)


def _seeds(
    array: NDArray[np.float32], mask: Mask, spacing: tuple[float, float, float], threshold: int, erosion: int
) -> tuple[Mask, Mask] | None:
    """Cores of the right and the left lung under a stricter threshold, if they come apart.

    Works on a grid of half the resolution in the plane, whose voxels are air only where all four are: a thin
    junction line stays closed.
    """
    pairs = [size // 2 * 2 for size in mask.shape[1:]]
    fine = (mask & (array < threshold))[:, : pairs[0], : pairs[1]]
    coarse = fine[:, ::2, ::2] & fine[:, ::2, 1::2] & fine[:, 1::2, ::2] & fine[:, 1::2, 1::2]
    core = ndimage.binary_erosion(coarse, iterations=erosion, border_value=1)
    labels, sizes = components(core)
    pair = _pair(labels, sizes, (spacing[0], 2 * spacing[1], 2 * spacing[2]))
    if pair is None:
        return None
    right, left = (np.repeat(np.repeat(labels == number, 2, axis=1), 2, axis=2) for number in pair)
    seeds = np.zeros((2, *mask.shape), dtype=bool)
    seeds[0, :, : pairs[0], : pairs[1]], seeds[1, :, : pairs[0], : pairs[1]] = right, left
    return seeds[0], seeds[1]


def _grown(right: Mask, left: Mask, mask: Mask) -> NDArray[np.uint8]:
    """The mask's voxels by the seed that reaches them first, both growing at the same pace."""
    result = np.zeros(mask.shape, dtype=np.uint8)
    result[right], result[left] = RIGHT, LEFT
    free = mask & (result == 0)
    for _ in range(40):
        before = int(free.sum())
        reached = ndimage.binary_dilation(result == RIGHT) & free
        other = ndimage.binary_dilation(result == LEFT) & free
        result[reached], result[other & ~reached] = RIGHT, LEFT
        free &= result == 0
        if int(free.sum()) == before:
            break
    for label in (RIGHT, LEFT):  # what is left lies far from both seeds: it belongs to the lung it hangs on
        result[ndimage.binary_propagation(result == label, mask=(result == label) | free) & free] = label
        free &= result == 0
    return result


def _fill(labels: NDArray[np.uint8], out: Mask, spacing: tuple[float, float, float]) -> None:
    """Add the vessels inside each lung to it, in place; never the airways, never the other lung."""
    margin = tuple(round(VESSEL_MM / step) + 1 for step in spacing)
    for label in (RIGHT, LEFT):
        box = bounding_box(labels == label, (margin[0], margin[1], margin[2]))
        part, blocked = labels[box], out[box]
        lung = filled(closed(part == label, VESSEL_MM, spacing), HOLE_MM2 / (spacing[1] * spacing[2]))
        part[lung & (part == 0) & ~blocked] = label
