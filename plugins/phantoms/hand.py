"""A hand X-ray image: 27 bones of the hand, radius and ulna, each with its name, its mask and its length.

It is a left hand from the back (PA), fingers up, the thumb on the right-hand side, as bone age is read from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import DigitalXRayImageStorageForPresentation
from scipy import ndimage

from plugins.codes import HAND
from plugins.phantoms.files import PhantomOrder, PhantomSeries, add_radiograph, add_view_from_behind, saved

_FINGERS = (
    # name; base of the metacarpal (x to the right, y down, mm); direction in degrees from straight up; lengths, mm
    ("thumb", (22.0, 8.0), 40.0, (44.0, 30.0, 22.0)),
    ("index finger", (14.0, -4.0), 8.0, (62.0, 38.0, 23.0, 16.0)),
    ("middle finger", (4.0, -6.0), 0.0, (60.0, 42.0, 27.0, 17.0)),
    ("ring finger", (-6.0, -4.0), -7.0, (54.0, 39.0, 25.0, 17.0)),
    ("little finger", (-15.0, 0.0), -16.0, (50.0, 31.0, 18.0, 15.0)),
)
_PHALANGES: dict[int, tuple[str, ...]] = {
    3: ("metacarpal", "proximal phalanx", "distal phalanx"),
    4: ("metacarpal", "proximal phalanx", "middle phalanx", "distal phalanx"),
}
_CARPALS = {
    "scaphoid": (12.0, 17.0, 6.5),
    "lunate": (1.0, 19.0, 5.5),
    "triquetrum": (-10.0, 17.0, 5.0),
    "pisiform": (-15.0, 14.0, 3.0),
    "trapezium": (17.0, 8.5, 4.0),
    "trapezoid": (10.0, 6.0, 4.0),
    "capitate": (2.0, 6.0, 5.5),
    "hamate": (-8.5, 7.0, 5.0),
}
"""Middle and radius, mm."""
_FOREARM = {"radius": ((8.0, 30.0), (8.0, 78.0), 9.0), "ulna": ((-13.0, 30.0), (-12.0, 78.0), 6.0)}
_GAP_MM = 2.0
_WIDTHS = (4.6, 4.2, 3.6, 3.0)

_Shaft = tuple[tuple[float, float], tuple[float, float], float]
"""Ends and half width of a bone, mm."""


@dataclass(frozen=True)
class HandPhantom:
    """The hand and its bones. The same settings give the same pixels."""

    rows: int = 660
    columns: int = 560
    pixel_mm: float = 0.45
    scale: float = 1.0
    """Size of the hand; a child's is smaller."""
    seed: int = 1

    @cached_property
    def bones(self) -> dict[str, _Shaft]:
        """Name → ends and half width, mm from the wrist's middle (x to the right, y down)."""
        found: dict[str, _Shaft] = {}
        for finger, base, angle, lengths in _FINGERS:
            along = np.array([np.sin(np.radians(angle)), -np.cos(np.radians(angle))])
            start = np.array(base)
            for name, length, width in zip(_PHALANGES[len(lengths)], lengths, _WIDTHS, strict=False):
                end = start + along * length
                found[f"{name} of {finger}"] = ((start[0], start[1]), (end[0], end[1]), width)
                start = end + along * (_GAP_MM + 2 * width - 2.4)
        for name, (x, y, radius) in _CARPALS.items():
            found[name] = ((x, y), (x, y), radius)
        found |= _FOREARM
        return {
            name: ((a[0] * self.scale, a[1] * self.scale), (b[0] * self.scale, b[1] * self.scale), half * self.scale)
            for name, (a, b, half) in found.items()
        }

    def length_mm(self, bone: str) -> float:
        """From end to end, with its rounded heads."""
        (x, y), (to_x, to_y), half = self.bones[bone]
        return float(np.hypot(to_x - x, to_y - y)) + 2 * half

    def _away(self, shaft: _Shaft) -> NDArray[np.float64]:
        """mm of each pixel from the line between the ends of a bone."""
        rows, columns = np.mgrid[: self.rows, : self.columns]
        x = (columns + 0.5 - self.columns * 0.44) * self.pixel_mm
        y = (rows + 0.5 - self.rows * 0.66) * self.pixel_mm
        (x0, y0), (x1, y1), _ = shaft
        line = np.array([x1 - x0, y1 - y0])
        share = ((x - x0) * line[0] + (y - y0) * line[1]) / max(float(line @ line), 1e-9)
        share = np.clip(share, 0, 1)
        return np.asarray(np.hypot(x - x0 - share * line[0], y - y0 - share * line[1]))

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """n + 1 where the n-th of `bones` is seen."""
        labels = np.zeros((self.rows, self.columns), np.uint8)
        for number, shaft in enumerate(self.bones.values(), start=1):
            labels[self._away(shaft) <= shaft[2]] = number
        return labels

    @cached_property
    def pixels(self) -> NDArray[np.uint16]:
        """12 bits, (rows, columns): bone is white."""
        flesh, bone = np.zeros((self.rows, self.columns)), np.zeros((self.rows, self.columns))
        for name, shaft in self.bones.items():
            away, half = self._away(shaft), shaft[2]
            around = half + (7.0 if "phalanx" in name else 12.0) * self.scale
            flesh = np.maximum(flesh, np.sqrt(np.clip(around**2 - away**2, 0, None)))
            depth = np.sqrt(np.clip(half**2 - away**2, 0, None))
            marrow = np.sqrt(np.clip((0.6 * half) ** 2 - away**2, 0, None))
            bone = np.maximum(bone, 2 * depth - 1.2 * marrow)
        image = ndimage.gaussian_filter(45 * flesh + 110 * bone, 0.7)
        image += np.random.default_rng(self.seed).normal(0, 8, image.shape) * (flesh > 0)
        return np.clip(np.round(image), 0, 4095).astype(np.uint16)

    def write(self, folder: Path, order: PhantomOrder | None = None) -> list[Path]:
        """One file."""
        order = order or PhantomOrder(patient_name="Phantom^Hand", patient_birth_date="20120229")
        series = PhantomSeries("DX", DigitalXRayImageStorageForPresentation, "Hand PA", "HAND", repr(self), order)
        dataset = series.instance(0, self.pixels)
        add_radiograph(dataset, self.pixel_mm, "L", HAND)
        add_view_from_behind(dataset)
        dataset.PatientOrientation = ["L", "H"]  # in anatomical position: the thumb outwards, the fingers down
        return [saved(dataset, folder, 1)]
