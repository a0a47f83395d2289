"""Projections come as a reader sees them or as they were measured, and their distances say where they are measured."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
)

from plugins.contract import ImageReference, NotApplicableError, Series
from plugins.projections import SpacingKind, projections
from tests.support.shared_data import shared_data

RAMP = np.arange(12, dtype="<u2").reshape(3, 4) * 100


def write(folder: Path, pixels: Any = RAMP, **attributes: Any) -> Path:
    """A CR of 12 bits with these pixels; None takes an attribute away."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3.4"
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = 550.5, 1101  # 0 is black, 1100 is white
    dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    path = folder / "image.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def seen(folder: Path, **attributes: Any) -> Any:
    return projections([write(folder, **attributes)])[0]


def table() -> list[Dataset]:
    lut = Dataset()
    lut.LUTDescriptor = [1101, 0, 8]
    lut.LUTData = np.repeat([0, 51, 255], [500, 100, 501]).astype("<u2").tobytes()
    return [lut]


SEEN: dict[str, tuple[dict[str, Any], Any]] = {
    "a window": ({}, RAMP / 1100),
    "low values white": ({"PhotometricInterpretation": "MONOCHROME1"}, 1 - RAMP / 1100),
    "both say it": (
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        1 - RAMP / 1100,
    ),
    "the first of two windows": ({"WindowCenter": [550.5, 9], "WindowWidth": [1101, 9]}, RAMP / 1100),
    "an exact window": (
        {"VOILUTFunction": "LINEAR_EXACT", "WindowCenter": 550, "WindowWidth": 1100},
        RAMP / 1100,
    ),
    "a sigmoid": (
        {"VOILUTFunction": "SIGMOID", "WindowCenter": 550, "WindowWidth": 400},
        1 / (1 + np.exp(-(RAMP - 550.0) / 100)),
    ),
    "no window": ({"WindowCenter": None, "WindowWidth": None}, RAMP / 1100),
    "rescaled": (
        {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 100.5, "WindowWidth": 2201},
        RAMP / 1100,
    ),
    "a table": ({"VOILUTSequence": table()}, np.select([RAMP < 500, RAMP < 600], [0, 0.2], 1)),
    "padding": ({"PixelPaddingValue": 1100}, np.where(RAMP == 1100, 0, RAMP / 1100)),
    "padding that would be white": (
        {"PixelPaddingValue": 0, "PhotometricInterpretation": "MONOCHROME1"},
        np.where(RAMP == 0, 0, 1 - RAMP / 1100),
    ),
}


@pytest.mark.parametrize("case", SEEN)
def test_an_image_comes_as_it_is_meant_to_be_seen(tmp_path, case):
    """0 is black and 1 is white, whatever the window, the table and the photometric interpretation."""
    attributes, expected = SEEN[case]
    found = seen(tmp_path, **attributes)
    assert found.array.dtype == np.float32
    assert found.array == pytest.approx(expected, abs=1e-6)
    assert found.image == ImageReference("1.2.3.4")


def test_raw_values_are_those_after_the_modality_lut(tmp_path):
    """Neither window nor inversion, through the face of an author."""
    attributes = {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": 0.5, "RescaleIntercept": -3}
    (found,) = Series("1.2", "CR", "", (write(tmp_path, **attributes),)).projections(raw=True)
    assert found.array == pytest.approx(RAMP * 0.5 - 3)
    assert found.bits == 12


CALIBRATED = {"PixelSpacingCalibrationType": "FIDUCIAL", "PixelSpacingCalibrationDescription": "25 mm ball"}
DISTANCES: dict[str, tuple[dict[str, Any], Any, SpacingKind, Any, Any]] = {
    "nothing": ({}, None, SpacingKind.NONE, None, None),
    "Pixel Spacing alone": ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1), SpacingKind.UNSTATED, None, None),
    "the detector": ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), SpacingKind.DETECTOR, None, None),
    "the detector, twice": (
        {"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.2, 0.1]},
        (0.2, 0.1),
        SpacingKind.DETECTOR,
        None,
        None,
    ),
    "the detector and how much larger": (
        {"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": 1.25},
        (0.2, 0.1),
        SpacingKind.DETECTOR,
        1.25,
        (0.16, 0.08),
    ),
    "the detector and its distances": (
        {"ImagerPixelSpacing": [0.2, 0.1], "DistanceSourceToDetector": 1000, "DistanceSourceToPatient": 800},
        (0.2, 0.1),
        SpacingKind.DETECTOR,
        1.25,
        (0.16, 0.08),
    ),
    "calibrated": (
        {"ImagerPixelSpacing": [0.2, 0.1], "PixelSpacing": [0.16, 0.08]},
        (0.16, 0.08),
        SpacingKind.CALIBRATED,
        None,
        (0.16, 0.08),
    ),
    "calibrated by a ball": (
        {"PixelSpacing": [0.16, 0.08], **CALIBRATED},
        (0.16, 0.08),
        SpacingKind.CALIBRATED,
        None,
        (0.16, 0.08),
    ),
}


