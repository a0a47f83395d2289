"""A head on the grid that the network was trained on, scaled as its authors scale it; and labels back on the source's.

What brainchop does (`conform()` of niivue 0.62.0, after FreeSurfer's `mri_convert --conform`): 256 voxels of 1 mm along
each axis, which run to the patient's left, feet and front, and 8 bits from the minimum to about the 99.9th percentile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.contract import Volume
from plugins.resampling import resample_like

SIDE = 256
"""Voxels of 1 mm along each axis."""
_BINS = 1000
_BRIGHTEST_SHARE = 0.001
"""Share of the voxels that may be brighter than the upper limit."""
_TOWARDS = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]).T
"""Columns: one step to the front (k), the feet (j), the left (i), in LPS: the columns of an affine of a Volume."""


@dataclass(frozen=True)
class HeadImage:
    """`array`: uint8, shape (256, 256, 256), axes to the left, the feet, the front: (i, j, k).

    `affine`: (k, j, i, 1) → x, y, z in mm, LPS, as `Volume.affine` of an array with these axes.
    """

    array: NDArray[np.uint8]
    affine: NDArray[np.float64]

    def on_source(self, labels: NDArray[Any], source: Volume) -> NDArray[Any]:
        """Labels on this grid, on the grid of the source: the nearest voxel, 0 outside."""
        return resample_like(labels, self.affine, source, labels=True)


def conform(source: Volume) -> HeadImage:
    """The source on the network's grid: linear interpolation, 0 where one of the eight neighbours is outside of it."""
    affine = np.eye(4)
    affine[:3, :3] = _TOWARDS
    slices, rows, columns = source.array.shape
    middle = source.affine @ (columns / 2, rows / 2, slices / 2, 1.0)
    affine[:3, 3] = middle[:3] - _TOWARDS.sum(axis=1) * SIDE / 2
    across = np.linalg.inv(source.affine) @ affine  # (k, j, i) → (column, row, slice)
    matrix, offset = across[:3, :3][::-1, ::-1], across[:3, 3][::-1]
    output = np.empty((SIDE,) * 3, dtype=np.float32)
    ndimage.affine_transform(
        source.array, matrix, offset, output.shape, output=output, order=1, mode="constant", cval=0.0, prefilter=False
    )
    low, high = limits(source.array)
    scale = 255 / (high - low) if high > low else 0.0
    return HeadImage(np.clip((output - low) * scale, 0, 255).astype(np.uint8), affine)


def limits(values: NDArray[np.float32]) -> tuple[float, float]:
    """Minimum and about the 99.9th percentile: of 1,000 bins the lower edge of the one before 99.9 % are reached.

    All voxels count, also those of 0 around the head.
    """
    low, most = float(values.min()), float(values.max())
    counts, edges = np.histogram(values, bins=_BINS, range=(low, most))
    enough = values.size - int(_BRIGHTEST_SHARE * values.size)
    return low, float(edges[max(int(np.argmax(np.cumsum(counts) >= enough)) - 1, 0)])
