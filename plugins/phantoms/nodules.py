"""A chest CT with nodules whose place, size and side are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plugins.phantoms.chest import LEFT, RIGHT, Chest

NODULE_HU = 30


@dataclass(frozen=True, slots=True)
class SphericalNodule:
    """A solid sphere: its middle in mm (LPS) and its diameter."""

    centre: tuple[float, float, float]
    diameter_mm: float

    @property
    def volume_ml(self) -> float:
        """Of the sphere."""
        return math.pi / 6000 * self.diameter_mm**3

    @property
    def label(self) -> int:
        """RIGHT or LEFT: the lung that it is in."""
        return LEFT if self.centre[0] > 0 else RIGHT


@dataclass(frozen=True)
class NoduleChest(Chest):
    """A chest with solid nodules in its lungs; `chest_series.write_series` writes it."""

    size: int = 256
    slice_mm: float = 1.5
    emphysema: tuple[float, float] = (0.0, 0.0)
    vessels: bool = True
    nodules: tuple[SphericalNodule, ...] = (
        SphericalNodule((-95.0, 12.0, 40.0), 12.0),
        SphericalNodule((70.0, -30.0, 10.0), 8.0),
        SphericalNodule((100.0, 25.0, -40.0), 18.0),
    )

    @cached_property
    def nodule_labels(self) -> NDArray[np.uint8]:
        """n + 1 in the voxels of the n-th nodule, on the grid of `array`."""
        labels = np.zeros(self.array.shape, np.uint8)
        z, y, x = np.meshgrid(*self.axes, indexing="ij", sparse=True)
        for number, nodule in enumerate(self.nodules, start=1):
            across, down, up = nodule.centre
            away = (x - across) ** 2 + (y - down) ** 2 + (z - up) ** 2
            labels[away <= (nodule.diameter_mm / 2) ** 2] = number
        return labels

    @cached_property
    def _built(self) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        labels, array = super()._built
        shown = np.array(array)
        z, y, x = np.meshgrid(*self.axes, indexing="ij", sparse=True)
        random = np.random.default_rng(self.seed + 2)
        for nodule in self.nodules:
            across, down, up = nodule.centre
            away = (x - across) ** 2 + (y - down) ** 2 + (z - up) ** 2
            inside = away <= (nodule.diameter_mm / 2) ** 2
            shown[inside] = np.round(NODULE_HU + random.normal(0, self.noise_hu, int(inside.sum())))
        return labels, shown
