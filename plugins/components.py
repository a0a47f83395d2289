"""The connected parts of a mask, a finding each: nodules or lesions that have one label together.

Needs scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins import codes, notes
from plugins.images import ImageReference
from plugins.mapped_findings import FindingDraft
from plugins.measurements import Measurement
from plugins.nifti_mapping import MappedSegment
from plugins.regions import Point

_TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""26 neighbours."""
_DIRECTIONS = 1000
"""In which a part is measured, evenly over half a sphere: the longest one is found to 0.1 %."""


@dataclass(frozen=True, slots=True)
class MaskPart:
    """One connected part."""

    millilitres: float
    longest_mm: float
    """From one outer edge to the other, in the direction in which that is longest."""
    centre: tuple[float, float, float]
    """Of gravity: slice, row, column."""


@dataclass(frozen=True, slots=True)
class PartFindings:
    """What the parts of one segment say."""

    drafts: tuple[FindingDraft, ...]
    """The largest first; empty where none is large enough."""
    left_out: str
    """A sentence on the parts that have no finding; "" where each has one."""


def findings(
    segment: MappedSegment,
    mask: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    frames: Sequence[ImageReference],
) -> PartFindings:
    """A finding for each part, as many as the segment wants; mask (slices, rows, columns), spacing in mm."""
    found = parts(mask, spacing)
    listed = [each for each in found if each.millilitres >= segment.part_minimum_ml][: segment.parts]
    rest = found[len(listed) :]
    left = sum(each.millilitres for each in rest)
    said = notes.PARTS_LEFT_OUT.format(name=segment.name, count=len(rest), volume=f"{left:.2f}") if rest else ""
    return PartFindings(tuple(_draft(segment, n, each, frames) for n, each in enumerate(listed, start=1)), said)


def _draft(segment: MappedSegment, number: int, part: MaskPart, frames: Sequence[ImageReference]) -> FindingDraft:
    draft = FindingDraft(f"{segment.name} {number}", segment.heading, segment.site)
    draft.present = True if segment.finding else None
    draft.add_volume(part.millilitres)
    draft.measurements.append(Measurement(codes.LONG_AXIS, part.longest_mm, codes.MILLIMETER, decimals=1))
    z, y, x = part.centre
    draft.regions = (Point(np.array([x + 0.5, y + 0.5]), frames[round(z)]),)
    return draft


def parts(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> list[MaskPart]:
    """The connected parts of a mask (slices, rows, columns), the largest first."""
    inside = _box(mask)
    if inside is None:
        return []
    from scipy import ndimage  # only where there are parts: the node's process imports this module, and labels nothing

    labels, _ = ndimage.label(mask[inside], _TOUCHING)
    voxel = math.prod(spacing) / 1000
    first = np.array([each.start for each in inside])
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        indices = np.argwhere(labels[box] == number)
        middle = indices.mean(axis=0) + first + np.array([each.start for each in box])
        z, y, x = (float(each) for each in middle)
        found.append(MaskPart(len(indices) * voxel, longest(indices, spacing), (z, y, x)))
    return sorted(found, key=lambda each: (-each.millilitres, each.centre))


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """The smallest box around what is true: labelling takes four bytes a voxel."""
    ranges = []
    for axis in range(3):
        there = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(there):
            return None
        ranges.append(slice(int(there[0]), int(there[-1]) + 1))
    return tuple(ranges)


def longest(indices: NDArray[Any], spacing: tuple[float, float, float]) -> float:
    """The largest extent in mm of the voxels with these indices (n, 3), from the outer edge to the outer edge."""
    size = np.array(spacing)
    rows, places = np.unique(indices[:, :2], axis=0, return_inverse=True)
    low, high = np.full(len(rows), np.iinfo(np.int64).max), np.full(len(rows), -1)
    np.minimum.at(low, places.ravel(), indices[:, 2])
    np.maximum.at(high, places.ravel(), indices[:, 2])
    ends = np.vstack([np.column_stack([rows, low]), np.column_stack([rows, high])]) * size
    best, extent = np.array([0.0, 0.0, 1.0]), 0.0
    for direction in np.vstack([np.eye(3), _sphere(_DIRECTIONS)]):
        along = ends @ direction
        width = float(along.max() - along.min() + np.abs(direction * size).max())
        if width > extent:
            best, extent = direction, width
    along = ends @ best
    between = ends[along.argmax()] - ends[along.argmin()]
    length = float(np.linalg.norm(between))
    if length == 0:
        return extent
    return max(extent, length + float(np.abs(between / length * size).max()))


def _sphere(count: int) -> NDArray[np.float64]:
    """Directions over half a sphere, evenly (Fibonacci): (count, 3)."""
    number = np.arange(count) + 0.5
    height = 1 - number / count
    angle = np.pi * (1 + 5**0.5) * number
    across = np.sqrt(1 - height**2)
    return np.column_stack([height, across * np.cos(angle), across * np.sin(angle)])
