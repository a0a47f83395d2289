"""Where voxels lie: the grid of the images that a program got, and what it wrote brought back onto it.

An array is brought to the axes of the images by its own affine. Where its voxels are those of the images, nothing is
interpolated: the same voxels, however the axes were exchanged. Else the nearest voxel is taken (masks), or values are
interpolated (maps). What would lose voxels without a word, or may be mirrored, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins import conversion, resampling
from plugins.images import ImageReference
from plugins.volume import Volume

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From LPS to RAS, and back."""
_SLAB = 8
"""Slices that are resampled at a time."""


class GridError(ValueError):
    """An array that cannot be brought back; the text says why."""


@dataclass(frozen=True, slots=True)
class SourceGrid:
    """The voxels of one input, as `plugins.volume.Volume` has them."""

    shape: tuple[int, int, int]
    """Slices, rows, columns."""
    spacing: tuple[float, float, float]
    """mm between slices, rows, columns."""
    affine: tuple[tuple[float, ...], ...]
    """4 × 4; (column, row, slice, 1) → x, y, z in mm, LPS."""
    upright: tuple[tuple[float, ...], ...]
    """The same as a reader of the qform has it, which cannot say that a stack leans a little."""
    frames: tuple[ImageReference, ...]
    modality: str
    units: str
    tags: tuple[tuple[str, Any], ...] = ()

    @property
    def matrix(self) -> NDArray[np.float64]:
        """`affine` as an array."""
        return np.array(self.affine)

    @property
    def voxels(self) -> int:
        """How many there are."""
        slices, rows, columns = self.shape
        return slices * rows * columns

    @property
    def voxel_volume(self) -> float:
        """Of one voxel, in mL."""
        return float(np.prod(self.spacing)) / 1000.0


def aligned(grid: SourceGrid, array: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[Any] | None:
    """A view of `array` on the axes of the grid (slices, rows, columns); None where its voxels are others.

    `array`: (i, j, k), `affine`: (i, j, k, 1) → mm, LPS.
    """
    for known in (grid.affine, grid.upright):
        found = conversion.turned(grid.shape, np.array(known), array, affine)
        if found is not None:
            return found
    return None


def refuse_elsewhere(grid: SourceGrid, shape: tuple[int, ...], affine: NDArray[np.float64]) -> None:
    """GridError for a grid that is mirrored against the images, or lies beside them."""
    if np.linalg.det(affine[:3, :3]) * np.linalg.det(grid.matrix[:3, :3]) < 0:
        raise GridError(
            "its axes are mirrored against those of the images: the affine has the other handedness, so left and right "
            "may be exchanged; write it with the affine of the input"
        )
    within = _indices(grid, affine, _corners(shape))
    last = np.array(grid.shape[::-1]) - 0.5
    if (within.max(axis=1) < -0.5).any() or (within.min(axis=1) > last).any():
        raise GridError("its voxels lie beside the images: the two grids do not overlap")


def covers(grid: SourceGrid, shape: tuple[int, ...], affine: NDArray[np.float64]) -> bool:
    """Whether an array covers all of the images, but for the width of one of its voxels."""
    across = np.linalg.inv(affine) @ grid.matrix
    corners = _corners(grid.shape[::-1])
    within = across[:3, :3] @ corners + across[:3, 3:]
    return bool((within > -1.5).all() and (within < np.array(shape)[:, np.newaxis] + 0.5).all())


def farthest_outside(
    grid: SourceGrid, planes: Iterator[tuple[int, NDArray[Any]]], affine: NDArray[np.float64]
) -> float:
    """How far a labelled voxel lies outside of the images, in mm; `planes`: number k and labels (j, i)."""
    last = np.array(grid.shape[::-1])[:, np.newaxis] - 0.5
    width = np.array(grid.spacing[::-1])[:, np.newaxis]
    most = 0.0
    for number, plane in planes:
        labelled = plane != 0
        rows = np.flatnonzero(labelled.any(axis=1))
        if not len(rows):
            continue
        first = labelled[rows].argmax(axis=1)  # of a box, which is convex, the ends of each row are enough
        final = plane.shape[1] - 1 - labelled[rows, ::-1].argmax(axis=1)
        points = np.stack([np.r_[first, final], np.r_[rows, rows], np.full(2 * len(rows), number)]).astype(np.float64)
        within = _indices(grid, affine, points)
        beyond = np.maximum(np.maximum(-0.5 - within, within - last), 0.0) * width
        most = max(most, float(beyond.max()))
    return most


def resampled(
    grid: SourceGrid, array: NDArray[Any], affine: NDArray[np.float64], *, labels: bool
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Slices of the grid with what `array` (k, j, i) has there, each with its number; beyond the array: 0."""
    for first in range(0, grid.shape[0], _SLAB):
        count = min(_SLAB, grid.shape[0] - first)
        moved = np.array(grid.matrix)
        moved[:3, 3] = grid.matrix[:3, :3] @ (0.0, 0.0, first) + grid.matrix[:3, 3]
        nothing = np.broadcast_to(np.float32(0), (count, *grid.shape[1:]))
        slab = resampling.resample_like(array, affine, Volume(nothing, grid.spacing, moved, ()), labels=labels)
        yield from enumerate(slab, start=first)


def _corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The centres of the outermost voxels: (3, 8)."""
    return np.array(np.meshgrid(*([0.0, length - 1.0] for length in shape), indexing="ij")).reshape(3, -1)


def _indices(grid: SourceGrid, affine: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points of an array (i, j, k) as (column, row, slice) of the grid."""
    across = np.linalg.inv(grid.matrix) @ affine
    return np.asarray(across[:3, :3] @ points + across[:3, 3:])
