"""The chest phantom as a CT series: CT Image Storage (PS3.3 A.3) with the header of a plausible scanner.

The same settings give the same UIDs and, byte for byte, the same files.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless

from plugins.phantoms.chest import Chest

KOREAN = ("", "ISO 2022 IR 149")
"""Specific Character Set for names such as `Hong^Gildong=洪^吉洞=홍^길동` (PS3.5 annex I)."""


@dataclass(frozen=True, slots=True)
class SeriesHeader:
    """What a caller may want to be different: the patient, the order, the station."""

    patient_name: str = "Phantom^Chest"
    patient_id: str = "PHANTOM-0001"
    patient_birth_date: str = "19600229"
    patient_sex: str = "F"
    accession_number: str = "A0001"
    study_date: str = "20240102"
    study_description: str = "CT chest without contrast"
    station_name: str = "CT1"
    convolution_kernel: str = "B30f"
    contrast_agent: str = ""
    character_set: tuple[str, ...] = ("ISO_IR 100",)
    jpeg_ls: bool = False
    """Store compressed (JPEG-LS lossless; needs pyjpegls)."""


def write_series(chest: Chest, folder: Path, header: SeriesHeader | None = None) -> list[Path]:
    """Write one file per slice into `folder` (made if missing) and return their paths, feet first."""
    header = header or SeriesHeader()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(len(chest.axes[0])):
        dataset = _instance(chest, header, index)
        if header.jpeg_ls:
            dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        paths.append(folder / f"{index + 1:06d}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def _uid(chest: Chest, header: SeriesHeader, item: str) -> str:
    """A UID from what the item is (PS3.5 B.2): the study's from patient and order, the others from all settings."""
    text = f"{header.patient_id} {header.accession_number}" if item == "study" else f"{chest} {header} {item}"
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'pacsnode phantom {text}').int}"


def _instance(chest: Chest, header: SeriesHeader, index: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = list(header.character_set)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = _uid(chest, header, f"instance {index}")
    _add_patient_and_study(dataset, chest, header)
    _add_series_and_equipment(dataset, chest, header)
    _add_acquisition(dataset, chest, header)
    _add_plane_and_pixels(dataset, chest, index)
    return dataset


def _add_patient_and_study(dataset: Dataset, chest: Chest, header: SeriesHeader) -> None:
    dataset.PatientName = header.patient_name
    dataset.PatientID = header.patient_id
    dataset.IssuerOfPatientID = "PHANTOM"
    dataset.PatientBirthDate = header.patient_birth_date
    dataset.PatientSex = header.patient_sex
    dataset.StudyInstanceUID = _uid(chest, header, "study")
    dataset.StudyDate, dataset.StudyTime = header.study_date, "101500"
    dataset.TimezoneOffsetFromUTC = "+0900"
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.AccessionNumber = header.accession_number
    dataset.StudyDescription = header.study_description


def _add_series_and_equipment(dataset: Dataset, chest: Chest, header: SeriesHeader) -> None:
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = _uid(chest, header, "series")
    dataset.SeriesNumber = 2
    dataset.SeriesDate, dataset.SeriesTime = header.study_date, "101730"
    dataset.SeriesDescription = f"Chest {chest.slice_mm:g} mm"
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.PositionReferenceIndicator = ""
    dataset.FrameOfReferenceUID = _uid(chest, header, "frame of reference")
    dataset.Manufacturer = "pacsnode"
    dataset.ManufacturerModelName = "Chest phantom"
    dataset.DeviceSerialNumber = str(chest.seed)
    dataset.SoftwareVersions = "1"
    dataset.StationName = header.station_name
    dataset.InstitutionName = "Phantom hospital"


def _add_acquisition(dataset: Dataset, chest: Chest, header: SeriesHeader) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.AcquisitionNumber = 1
    dataset.AcquisitionDate = dataset.ContentDate = header.study_date
    dataset.AcquisitionTime = dataset.ContentTime = "101745"
    dataset.KVP = 120
    dataset.ExposureTime, dataset.XRayTubeCurrent, dataset.Exposure = 500, 200, 100
    dataset.ConvolutionKernel = header.convolution_kernel
    dataset.ReconstructionDiameter = chest.field_of_view_mm
    dataset.GantryDetectorTilt = 0
    dataset.RotationDirection = "CW"
    if header.contrast_agent:
        dataset.ContrastBolusAgent = header.contrast_agent


def _add_plane_and_pixels(dataset: Dataset, chest: Chest, index: int) -> None:
    z, y, x = chest.axes
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [round(float(value), 4) for value in (x[0], y[0], z[index])]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceLocation = round(float(z[index]), 4)
    dataset.SliceThickness = chest.slice_mm
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = chest.size
    dataset.PixelSpacing = [round(chest.pixel_mm, 8)] * 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = -600, 1500
    stored = (chest.array[index] + 1024).astype("<u2")
    assert stored.max() < 2**12
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
