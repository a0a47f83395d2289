"""Small images whose answer is known exactly, for a plugin that was just made."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

SLICES, ROWS, COLUMNS = 12, 64, 64
BLOCK = (slice(2, 10), slice(20, 40), slice(15, 45))
"""Slices, rows and columns of a block of 40 HU in air: 4,800 voxels of 6.75 mm³, 32.4 mL."""
_SPACING = (3.0, 1.5, 1.5)
_AIR, _TISSUE = -1000, 40


def write_ct(folder: Path) -> None:
    """A CT of the block, one file a slice."""
    values = np.full((SLICES, ROWS, COLUMNS), _AIR, np.int16)
    values[BLOCK] = _TISSUE
    for index, plane in enumerate(values):
        dataset = _image("CT", CTImageStorage, index + 1, plane)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.KVP, dataset.AcquisitionNumber = 120, 1
        dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = _uid("CT frame"), ""
        dataset.ImagePositionPatient = [-48.0, -48.0, index * _SPACING[0]]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.SliceThickness, dataset.PixelSpacing = _SPACING[0], list(_SPACING[1:])
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "HU"
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
        _save(dataset, folder / f"{index + 1:03}.dcm")


def write_radiograph(folder: Path) -> None:
    """A radiograph with one bright rectangle, at columns 30 to 50 and rows 40 to 60."""
    values = np.full((128, 96), 500, np.uint16)
    values[40:60, 30:50] = 3500
    dataset = _image("DX", DigitalXRayImageStorageForPresentation, 1, values)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape, dataset.LossyImageCompression, dataset.BurnedInAnnotation = "IDENTITY", "00", "NO"
    dataset.BodyPartExamined, dataset.ViewPosition, dataset.PatientOrientation = "CHEST", "PA", ["L", "F"]
    dataset.ImagerPixelSpacing, dataset.DetectorType = [0.5, 0.5], "DIRECT"
    dataset.AcquisitionContextSequence = []
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = 2000, 4000
    _save(dataset, folder / "001.dcm")


def _uid(item: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'pacsnode sample {item}').int}"


def _image(modality: str, sop_class: str, number: int, values: NDArray[np.generic]) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, _uid(f"{modality} {number}")
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = "20240102"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = "101500"
    dataset.AccessionNumber, dataset.Modality, dataset.Manufacturer = "SAMPLE", modality, "pacsnode"
    dataset.ReferringPhysicianName, dataset.SeriesDescription = "", f"Sample {modality}"
    dataset.PatientName, dataset.PatientID = "Sample^Image", "SAMPLE-1"
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(f"{modality} study"), _uid(f"{modality} series")
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", 1, number
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated = *values.shape, 16
    dataset.PixelData = values.tobytes()
    return dataset


def _save(dataset: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
