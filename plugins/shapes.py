"""Size and place of what a mask shows: its bounding box, and the diameters that a reader would measure.

Long axis: the longest diameter within a slice; short axis: the longest diameter perpendicular to it in the same slice
(RECIST 1.1, Eisenhauer 2009, doi:10.1016/j.ejca.2008.10.026). Both are those of the convex outline through the faces of
the mask's pixels, so that a disc has its own diameter, one pixel has its width, and a notch does not cut an axis short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins import fields
from plugins.images import ContractError, ImageReference, VoxelGrid, require
from plugins.regions import Box, Polyline

_Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MaskBounds:
    """The smallest box around a mask, along the axes of its volume."""

    start: tuple[int, int, int]
    """First slice, row and column with a voxel."""
    stop: tuple[int, int, int]
    """One behind the last ones."""
    size_mm: tuple[float, float, float]
    box: Box
    """Around the mask on the slice that has most of it, for a finding's regions."""

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """What cuts the box out of an array."""
        z, y, x = (slice(first, last) for first, last in zip(self.start, self.stop, strict=True))
        return z, y, x


@dataclass(frozen=True, slots=True)
class AxialDiameters:
    """The two diameters of a lesion within a slice."""

    long_mm: float
    short_mm: float
    long_axis: Polyline
    """Its two ends on the image, for a finding's regions."""
    short_axis: Polyline
    slice_index: int
    """Of the slice that they were measured in: the one where the long axis is longest."""


def bounds(volume: VoxelGrid, mask: NDArray[Any]) -> MaskBounds:
    """The box around a mask of the volume's shape; `ContractError` for another shape and for a mask without voxels."""
    shown = _checked(volume, mask)
    spans = [np.flatnonzero(shown.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    start, stop = [int(span[0]) for span in spans], [int(span[-1]) + 1 for span in spans]
    largest = int(np.count_nonzero(shown, axis=(1, 2)).argmax())
    rows, columns = np.nonzero(shown[largest])
    corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
    size = [(last - first) * step for first, last, step in zip(start, stop, volume.spacing, strict=True)]
    return MaskBounds(
        (start[0], start[1], start[2]),
        (stop[0], stop[1], stop[2]),
        (size[0], size[1], size[2]),
        Box(corners, volume.frame(largest)),
    )


def diameters(volume: VoxelGrid, mask: NDArray[Any]) -> AxialDiameters:
    """The diameters of one lesion; `ContractError` for another shape and for a mask without voxels.

    All that is true in the mask counts as one lesion.
    """
    shown = _checked(volume, mask)
    spacing = np.array([volume.spacing[2], volume.spacing[1]])
    longest: tuple[float, int, _Points, _Points] | None = None
    for z in np.flatnonzero(shown.any(axis=(1, 2))).tolist():
        outline = _hull(_face_middles(shown[z]) * spacing)
        ends = _farthest(outline)
        length = float(np.linalg.norm(ends[1] - ends[0]))
        if longest is None or length > longest[0] + 1e-9:
            longest = (length, z, outline, ends)
    assert longest is not None
    length, index, outline, ends = longest
    across = _perpendicular(outline, ends)
    image = volume.frame(index)
    return AxialDiameters(
        length,
        float(np.linalg.norm(across[1] - across[0])),
        _line(ends / spacing, image),
        _line(across / spacing, image),
        index,
    )


def _line(points: _Points, image: ImageReference) -> Polyline:
    return Polyline(np.maximum(points, 0), image)


def _checked(volume: VoxelGrid, mask: NDArray[Any]) -> NDArray[np.bool_]:
    array = fields.array(mask, "mask")
    require(
        array.shape == volume.array.shape,
        f"mask: has the shape {array.shape}, the volume {volume.array.shape} (slices, rows, columns)",
    )
    if array.dtype.kind == "f":
        raise ContractError("mask: expected true and false, got floats; write (probability >= threshold)")
    shown = array.astype(np.bool_, copy=False)
    require(bool(shown.any()), "mask: has no voxel, so there is nothing to measure")
    return shown


def _face_middles(mask: NDArray[np.bool_]) -> _Points:
    """(column, row) of the middle of each pixel face between inside and outside; a pixel reaches from n to n + 1."""
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([columns, rows + 0.5], axis=1)
    rows, columns = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    return np.concatenate([upright, np.stack([columns + 0.5, rows], axis=1)])


def _hull(points: _Points) -> _Points:
    """The corners of the convex outline, in order (Andrew 1979, doi:10.1016/0020-0190(79)90072-3)."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    other = np.diff(ordered[:, 0]) != 0
    ordered = ordered[np.r_[True, other] | np.r_[other, True]]  # of each column its ends: the rest is within
    half: list[list[_Points]] = []
    for sequence in (ordered, ordered[::-1]):
        chain: list[_Points] = []
        for point in sequence:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        half.append(chain[:-1])
    return np.array(half[0] + half[1])


def _turn(first: _Points, second: _Points, third: _Points) -> float:
    one, other = second - first, third - first
    return float(one[0] * other[1] - one[1] * other[0])


def _farthest(outline: _Points) -> _Points:
    """The two points that are farthest apart; of several pairs the first."""
    apart = np.linalg.norm(outline[:, np.newaxis] - outline[np.newaxis], axis=2)
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    return outline[[first, second]]


def _perpendicular(outline: _Points, ends: _Points) -> _Points:
    """Ends of the longest chord of a convex outline that is perpendicular to the line between `ends`.

    The length of a chord changes linearly between corners, so the longest one begins at a corner.
    """
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    frame = np.stack([along, np.array([-along[1], along[0]])])  # rows: the directions along and across
    corners = outline @ frame.T
    following = np.roll(corners, -1, axis=0)
    best, chord = -1.0, corners[:2]
    for position in np.unique(corners[:, 0]):
        low, high = np.minimum(corners[:, 0], following[:, 0]), np.maximum(corners[:, 0], following[:, 0])
        met = (low <= position) & (position <= high) & (high > low)
        share = (position - corners[met, 0]) / (following[met, 0] - corners[met, 0])
        heights = corners[met, 1] + share * (following[met, 1] - corners[met, 1])
        if heights.size and np.ptp(heights) > best + 1e-9:
            best = float(np.ptp(heights))
            chord = np.array([[position, heights.min()], [position, heights.max()]])
    return np.asarray(chord @ frame)
