"""The chest phantom in a scan that goes down to the kidneys, with gas under the diaphragm, on a hollow couch.

What an algorithm may take for lung and what is none: a stomach full of gas that only the diaphragm parts from the left
lung, thinner than a voxel; a colon of gas that reaches the last slice; a couch top that encloses air. The truth is that
of the chest: none of it is lung.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plugins.phantoms.chest import AIR, JUNCTION, LUNGS, Chest

_COLON = (92.0, 14.0)
"""Middle (x) and radius of the descending colon; it goes down from the stomach."""
_STOMACH_DEPTH = 70.0
"""mm below the base of the left lung that the stomach goes."""
_COUCH = ((-175.0, 175.0), (118.0, 150.0))
"""Its extent in x and y; the patient lies on it."""
_SHELL_MM, _SHELL_HU, _FOAM_HU = 3.0, -150, -940


@dataclass(frozen=True)
class LongChest(Chest):
    """A chest with what lies below and behind it."""

    extent: tuple[float, float] = (-300.0, 135.0)
    stomach: bool = True
    """Gas in stomach and colon, in contact with the left lung."""
    couch: bool = True
    """A couch top of 3 mm around foam."""

    @cached_property
    def _built(self) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        labels, array = np.array(super()._built[0]), np.array(super()._built[1])
        z, y, x = (axis.astype(np.float32) for axis in self.axes)
        random = np.random.default_rng(self.seed + 1)
        for index, height in enumerate(z.tolist()):
            if self.stomach:
                self._add_gas(array[index], labels[index], height, random)
            if self.couch:
                self._add_couch(array[index], y[:, np.newaxis], x[np.newaxis], random)
        return labels, array

    def _add_gas(
        self, image: NDArray[np.int16], labels: NDArray[np.uint8], z: float, random: np.random.Generator
    ) -> None:
        lung = LUNGS[1]
        y, x = np.meshgrid(self.axes[1], self.axes[2], indexing="ij")
        across, down = (np.abs(d / half) for d, half in zip((x - lung.centre[0], y), lung.half_axes, strict=True))
        radius = (across**2.5 + down**2.5) ** 0.4
        height = z - lung.base
        gas = np.zeros(image.shape, dtype=bool)
        rim = np.zeros(image.shape, dtype=bool)
        if 0 <= height < lung.diaphragm:  # under the dome, up to a membrane thinner than a voxel
            dome = np.sqrt(1 - (height / lung.diaphragm) ** 2)
            gas = (radius < dome * 0.95) & (labels == 0)
            rim = (radius >= dome * 0.95) & (radius <= dome) & (labels == 0)
        elif -_STOMACH_DEPTH < height < 0:
            gas = radius < 0.95 * np.sqrt(1 - (height / _STOMACH_DEPTH) ** 2)
        if height < 0:
            gas |= np.hypot(x - _COLON[0], y) < _COLON[1]
        for part, hounsfield in ((rim, JUNCTION), (gas, AIR)):
            image[part] = np.round(hounsfield + random.normal(0, self.noise_hu, int(part.sum())))

    def _add_couch(
        self,
        image: NDArray[np.int16],
        y: NDArray[np.float32],
        x: NDArray[np.float32],
        random: np.random.Generator,
    ) -> None:
        (left, right), (top, bottom) = _COUCH
        body = (np.abs(x / 172) ** 2.6 + np.abs(y / 122) ** 2.6) <= 1
        outside = (x > left) & (x < right) & (y > top) & (y < bottom) & ~body
        core = (x > left + _SHELL_MM) & (x < right - _SHELL_MM) & (y > top + _SHELL_MM) & (y < bottom - _SHELL_MM)
        for part, hounsfield in ((outside & ~core, _SHELL_HU), (outside & core, _FOAM_HU)):
            image[part] = np.round(hounsfield + random.normal(0, self.noise_hu, int(part.sum())))
