"""Small operations on binary volumes, shaped for speed: axes z, y, x; spacing in mm along them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Box = tuple[slice, ...]

IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
"""Neighbours within an axial slice only: one call labels every slice on its own."""
IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


def components(mask: Mask) -> tuple[NDArray[np.signedinteger[Any]], NDArray[np.signedinteger[Any]]]:
    """Labels of the 6-connected components, and their sizes in voxels by label (0: background, size 0)."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=int(count) + 1)
    sizes[0] = 0
    return labels, sizes


def enclosed(mask: Mask) -> Mask:
    """`mask` without what reaches the edge of its axial slice."""
    labels, count = ndimage.label(mask, IN_PLANE)
    keep = np.ones(int(count) + 1, dtype=bool)
    keep[0] = False
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        keep[np.unique(edge)] = False
    return np.asarray(keep[labels])


def filled(mask: Mask, most: float) -> Mask:
    """`mask` and the holes of at most `most` voxels that it encloses within axial slices."""
    labels, _ = ndimage.label(~mask, IN_PLANE)
    small = np.bincount(labels.ravel()) <= most
    small[0] = False
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        small[np.unique(edge)] = False
    return np.asarray(mask | small[labels])


def bounding_box(mask: Mask, margin: tuple[int, int, int] = (0, 0, 0)) -> Box:
    """The smallest box around the mask, widened by `margin` voxels where the volume allows; all of it if empty."""
    found = ndimage.find_objects(mask.view(np.uint8))
    if not found or found[0] is None:
        return tuple(slice(0, size) for size in mask.shape)
    return tuple(
        slice(max(0, part.start - wide), min(size, part.stop + wide))
        for part, wide, size in zip(found[0], margin, mask.shape, strict=True)
    )


def ball(radius_mm: float, spacing: tuple[float, float, float]) -> Mask:
    """The voxels within `radius_mm` of the middle one; never less than the six neighbours."""
    reach = [max(1, int(radius_mm / step)) for step in spacing]
    grid = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    distance = sum((axis * step / max(radius_mm, step)) ** 2 for axis, step in zip(grid, spacing, strict=True))
    return np.asarray(distance <= 1)


def dilated(mask: Mask, radius_mm: float, spacing: tuple[float, float, float]) -> Mask:
    """`mask` widened by `radius_mm`, computed in the box around it."""
    structure = ball(radius_mm, spacing)
    margin = tuple(size // 2 for size in structure.shape)
    box = bounding_box(mask, (margin[0], margin[1], margin[2]))
    result = np.zeros_like(mask)
    result[box] = ndimage.binary_dilation(mask[box], structure)
    return result


def closed(mask: Mask, radius_mm: float, spacing: tuple[float, float, float]) -> Mask:
    """Morphological closing by about `radius_mm`: steps of one voxel, along the axes that are fine enough for it."""
    widen = [round(radius_mm / step) for step in spacing]
    padded = np.pad(mask, [(wide + 1, wide + 1) for wide in widen])
    for operation in (ndimage.binary_dilation, ndimage.binary_erosion):
        for step in range(max(widen, default=0)):
            structure = np.zeros((3, 3, 3), dtype=bool)
            structure[1, 1, 1] = True
            for axis, wide in enumerate(widen):
                if step < wide:
                    structure[tuple(slice(None) if other == axis else 1 for other in range(3))] = True
            padded = operation(padded, structure)
    inner = tuple(slice(wide + 1, size - wide - 1) for wide, size in zip(widen, padded.shape, strict=True))
    return np.asarray(padded[inner] | mask)
