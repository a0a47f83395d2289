"""Air that is enclosed and not lung: in the couch, and in a stomach or bowel that touches the lung.

A couch top is hollow or of foam, and what it encloses is as dark as lung. Stomach and lung are parted by the diaphragm,
which may be thinner than a voxel: then both are one component, and only its gas tells the stomach.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.lung_density.masks import Mask, ball, bounding_box, components, dilated

TISSUE_HU = -300
"""Between fat and lung."""
SHELL_MM = 3.0
"""Half the thickness of what is no body: an opening by that takes away a couch top and its contact with the back."""
BRIDGE_MM = 6.0
"""Gaps in the body's outline that are closed before its inside is filled: the opening takes away a thin chest wall."""
CORE_HU = -970
"""Smoothed HU below which a voxel may be the core of a gas bubble; air in the patient measures -1000 to -980."""
CORE_MM = 2.0
"""Standard deviation of the Gaussian under which cores are looked for: the noise of a thin slice is not gas."""
LEAST_CORE_ML = 5.0
EDGE_HU, EDGE_MM = -920, 6.0
"""A core grows through what is darker than that (smoothed by half as much), and no farther."""
RIM_MM = 2.0
"""Taken away around gas: voxels that are part gas, part wall."""
RING_MM = (5.0, 9.0)
"""Where the surroundings of a core are looked at."""
WALL_SHARE, LEAST_WALL_SHARE, FLOOR_SHARE = 0.7, 0.3, 0.8
"""Share of tissue in those of a bowel loop, and of a stomach under the lung, where all that is below is tissue. A bulla
is surrounded by lung, and has lung below it unless it lies on the diaphragm."""
COARSE_MM = 2.5
"""Grid on which the body is looked for."""

Spacing = tuple[float, float, float]


def in_body(array: NDArray[np.float32], spacing: Spacing) -> tuple[Mask, tuple[int, int, int]]:
    """The largest body of tissue and what it encloses within axial slices, on a coarser grid, and its steps in voxels.

    `array`: HU (z, y, x). The grid takes every n-th voxel as it is.
    """
    steps = [max(1, int(COARSE_MM / step)) for step in spacing]
    every = (steps[0], steps[1], steps[2])
    coarse = (spacing[0] * every[0], spacing[1] * every[1], spacing[2] * every[2])
    tissue = array[:: every[0], :: every[1], :: every[2]] > TISSUE_HU
    labels, sizes = components(ndimage.binary_opening(np.pad(tissue, 1, mode="edge"), ball(SHELL_MM, coarse)))
    body = dilated(labels == sizes.argmax(), BRIDGE_MM, coarse)[1:-1, 1:-1, 1:-1]
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in body])
    return np.asarray(filled), every


def without_couch(array: NDArray[np.float32], mask: Mask, spacing: Spacing) -> Mask:
    """`mask` without the components that lie outside of the body for the most part, or before or behind its bulk.

    Where a thick couch top touches the back, both are one body; but no lung has its middle behind 95 % of all tissue.
    """
    body, every = in_body(array, spacing)
    labels, sizes = components(mask)
    part = labels[:: every[0], :: every[1], :: every[2]]
    seen = np.bincount(part.ravel(), minlength=len(sizes))
    inside = np.bincount(part[body], minlength=len(sizes))
    places = np.broadcast_to(np.arange(part.shape[1])[:, np.newaxis], part.shape)
    middle = np.bincount(part.ravel(), places.ravel(), minlength=len(sizes)) / np.maximum(seen, 1)
    tissue = np.cumsum((array[:: every[0], :: every[1], :: every[2]] > TISSUE_HU).sum(axis=(0, 2)))
    front, back = np.searchsorted(tissue, [0.05 * tissue[-1], 0.95 * tissue[-1]])
    keep = (2 * inside >= seen) & ((seen == 0) | ((front <= middle) & (middle <= back)))
    keep[0] = False
    return np.asarray(keep[labels])


def without_stomach(array: NDArray[np.float32], mask: Mask, spacing: Spacing) -> Mask:
    """`mask` without gas bubbles that tissue surrounds."""
    box = bounding_box(mask, (1, 1, 1))
    part, inside = array[box], mask[box]
    labels, sizes = components((_smoothed(part, CORE_MM, spacing) < CORE_HU) & inside)
    least = LEAST_CORE_ML * 1000 / float(np.prod(spacing))
    cores = [number for number in np.flatnonzero(sizes >= least).tolist() if _has_wall(part, labels == number, spacing)]
    if not cores:
        return mask
    dark = (_smoothed(part, CORE_MM / 2, spacing) < EDGE_HU) & inside
    gas = np.isin(labels, cores)
    steps = max(1, round(EDGE_MM / min(spacing)))
    gas = ndimage.binary_dilation(gas, mask=dark, iterations=steps)
    result = np.array(mask)
    result[box] &= ~dilated(gas, RIM_MM, spacing)
    return result


def _smoothed(array: NDArray[np.float32], millimetres: float, spacing: Spacing) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(array, [millimetres / step for step in spacing], truncate=2.5))


def _has_wall(array: NDArray[np.float32], core: Mask, spacing: Spacing) -> bool:
    """Whether tissue surrounds a core for the most part, or lies below all of it."""
    reach = [int(RING_MM[1] / step) + 2 for step in spacing]
    box = bounding_box(core, (reach[0], reach[1], reach[2]))
    part, inside = array[box] > -500, core[box]
    near, far = (dilated(inside, radius, spacing) for radius in RING_MM)
    down = reach[0]
    below = np.zeros_like(inside)
    below[:-down] = inside[down:]
    around, floor = part[far & ~near], part[below & ~near]
    share = float(around.mean()) if around.size else 0.0
    return share >= WALL_SHARE or (share >= LEAST_WALL_SHARE and bool(floor.size) and floor.mean() >= FLOOR_SHARE)
