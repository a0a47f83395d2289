"""One image of each kind of modality: those of the results' tests, and nuclear medicine, captures, photographs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from pydicom import Dataset
from pydicom.uid import (
    NuclearMedicineImageStorage,
    SecondaryCaptureImageStorage,
    VLPhotographicImageStorage,
)

from tests.support.results import reports


def nm(number: int = 1) -> Dataset:
    """A planar scintigram of one frame."""
    image = reports.cr(number)
    image.SOPClassUID, image.Modality, image.NumberOfFrames = NuclearMedicineImageStorage, "NM", 1
    return image


def capture(number: int = 1) -> Dataset:
    """A picture that a workstation stored."""
    image = reports.cr(number)
    image.SOPClassUID, image.Modality, image.ConversionType = SecondaryCaptureImageStorage, "OT", "WSD"
    return image


def photograph(number: int = 1) -> Dataset:
    """A photograph in colour."""
    image = reports.us(number)
    del image.NumberOfFrames
    image.SOPClassUID, image.Modality = VLPhotographicImageStorage, "XC"
    image.PixelData = np.full((reports.ROWS, reports.COLUMNS, 3), 90, dtype=np.uint8).tobytes()
    return image


IMAGES: Mapping[str, Callable[[int], Dataset]] = {
    **{name: make for name, make in reports.SOURCES.items() if name != "private"},
    "nm": nm,
    "capture": capture,
    "photograph": photograph,
}
"""Kinds whose IOD the Standard has, by name."""
