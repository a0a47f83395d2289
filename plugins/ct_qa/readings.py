"""What is measured: CT numbers in five regions, noise, uniformity, and what is not as smooth as water.

After the ACR Computed Tomography Quality Control Manual (2017), "Water CT number and standard deviation" and "CT
number uniformity", and IEC 61223-2-6:2006 for the region in which noise is measured (40 % of the diameter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.contract import Volume
from plugins.ct_qa.cylinder import Cylinder, distances

_NOISE_SHARE = 0.4
"""Diameter of the region for noise, of the phantom's."""
_REGION_MM = 22.6
"""Diameter of the five regions: 400 mm²."""
_DIRECTIONS = {"12 o'clock": (-1, 0), "3 o'clock": (0, 1), "6 o'clock": (1, 0), "9 o'clock": (0, -1)}
"""Row and column."""
_USED = 0.85
"""Of the radius: artefacts are looked for within, away from the wall."""
_HUB_MM = 6.0
"""Nearer to the middle a ring has too few pixels."""
_RING_MM = 15.0
"""A ring is narrower than this; what is wider is cupping."""
_SPOT_MM = 3.0
"""Standard deviation of the Gaussian under which spots and streaks are looked for."""
SURE = 6.0
"""Times its own uncertainty by noise that a ring or a spot has to be, to count as one."""


@dataclass(frozen=True, slots=True)
class Circle:
    """A region on the slices, in pixels, 0 the centre of the first one."""

    row: float
    column: float
    radius: float


@dataclass(frozen=True, slots=True)
class Reading:
    """All that is measured of one scan, HU."""

    water: float
    noise: float
    edges: Mapping[str, float]
    uniformity: float
    """The edge that differs most from the middle, minus the middle."""
    ring: float
    """Height of the highest ring, with its sign; 0 where none stands out of the noise."""
    ring_mm: float
    """Its radius."""
    spot: float
    """The largest local deviation that no ring explains; 0 where none stands out."""
    regions: Mapping[str, Circle]
    """The five regions by their names; "center" is the middle one."""


def read(volume: Volume, cylinder: Cylinder) -> Reading:
    """Measure it."""
    planes = volume.array[list(cylinder.slices)].astype(np.float64)
    pixel = volume.spacing[1]
    away = distances(volume, cylinder)
    regions = _regions(cylinder, pixel)
    means = {name: float(planes[:, _inside(planes, circle)].mean()) for name, circle in regions.items()}
    water = means.pop("center")
    noise = float(np.mean([plane[away <= _NOISE_SHARE * cylinder.radius_mm].std(ddof=1) for plane in planes]))
    differences = [mean - water for mean in means.values()]
    mean, used = planes.mean(axis=0), away < _USED * cylinder.radius_mm
    own = _rings(mean, away, used, pixel)
    gantry = _rings(mean, _from_middle(mean.shape) * pixel, used, pixel)
    ring = max(own, gantry, key=lambda each: abs(each.height))
    rest = ring.rest if ring is gantry and gantry.height else own.rest
    return Reading(
        water=water,
        noise=noise,
        edges=means,
        uniformity=max(differences, key=abs),
        ring=ring.height,
        ring_mm=ring.radius_mm,
        spot=_spot(rest, used & (away > _HUB_MM), used, pixel),
        regions=regions,
    )


def _regions(cylinder: Cylinder, pixel: float) -> dict[str, Circle]:
    """The middle, and four whose edge is as far from the phantom's as they are wide, halved."""
    reach = (cylinder.radius_mm - _REGION_MM) / pixel
    radius = _REGION_MM / 2 / pixel
    places = {"center": (0, 0), **_DIRECTIONS}
    return {
        name: Circle(cylinder.row + down * reach, cylinder.column + right * reach, radius)
        for name, (down, right) in places.items()
    }


def _from_middle(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Pixels from the middle of the image: that of the gantry, unless the field of view was moved."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(rows - (shape[0] - 1) / 2, columns - (shape[1] - 1) / 2))


def _inside(planes: NDArray[np.float64], circle: Circle) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: planes.shape[1], : planes.shape[2]]
    return np.asarray(np.hypot(rows - circle.row, columns - circle.column) <= circle.radius)


@dataclass(frozen=True, slots=True)
class _Rings:
    """The highest ring around a point, and what is left of the mean of the slices without what the radius explains."""

    height: float
    radius_mm: float
    rest: NDArray[np.float64]


def _rings(mean: NDArray[np.float64], around: NDArray[np.float64], used: NDArray[np.bool_], pixel: float) -> _Rings:
    """`around`: mm of each pixel from the point."""
    bins = (around / pixel).astype(int)
    count = np.bincount(bins[used])
    profile = np.bincount(bins[used], mean[used]) / np.maximum(count, 1)
    height = profile - ndimage.median_filter(profile, max(3, int(_RING_MM / pixel) | 1), mode="nearest")
    squares = np.bincount(bins[used], (mean[used] - profile[bins[used]]) ** 2) / np.maximum(count, 1)
    unsure = np.sqrt(squares / np.maximum(count, 1)) * _CORRELATED
    radii = np.arange(len(height)) * pixel
    whole = count > 0.7 * 2 * np.pi * radii / pixel  # of an arc alone the mean is that of a place, not of a ring
    stands_out = (np.abs(height) > SURE * unsure) & (radii > _HUB_MM) & whole
    rest = mean - np.where(used, profile[np.minimum(bins, len(profile) - 1)], 0.0)
    if not stands_out.any():
        return _Rings(0.0, 0.0, rest)
    place = int(np.abs(np.where(stands_out, height, 0)).argmax())
    return _Rings(float(height[place]), (place + 0.5) * pixel, rest)


_CORRELATED = 2.0
"""Pixels are not independent: by this factor a mean is less certain than their number says."""


def _spot(rest: NDArray[np.float64], looked_at: NDArray[np.bool_], used: NDArray[np.bool_], pixel: float) -> float:
    """The largest deviation of a local mean; noise leaves a spread in it that is measured by its quartiles."""
    weight = ndimage.gaussian_filter(used.astype(np.float64), _SPOT_MM / pixel)
    local = ndimage.gaussian_filter(np.where(used, rest, 0.0), _SPOT_MM / pixel) / np.maximum(weight, 1e-6)
    values = local[looked_at]
    low, middle, high = np.percentile(values, (25, 50, 75))
    unsure = (high - low) / 1.349
    largest = float(values[np.abs(values - middle).argmax()] - middle)
    return largest if abs(largest) > SURE * unsure else 0.0
