"""A water phantom in CT, as a scanner is checked with every morning: what may be wrong with it is known.

A cylinder of water in a wall of acrylic on a couch, along z. Coordinates are mm in LPS, the middle of the gantry at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import CTImageStorage
from scipy import ndimage

from plugins.phantoms.files import PhantomOrder, PhantomSeries, add_slice, saved

_WALL_HU, _COUCH_HU, _AIR_HU = 120.0, -150.0, -1000.0
_WALL_MM = 5.0


@dataclass(frozen=True)
class WaterPhantom:
    """The cylinder, and what is wrong with the scanner. The same settings give the same voxels."""

    diameter_mm: float = 200.0
    size: int = 256
    slices: int = 5
    slice_mm: float = 5.0
    field_of_view_mm: float = 250.0
    centre_mm: tuple[float, float] = (0.0, 0.0)
    """x and y of its axis."""
    noise_hu: float = 4.0
    """Standard deviation of a pixel."""
    noise_pixels: float = 0.8
    """Reach of its correlation, as the standard deviation of a Gaussian."""
    drift_hu: float = 0.0
    """What water measures in the middle."""
    cupping_hu: float = 0.0
    """By how much the edge is brighter than the middle: the square of the distance."""
    ring_hu: float = 0.0
    ring_mm: float = 45.0
    """A ring of 1.5 mm, as a faulty detector element makes it, at this radius around the middle of the gantry."""
    streak_hu: float = 0.0
    """A bright band of 4 mm through the phantom, 30 mm from its middle."""
    couch: bool = True
    seed: int = 1

    @property
    def pixel_mm(self) -> float:
        """Distance of rows and of columns."""
        return self.field_of_view_mm / self.size

    @property
    def axis(self) -> NDArray[np.float64]:
        """x of the columns, and y of the rows."""
        return (np.arange(self.size, dtype=np.float64) - (self.size - 1) / 2) * np.float64(self.pixel_mm)

    def truth(self, radius_mm: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """What water measures so far from the middle of the phantom without noise, ring and streak, HU."""
        return np.asarray(self.drift_hu + self.cupping_hu * np.square(radius_mm) / (self.diameter_mm / 2) ** 2)

    @cached_property
    def hounsfield(self) -> NDArray[np.int16]:
        """HU, shape (slices, rows, columns)."""
        y, x = np.meshgrid(self.axis, self.axis, indexing="ij")
        values = np.full(x.shape, _AIR_HU)
        radius = np.hypot(x - self.centre_mm[0], y - self.centre_mm[1])
        if self.couch:
            values[(y > self.diameter_mm / 2 + 2) & (y < self.diameter_mm / 2 + 12)] = _COUCH_HU
        values[radius <= self.diameter_mm / 2] = _WALL_HU
        water = radius <= self.diameter_mm / 2 - _WALL_MM
        values[water] = self.truth(radius)[water]
        values[water & (np.abs(np.hypot(x, y) - self.ring_mm) < 0.75)] += self.ring_hu
        values[water & (np.abs(y - self.centre_mm[1] + 30.0) < 2.0)] += self.streak_hu
        return np.clip(np.round(values + self._noise()), -1024, 3071).astype(np.int16)

    def _noise(self) -> NDArray[np.float64]:
        white = np.random.default_rng(self.seed).normal(0, 1, (self.slices, self.size, self.size))
        soft = ndimage.gaussian_filter(white, (0, self.noise_pixels, self.noise_pixels))
        return np.asarray(soft * (self.noise_hu / soft.std() if self.noise_hu else 0.0))


def write_series(phantom: WaterPhantom, folder: Path, order: PhantomOrder | None = None) -> list[Path]:
    """A CT series, one file a slice."""
    order = order or PhantomOrder(patient_name="QA^Water", patient_id="QA-CT1", patient_birth_date="", patient_sex="")
    series = PhantomSeries("CT", CTImageStorage, "Daily QA water", "PHANTOM", repr(phantom), order)
    paths = []
    for index, values in enumerate(phantom.hounsfield):
        dataset = series.instance(index, (values.astype(np.int32) + 1024).astype(np.uint16))
        position = float(phantom.axis[0]), float(phantom.axis[0]), index * phantom.slice_mm
        frame = series.uid("frame of reference")
        add_slice(dataset, position, (phantom.slice_mm, phantom.pixel_mm, phantom.pixel_mm), frame)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.KVP, dataset.ConvolutionKernel = 120, "H30s"
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
        dataset.WindowCenter, dataset.WindowWidth = 0, 100
        dataset.QualityControlImage = "YES"
        paths.append(saved(dataset, folder, index + 1))
    return paths
