"""A head in CT, with a bleed, and in a T1-weighted MR: tissues whose volumes are known.

Ellipsoids within each other: scalp, skull, cerebrospinal fluid, a folded cortex, white matter, two lateral ventricles.
Coordinates are mm in LPS, the middle of the head at 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage

from plugins.phantoms.files import PhantomOrder, PhantomSeries, add_slice, saved

SCALP, SKULL, FLUID, GREY, WHITE, BLEED = 1, 2, 3, 4, 5, 6
"""Values of `labels`."""
_HALF_AXES = {SCALP: (78.0, 96.0, 88.0), SKULL: (74.0, 92.0, 84.0), FLUID: (67.0, 85.0, 77.0), GREY: (65.0, 82.0, 74.0)}
_CORTEX_MM = 7.0
_VENTRICLES = ((-12.0, -2.0, 5.0), (12.0, -2.0, 5.0))
_VENTRICLE_AXES = (6.0, 28.0, 11.0)
_HU = {0: -1000, SCALP: 35, SKULL: 1100, FLUID: 8, GREY: 38, WHITE: 29, BLEED: 68}
_T1 = {0: 0, SCALP: 900, SKULL: 70, FLUID: 160, GREY: 430, WHITE: 660, BLEED: 520}


@dataclass(frozen=True, slots=True)
class HeadHemorrhage:
    """A bleed in the brain: the middle and the half-axes of an ellipsoid, mm."""

    centre: tuple[float, float, float] = (32.0, -8.0, 8.0)
    half_axes: tuple[float, float, float] = (14.0, 20.0, 13.0)

    @property
    def volume_ml(self) -> float:
        """Of the ellipsoid."""
        return 4 / 3 * math.pi * math.prod(self.half_axes) / 1000

    @property
    def laterality(self) -> str:
        """L or R."""
        return "L" if self.centre[0] > 0 else "R"


@dataclass(frozen=True)
class HeadPhantom:
    """A head and its tissues. The same settings give the same voxels."""

    size: int = 192
    slice_mm: float = 3.0
    field_of_view_mm: float = 230.0
    noise: float = 3.0
    """Standard deviation, in HU or in units of the MR signal."""
    bleed: HeadHemorrhage | None = HeadHemorrhage()
    seed: int = 1

    @property
    def pixel_mm(self) -> float:
        """Distance of rows and of columns."""
        return self.field_of_view_mm / self.size

    @cached_property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """z of the slices, y of the rows, x of the columns."""
        across = (np.arange(self.size, dtype=np.float64) - (self.size - 1) / 2) * np.float64(self.pixel_mm)
        count = int(180.0 / self.slice_mm) + 1
        along = np.float64(-90.0) + np.arange(count, dtype=np.float64) * np.float64(self.slice_mm)
        return along, across, across

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """The tissue of each voxel, 0 outside."""
        z, y, x = np.meshgrid(*self.axes, indexing="ij", sparse=True)

        def inside(half: tuple[float, ...], centre: tuple[float, ...] = (0, 0, 0)) -> NDArray[np.float64]:
            parts = ((axis - c) / h for axis, c, h in zip((x, y, z), centre, half, strict=True))
            return np.asarray(sum(part**2 for part in parts)) ** 0.5

        labels = np.zeros(tuple(len(axis) for axis in self.axes), np.uint8)
        for tissue, half in _HALF_AXES.items():
            labels[inside(half) <= 1] = tissue
        angle, height = np.arctan2(y, x), z / 9.0
        folds = 1 + 0.06 * np.sin(14 * angle + np.sin(height)) * np.cos(height)
        smaller = tuple(half - _CORTEX_MM for half in _HALF_AXES[GREY])
        labels[inside(smaller) * folds <= 0.97] = WHITE
        labels[(np.abs(x) < 1.2) & (labels >= GREY) & (z > 18)] = FLUID  # between the hemispheres
        for centre in _VENTRICLES:
            labels[inside(_VENTRICLE_AXES, centre) <= 1] = FLUID
        if self.bleed is not None:
            labels[inside(self.bleed.half_axes, self.bleed.centre) <= 1] = BLEED
        return labels

    def volume_ml(self, tissue: int) -> float:
        """Volume of the voxels of a tissue."""
        return float((self.labels == tissue).sum()) * self.pixel_mm**2 * self.slice_mm / 1000

    @cached_property
    def hounsfield(self) -> NDArray[np.int16]:
        """CT: HU, shape (slices, rows, columns)."""
        return np.clip(self._painted(_HU), -1024, 3071).astype(np.int16)

    @cached_property
    def t1_weighted(self) -> NDArray[np.uint16]:
        """MR: the magnitude of signal and noise."""
        noise = np.random.default_rng(self.seed + 1).normal(0, self.noise, self.labels.shape)
        return np.round(np.hypot(self._painted(_T1), noise)).astype(np.uint16)

    def _painted(self, values: dict[int, int]) -> NDArray[np.float64]:
        table = np.array([values[tissue] for tissue in range(len(values))], dtype=np.float64)
        noise = np.random.default_rng(self.seed).normal(0, self.noise, self.labels.shape)
        return np.asarray(np.round(table[self.labels] + noise))


def write_ct(head: HeadPhantom, folder: Path, order: PhantomOrder | None = None) -> list[Path]:
    """A CT series, one file a slice, feet first."""
    order = order or PhantomOrder(patient_name="Phantom^Head")
    series = PhantomSeries("CT", CTImageStorage, "Head without contrast", "HEAD", repr(head), order)
    stored = (head.hounsfield.astype(np.int32) + 1024).astype(np.uint16)
    return [saved(_ct(series, head, index, pixels), folder, index + 1) for index, pixels in enumerate(stored)]


def write_mr(head: HeadPhantom, folder: Path, order: PhantomOrder | None = None) -> list[Path]:
    """A T1-weighted MR series, one file a slice, feet first."""
    order = order or PhantomOrder(patient_name="Phantom^Head")
    series = PhantomSeries("MR", MRImageStorage, "T1 3D", "BRAIN", repr(head), order)
    return [saved(_mr(series, head, index, pixels), folder, index + 1) for index, pixels in enumerate(head.t1_weighted)]


def _sliced(series: PhantomSeries, head: HeadPhantom, index: int, pixels: NDArray[np.uint16]) -> Dataset:
    dataset = series.instance(index, pixels)
    z, y, x = head.axes
    position = float(x[0]), float(y[0]), float(z[index])
    add_slice(dataset, position, (head.slice_mm, head.pixel_mm, head.pixel_mm), series.uid("frame of reference"))
    return dataset


def _ct(series: PhantomSeries, head: HeadPhantom, index: int, pixels: NDArray[np.uint16]) -> Dataset:
    dataset = _sliced(series, head, index, pixels)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.KVP, dataset.ExposureTime, dataset.XRayTubeCurrent = 120, 1000, 250
    dataset.ConvolutionKernel, dataset.GantryDetectorTilt = "H30f", 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 80
    return dataset


def _mr(series: PhantomSeries, head: HeadPhantom, index: int, pixels: NDArray[np.uint16]) -> Dataset:
    dataset = _sliced(series, head, index, pixels)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = ["GR", "IR"], ["SP", "MP"], ""
    dataset.MRAcquisitionType, dataset.EchoTrainLength = "3D", 1
    dataset.RepetitionTime, dataset.EchoTime, dataset.InversionTime, dataset.FlipAngle = 2000, 3, 900, 9
    dataset.MagneticFieldStrength = 3
    dataset.WindowCenter, dataset.WindowWidth = 400, 800
    return dataset
