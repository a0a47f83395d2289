"""The numbers of lung density, from the voxels of a lung.

LAA%-950 and LAA%-910: share of voxels below −950 and −910 HU (Müller et al., Chest 1988;94:782,
doi:10.1378/chest.94.4.782; Gevenois et al., Am J Respir Crit Care Med 1996;154:187,
doi:10.1164/ajrccm.154.1.8680679). Perc15: the value below which 15 % of the voxels lie (Parr et al., Respir Res
2008;9:21, doi:10.1186/1465-9921-9-21), in HU as measured, not volume-adjusted. Vessels inside the lung count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAA_HU = (-950, -910)


@dataclass(frozen=True, slots=True)
class Density:
    """The densitometry of one region."""

    volume_ml: float
    laa950_percent: float
    laa910_percent: float
    perc15_hu: float
    mean_hu: float


def measure(values: NDArray[np.float32], voxel_ml: float) -> Density:
    """`values`: HU of all voxels of the region, at least one; `voxel_ml`: volume of one voxel."""
    return Density(
        volume_ml=values.size * voxel_ml,
        laa950_percent=100 * float(np.count_nonzero(values < LAA_HU[0])) / values.size,
        laa910_percent=100 * float(np.count_nonzero(values < LAA_HU[1])) / values.size,
        perc15_hu=float(np.percentile(values, 15)),
        mean_hu=float(values.mean(dtype=np.float64)),
    )
