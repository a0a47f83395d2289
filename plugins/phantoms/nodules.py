"""A chest CT with nodules whose place, size and side are known."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plugins.phantoms.chest import LEFT, RIGHT, Chest

NODULE_HU = 30
_PARTS = 5
"""Parts of a voxel on each axis, of which each is within a nodule or outside, for its partial volume."""


@dataclass(frozen=True, slots=True)
class SphericalNodule:
    """A solid sphere: its middle in mm (LPS) and its diameter."""

    centre: tuple[float, float, float]
    diameter_mm: float

    @property
    def half_axes(self) -> tuple[float, float, float]:
        """Along x, y and z, mm."""
        return (self.diameter_mm / 2,) * 3

    @property
    def volume_ml(self) -> float:
        """Of the sphere."""
        return _volume_ml(self.half_axes)

    @property
    def long_axis_mm(self) -> float:
        """The longest diameter within an axial slice."""
        return self.diameter_mm

    @property
    def label(self) -> int:
        """RIGHT or LEFT: the lung that it is in."""
        return LEFT if self.centre[0] > 0 else RIGHT


@dataclass(frozen=True, slots=True)
class EllipsoidalNodule:
    """A solid ellipsoid: its middle in mm (LPS) and its half-axes along x, y and z."""

    centre: tuple[float, float, float]
    half_axes: tuple[float, float, float]

    @property
    def volume_ml(self) -> float:
        """Of the ellipsoid."""
        return _volume_ml(self.half_axes)

    @property
    def long_axis_mm(self) -> float:
        """The longest diameter within an axial slice."""
        return 2 * max(self.half_axes[:2])

    @property
    def label(self) -> int:
        """RIGHT or LEFT: the lung that it is in."""
        return LEFT if self.centre[0] > 0 else RIGHT


def _volume_ml(half_axes: tuple[float, float, float]) -> float:
    return 4 / 3 * math.pi * math.prod(half_axes) / 1000


@dataclass(frozen=True)
class NoduleChest(Chest):
    """A chest with solid nodules in its lungs; `chest_series.write_series` writes it."""

    size: int = 256
    slice_mm: float = 1.5
    emphysema: tuple[float, float] = (0.0, 0.0)
    vessels: bool = True
    nodules: tuple[SphericalNodule | EllipsoidalNodule, ...] = (
        SphericalNodule((-95.0, 12.0, 40.0), 12.0),
        SphericalNodule((70.0, -30.0, 10.0), 8.0),
        SphericalNodule((100.0, 25.0, -40.0), 18.0),
    )
    partial_volume: bool = False
    """Whether voxels on the surface of a nodule mix it with what is around it, as a scanner does."""

    @cached_property
    def nodule_labels(self) -> NDArray[np.uint8]:
        """n + 1 in the voxels of the n-th nodule, on the grid of `array`."""
        labels = np.zeros(self.array.shape, np.uint8)
        for number, nodule in enumerate(self.nodules, start=1):
            box = self._box(nodule)
            labels[box][self._inside(nodule, box)] = number
        return labels

    def _box(self, nodule: SphericalNodule | EllipsoidalNodule) -> tuple[slice, ...]:
        """The part of the grid that the nodule is in, with a voxel around it."""
        ends = zip(self.axes, nodule.centre[::-1], nodule.half_axes[::-1], strict=True)
        found = [np.searchsorted(axis, [middle - half, middle + half]) for axis, middle, half in ends]
        return tuple(slice(max(0, int(start) - 1), int(stop) + 1) for start, stop in found)

    def _inside(
        self, nodule: SphericalNodule | EllipsoidalNodule, box: tuple[slice, ...], moved: tuple[float, ...] = (0, 0, 0)
    ) -> NDArray[np.bool_]:
        """The voxels of the box whose middle, moved by these mm along z, y and x, is in the nodule."""
        axes = (axis[part] + by for axis, part, by in zip(self.axes, box, moved, strict=True))
        z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
        parts = zip((x, y, z), nodule.centre, nodule.half_axes, strict=True)
        return np.asarray(sum(((axis - middle) / half) ** 2 for axis, middle, half in parts) <= 1)

    def _share(self, nodule: SphericalNodule | EllipsoidalNodule, box: tuple[slice, ...]) -> NDArray[np.float64]:
        """How much of each voxel of the box is nodule, 0 to 1."""
        if not self.partial_volume:
            return self._inside(nodule, box).astype(np.float64)
        steps = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
        moves = itertools.product(steps * self.slice_mm, steps * self.pixel_mm, steps * self.pixel_mm)
        return np.asarray(np.mean([self._inside(nodule, box, moved) for moved in moves], axis=0))

    @cached_property
    def _built(self) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        labels, array = super()._built
        shown = np.array(array)
        random = np.random.default_rng(self.seed + 2)
        for nodule in self.nodules:
            box = self._box(nodule)
            share, part = self._share(nodule, box), shown[box]
            touched = share > 0
            dense = NODULE_HU + random.normal(0, self.noise_hu, int(touched.sum()))
            part[touched] = np.round(share[touched] * dense + (1 - share[touched]) * part[touched])
        return labels, shown
