"""Images that the benchmarks send: made by code, noise, so that nothing on the way can profit from their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of image: 16 bit, one frame."""

    name: str
    modality: str
    sop_class_uid: UID
    rows: int
    columns: int

    @property
    def words(self) -> str:
        """How a table names it."""
        size = self.rows * self.columns * 2
        return f"{self.name} {size / 1e6:.0f} MB" if size >= 10**6 else f"{self.name} {size / 1e3:.0f} kB"


MR = Kind("MR", "MR", MRImageStorage, 96, 100)
CT = Kind("CT", "CT", CTImageStorage, 512, 512)
DX = Kind("DX", "DX", DigitalXRayImageStorageForPresentation, 4000, 3750)


def write_study(folder: Path, kind: Kind, images: int, uid: str) -> Path:
    """One study of one series as files below `folder`; `uid` is the root of its UIDs."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(len(uid))
    for number in range(1, images + 1):
        image = _image(kind, number, uid)
        image.PixelData = noise.integers(0, 4096, kind.rows * kind.columns, dtype=np.uint16).tobytes()
        dcmwrite(folder / f"{number:05}.dcm", image, enforce_file_format=True)
    return folder


def _image(kind: Kind, number: int, uid: str) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.SOPInstanceUID = kind.sop_class_uid, f"{uid}.1.{number}"
    image.StudyDate, image.StudyTime, image.AccessionNumber = "20260301", "113000", "A1"
    image.Modality, image.Manufacturer, image.SeriesDescription = kind.modality, "Benchmark", "Noise"
    image.PatientName, image.PatientID = "Bench^Mark", "B1"
    image.PatientBirthDate, image.PatientSex = "19600101", "O"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = uid, f"{uid}.1", f"{uid}.9"
    image.StudyID, image.SeriesNumber, image.InstanceNumber = "1", 1, number
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    image.SliceThickness, image.PixelSpacing = 1, [0.7, 0.7]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = kind.rows, kind.columns
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.RescaleIntercept, image.RescaleSlope = -1024, 1
    return image
