"""A volume on another grid, for models that want one, and what they computed back on the source's grid.

Needs scipy.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plugins.contract import Volume


def resample(source: Volume, spacing: float | tuple[float, float, float]) -> Volume:
    """`source` on a grid of another spacing (mm; slices, rows, columns), over the same extent.

    Linear interpolation; where the new grid is coarser, a Gaussian is applied first so that nothing
    aliases. The result has no `frames`: none of its slices is a source image.
    """
    wanted = np.array([spacing] * 3 if isinstance(spacing, int | float) else spacing, dtype=np.float64)
    old = np.array(source.spacing)
    factor = wanted / old
    if not (np.isfinite(factor).all() and (factor > 0).all()):
        raise ValueError(f"spacing: {spacing} is not one or three positive numbers of mm")
    shape = np.maximum(np.round(np.array(source.array.shape) / factor), 1).astype(int)
    from scipy import ndimage  # a third of a second: also the node imports this module, and rarely resamples

    smooth = ndimage.gaussian_filter(source.array, sigma=np.maximum(factor - 1, 0) / 2, mode="nearest")
    change = np.eye(4)
    change[:3, :3] = np.diag(factor[::-1])
    change[:3, 3] = (factor[::-1] - 1) / 2  # the outer faces stay where they are, so the first centre moves
    affine = source.affine @ change
    return Volume(
        array=_interpolated(smooth, source.affine, affine, tuple(shape.tolist()), order=1, outside=None),
        spacing=(float(wanted[0]), float(wanted[1]), float(wanted[2])),
        affine=affine,
        frames=(),
        frame_of_reference_uid=source.frame_of_reference_uid,
    )


def resample_like(
    array: NDArray[Any], affine: NDArray[np.float64], target: Volume, *, labels: bool, outside: float = 0
) -> NDArray[Any]:
    """What a model computed on a grid of its own, on the grid of `target`, in the dtype of `array`.

    `array`: shape (slices, rows, columns), `affine`: its Volume.affine. `labels=True` takes the nearest
    voxel (label maps), `False` interpolates linearly (probabilities). Beyond `array`: `outside`.
    """
    return _interpolated(array, affine, target.affine, target.array.shape, order=0 if labels else 1, outside=outside)


def _interpolated(
    array: NDArray[Any],
    affine: NDArray[np.float64],
    target_affine: NDArray[np.float64],
    shape: tuple[int, ...],
    order: Literal[0, 1],
    outside: float | None,
) -> NDArray[Any]:
    """`array` at the voxel centres of another grid; `outside=None` continues the border."""
    from scipy import ndimage  # as in `resample`

    across = np.linalg.inv(affine) @ target_affine  # (column, row, slice) of the target → of the source
    matrix = across[:3, :3][::-1, ::-1]  # scipy counts (slice, row, column)
    offset = across[:3, 3][::-1]
    output = np.empty(shape, dtype=array.dtype)
    mode: Literal["nearest", "grid-constant"] = "nearest" if outside is None else "grid-constant"
    ndimage.affine_transform(
        array, matrix, offset, shape, output=output, order=order, mode=mode, cval=outside or 0.0, prefilter=False
    )
    return output
