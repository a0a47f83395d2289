"""A volume seen as anatomy: feet to head, front to back, right to left, whatever way it was stored.

Left and right are decided by the affine and never by an array index: a series may be stored mirrored,
and a patient may lie prone or feet first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import NotApplicableError, Volume

MOST_TILT = 0.9
"""Least cosine between a slice's axes and the patient's: slices up to 25° oblique count as axial."""


@dataclass(frozen=True)
class AnatomicalView:
    """The volume's array as a view with the axes z (feet to head), y (front to back), x (right to left)."""

    array: NDArray[np.float32]
    spacing: tuple[float, float, float]
    """mm along z, y, x."""
    order: tuple[int, int, int]
    flips: tuple[int, ...]

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array on this view's axes, on the axes of the volume it was taken from."""
        return np.ascontiguousarray(np.flip(array, self.flips).transpose(np.argsort(self.order)))

    def slice_index(self, z: int) -> int:
        """Index in `Volume.frames` of the slice at `z` of this view."""
        return self.array.shape[0] - 1 - z if 0 in self.flips else z


def anatomical(volume: Volume) -> AnatomicalView:
    """Raises `NotApplicableError` where the slices are not axial."""
    steps = volume.affine[:3, :3][:, ::-1]  # columns: one step of slice, row, column index; rows: x, y, z
    cosines = steps / np.linalg.norm(steps, axis=0)
    nearest = np.abs(cosines).argmax(axis=0)
    if nearest[0] != 2 or sorted(nearest.tolist()) != [0, 1, 2] or np.abs(cosines).max(axis=0).min() < MOST_TILT:
        raise NotApplicableError("The images are not axial; lung density is measured on axial reconstructions.")
    order = tuple(int(np.flatnonzero(nearest == direction)[0]) for direction in (2, 1, 0))
    flips = tuple(
        axis
        for axis, (source, direction) in enumerate(zip(order, (2, 1, 0), strict=True))
        if cosines[direction, source] < 0
    )
    return AnatomicalView(
        array=np.flip(volume.array.transpose(order), flips),
        spacing=(volume.spacing[order[0]], volume.spacing[order[1]], volume.spacing[order[2]]),
        order=(order[0], order[1], order[2]),
        flips=flips,
    )