@pytest.mark.parametrize("case", DISTANCES)
def test_distances_say_where_they_are_measured(tmp_path, case):
    """Those of the patient are there only where an attribute says how much it was magnified (PS3.3 10.7)."""
    attributes, spacing, kind, magnification, patient = DISTANCES[case]
    found = seen(tmp_path, **attributes)
    assert (found.spacing, found.spacing_kind, found.magnification) == (spacing, kind, magnification)
    assert found.patient_spacing == (pytest.approx(patient) if patient else None)
    assert found.calibration == ("FIDUCIAL: 25 mm ball" if "ball" in case else "")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a CT": ({"SOPClassUID": CTImageStorage}, "not a projection X-ray image"),
    "for processing": ({"SOPClassUID": DigitalMammographyXRayImageStorageForProcessing}, "is for processing"),
    "an intent for processing": ({"PresentationIntentType": "FOR PROCESSING"}, "is for processing"),
    "two words on white": ({"PresentationLUTShape": "INVERSE"}, "whether low values are white is unknown"),
    "a high bit that lies": ({"HighBit": 15}, "HighBit 15, which contradicts BitsStored 12"),
    "half a rescale": ({"RescaleSlope": 2}, "no RescaleIntercept"),
    "colour": ({"PhotometricInterpretation": "RGB"}, "colour image"),
    "several frames": ({"NumberOfFrames": 3}, "3 frames"),
    "a window without width": ({"WindowWidth": 0}, "Window Width 0"),
    "a spacing of zero": ({"ImagerPixelSpacing": [0, 0.1]}, "ImagerPixelSpacing"),
    "more pixels than rows": ({"Rows": 2}, "bytes of pixel data"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_certain_projection_is_refused(tmp_path, case):
    """The reason names the image and the attribute."""
    attributes, match = REFUSED[case]
    with pytest.raises(NotApplicableError, match=match):
        seen(tmp_path, **attributes)


def test_an_image_for_processing_can_be_read_raw(tmp_path):
    """It says of itself that no reader sees it so."""
    path = write(tmp_path, SOPClassUID=DigitalMammographyXRayImageStorageForProcessing)
    assert projections([path], raw=True)[0].for_processing


REAL = (
    "ImagingDataCommons_highdicom/data/test_files/dx_image.dcm",
    "pydicom_pydicom/src/pydicom/data/test_files/dicomdirtests/77654033/CR1/6154",
    "pydicom_pylibjpeg-data/ljdata/ds/JPEG2000Lossless/966_fixed.dcm",
    "pydicom_pydicom-data/data_store/data/RG3_J2KR.dcm",
)


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="dcm2pnm (Debian dcmtk) is not installed")
@pytest.mark.parametrize("name", REAL)
def test_real_radiographs_look_as_dcmtk_shows_them(tmp_path, name):
    """Windowed and inverted as dcm2pnm does, to a thousandth of the range from black to white."""
    path = shared_data(name)
    dataset = pydicom.dcmread(path)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress()
    dataset.save_as(tmp_path / "raw.dcm")
    shown = ["dcm2pnm", "+Wi", "1", "+on2", str(tmp_path / "raw.dcm"), str(tmp_path / "shown.png")]
    subprocess.run(shown, check=True, capture_output=True, timeout=60)
    expected = np.asarray(Image.open(tmp_path / "shown.png")) / 65535
    assert projections([path])[0].array == pytest.approx(expected, abs=1e-3)
