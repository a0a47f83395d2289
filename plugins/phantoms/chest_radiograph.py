"""A chest X-ray image: the chest phantom as parallel rays from behind see it, with the lungs and nodules it shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import DigitalXRayImageStorageForPresentation

from plugins.codes import CHEST
from plugins.phantoms.chest import LEFT, RIGHT
from plugins.phantoms.files import PhantomOrder, PhantomSeries, add_radiograph, add_view_from_behind, saved
from plugins.phantoms.nodules import NoduleChest, SphericalNodule

_ATTENUATION = 0.02
"""Of water, per mm."""
_SCALE = 620.0
"""Stored value of a unit of attenuation."""


@dataclass(frozen=True)
class ChestRadiograph:
    """The projection from back to front (PA): the patient's left on the right-hand side, head up."""

    chest: NoduleChest = field(
        default_factory=lambda: NoduleChest(
            size=240,
            slice_mm=1.5,
            nodules=(SphericalNodule((-95.0, 12.0, 40.0), 22.0), SphericalNodule((80.0, -30.0, 0.0), 16.0)),
        )
    )
    """With pixels as large as its slices are thick."""

    @cached_property
    def pixels(self) -> NDArray[np.uint16]:
        """12 bits, (rows, columns): what absorbs much is white."""
        density = np.maximum(self.chest.array.astype(np.float32) + 1000, 0) / 1000
        path = density.sum(axis=1)[::-1] * self.chest.pixel_mm * _ATTENUATION
        return np.asarray(np.clip(np.round(path * _SCALE), 0, 4095).astype(np.uint16))

    @cached_property
    def lung_masks(self) -> dict[int, NDArray[np.bool_]]:
        """RIGHT and LEFT → where a ray meets that lung."""
        return {side: (self.chest.labels == side).any(axis=1)[::-1] for side in (RIGHT, LEFT)}

    @cached_property
    def nodule_masks(self) -> tuple[NDArray[np.bool_], ...]:
        """Where a ray meets each nodule."""
        labels = self.chest.nodule_labels
        return tuple((labels == number + 1).any(axis=1)[::-1] for number in range(len(self.chest.nodules)))

    def write(self, folder: Path, order: PhantomOrder | None = None) -> list[Path]:
        """One file."""
        order = order or PhantomOrder(patient_name="Phantom^Chest")
        series = PhantomSeries("DX", DigitalXRayImageStorageForPresentation, "Chest PA", "CHEST", repr(self), order)
        dataset = series.instance(0, self.pixels)
        add_radiograph(dataset, self.chest.pixel_mm, "U", CHEST)
        add_view_from_behind(dataset)
        dataset.PatientOrientation = ["L", "F"]
        return [saved(dataset, folder, 1)]
