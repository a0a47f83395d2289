"""What the files of all phantoms share: patient, study, series, equipment and pixels (PS3.3 C.7), and their UIDs.

The same settings give the same UIDs and, byte for byte, the same files.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, Sequence
from pydicom.uid import ExplicitVRLittleEndian

from plugins.coding import Code

_POSTERO_ANTERIOR = Code("272460009", "SCT", "postero-anterior")


@dataclass(frozen=True, slots=True)
class PhantomOrder:
    """Patient and order that the files are of."""

    patient_name: str = "Phantom^Any"
    patient_id: str = "PHANTOM-0002"
    patient_birth_date: str = "19600229"
    patient_sex: str = "F"
    accession_number: str = "A0002"
    study_date: str = "20240102"


@dataclass(frozen=True, slots=True)
class PhantomSeries:
    """What one series is."""

    modality: str
    sop_class_uid: str
    description: str
    body_part: str
    settings: str
    """All settings of the phantom as text: what UIDs are derived from."""
    order: PhantomOrder
    number: int = 1

    def uid(self, item: str) -> str:
        """A UID from what the item is (PS3.5 B.2); the study's from patient and order alone."""
        shared = f"{self.order.patient_id} {self.order.accession_number}"
        text = shared if item == "study" else f"{self.settings} {self.order} {self.number} {self.modality} {item}"
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'pacsnode phantom {text}').int}"

    def instance(self, index: int, pixels: NDArray[np.uint16]) -> Dataset:
        """One image of the series with all that does not depend on its modality; `pixels` of 12 bits."""
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.SOPClassUID, dataset.SOPInstanceUID = self.sop_class_uid, self.uid(f"instance {index}")
        self._add_patient_and_study(dataset)
        self._add_series(dataset)
        dataset.InstanceNumber, dataset.AcquisitionNumber = index + 1, 1
        dataset.AcquisitionDate = dataset.ContentDate = self.order.study_date
        dataset.AcquisitionTime = dataset.ContentTime = "101745"
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.PixelData = np.ascontiguousarray(np.clip(pixels, 0, 4095).astype("<u2")).tobytes()
        return dataset

    def _add_patient_and_study(self, dataset: Dataset) -> None:
        order = self.order
        dataset.PatientName, dataset.PatientID = order.patient_name, order.patient_id
        dataset.IssuerOfPatientID = "PHANTOM"
        dataset.PatientBirthDate, dataset.PatientSex = order.patient_birth_date, order.patient_sex
        dataset.StudyInstanceUID = self.uid("study")
        dataset.StudyDate, dataset.StudyTime = order.study_date, "101500"
        dataset.ReferringPhysicianName, dataset.StudyID = "", "1"
        dataset.AccessionNumber = order.accession_number

    def _add_series(self, dataset: Dataset) -> None:
        dataset.Modality, dataset.SeriesInstanceUID = self.modality, self.uid("series")
        dataset.SeriesNumber = self.number
        dataset.SeriesDate, dataset.SeriesTime = self.order.study_date, "101730"
        dataset.SeriesDescription, dataset.BodyPartExamined = self.description, self.body_part
        dataset.Manufacturer, dataset.ManufacturerModelName = "pacsnode", "Phantom"
        dataset.DeviceSerialNumber, dataset.SoftwareVersions = "1", "1"
        dataset.StationName, dataset.InstitutionName = "PHANTOM1", "Phantom hospital"


def saved(dataset: Dataset, folder: Path, number: int) -> Path:
    """Write one file into `folder` (made if missing); its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:06d}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def coded(code: Code, **more: Any) -> Sequence:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return Sequence([item])


def add_slice(
    dataset: Dataset, position: tuple[float, float, float], spacing: tuple[float, float, float], frame: str
) -> None:
    """Geometry of an axial slice: position of its first pixel, mm between slices, rows and columns."""
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = frame, ""
    dataset.PatientPosition = "HFS"
    dataset.ImagePositionPatient = [round(value, 4) for value in position]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [round(spacing[1], 8), round(spacing[2], 8)]
    dataset.SliceThickness = spacing[0]


def add_radiograph(dataset: Dataset, spacing_mm: float, laterality: str, region: Code) -> None:
    """What a digital X-ray image has (PS3.3 A.26, C.8.11): detector, intensities, window, anatomy."""
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape, dataset.LossyImageCompression = "IDENTITY", "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.DetectorType = "DIRECT"
    dataset.ImagerPixelSpacing = [spacing_mm, spacing_mm]
    dataset.EstimatedRadiographicMagnificationFactor = 1
    dataset.ImageLaterality = laterality
    dataset.AnatomicRegionSequence = coded(region)
    dataset.AcquisitionContextSequence = Sequence()
    dataset.KVP = 60


def add_view_from_behind(dataset: Dataset) -> None:
    """The view of a radiograph that is taken from back to front (PS3.3 C.8.11.5)."""
    dataset.ViewPosition, dataset.PositionerType = "PA", "COLUMN"
    dataset.ViewCodeSequence = coded(_POSTERO_ANTERIOR, ViewModifierCodeSequence=Sequence())
