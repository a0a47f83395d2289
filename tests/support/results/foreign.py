"""DICOM objects as plugins return them: of other makers, with what these write and leave out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from tests.support.results import reports

MAKER = "ACME Imaging"
KOREAN = "이상 소견 점수: 87.5%"


def of_study(sop_class_uid: str, modality: str, number: int = 1, **changes: Any) -> Dataset:
    """An object of the study and patient of `tests.support.results.reports`."""
    made = Dataset()
    made.SOPClassUID, made.Modality = sop_class_uid, modality
    made.SOPInstanceUID = f"1.2.276.0.99.{number}"
    made.SeriesInstanceUID = f"1.2.276.0.98.{int.from_bytes(modality.encode())}"
    made.StudyInstanceUID = reports.STUDY_UID
    made.PatientID, made.PatientName = "12345678", "Hong^Gildong"
    made.PatientBirthDate, made.PatientSex = "19600229", "F"
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20240102", "101500", "S1", "A0001"
    made.ReferringPhysicianName = ""
    made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = MAKER, "Lung", "2.1"
    made.SeriesNumber, made.InstanceNumber, made.SeriesDescription = 77, number, "ACME lung"
    made.InstanceCreationDate = "20240102"
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return made


def reference(uid: str, sop_class_uid: str) -> Dataset:
    """An item of the SOP Instance Reference Macro."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, uid
    return item


def capture(number: int = 1, **changes: Any) -> Dataset:
    """A secondary capture."""
    made = of_study(SecondaryCaptureImageStorage, "OT", number, ConversionType="WSD", **changes)
    made.PatientOrientation, made.Laterality = "", ""
    made.Rows = made.Columns = 4
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.PixelData = bytes(range(16))
    return made


def presentation_state(number: int = 1, **changes: Any) -> Dataset:
    """A GSPS with its score in a private attribute, and the same in Korean without a character set."""
    made = of_study(GrayscaleSoftcopyPresentationStateStorage, "PR", number, **changes)
    made.add_new(0x00710010, "LO", "ACME SCORES")
    made.add_new(0x00711021, "DS", "87.5")
    text = Dataset()
    text.add_new(0x00700006, "ST", KOREAN.encode("euc-kr"))
    annotation = Dataset()
    annotation.TextObjectSequence = [text]
    made.GraphicAnnotationSequence = [annotation]
    return made


def pdf(number: int = 1, **changes: Any) -> Dataset:
    """An encapsulated PDF."""
    made = of_study(EncapsulatedPDFStorage, "DOC", number, ConversionType="WSD", **changes)
    made.BurnedInAnnotation, made.MIMETypeOfEncapsulatedDocument = "YES", "application/pdf"
    made.EncapsulatedDocument = b"%PDF-1.4\n1.2.3\n%%EOF\n"
    return made


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content(value_type: str, name: Dataset, *children: Dataset, **values: Any) -> Dataset:
    """A content item of a report."""
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = "CONTAINS", value_type, [name]
    for keyword, value in values.items():
        setattr(item, keyword, value)
    if children:
        item.ContentSequence = list(children)
    return item


PRESENT, ABSENT = ("52101004", "SCT", "Present"), ("272519000", "SCT", "Absent")
NODULE = ("427359005", "SCT", "Solitary nodule of lung")


def group(
    answer: tuple[str, str, str] | None, millimetres: float, tracking: str, image: str, unit: str = "mm"
) -> Dataset:
    """A measurement group (TID 1501): a nodule of a size, shown on an image, present, absent or neither."""
    items = [content("TEXT", code("112039", "DCM", "Tracking Identifier"), TextValue=tracking)]
    items.append(content("CODE", code("121071", "DCM", "Finding"), ConceptCodeSequence=[code(*NODULE)]))
    if answer:
        items.append(content("CODE", code(*NODULE), ConceptCodeSequence=[code(*answer)]))
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = millimetres, [code(unit, "UCUM", unit)]
    items.append(content("NUM", code("410668003", "SCT", "Length"), MeasuredValueSequence=[measured]))
    shown = content("IMAGE", code("121191", "DCM", "Referenced Segment"))
    shown.RelationshipType = "SELECTED FROM"
    shown.ReferencedSOPSequence = [reference(image, "1.2.840.10008.5.1.4.1.1.2")]
    region = content(
        "SCOORD", code("111030", "DCM", "Image Region"), shown, GraphicType="POINT", GraphicData=[5.5, 6.5]
    )
    return content(
        "CONTAINER", code("125007", "DCM", "Measurement Group"), *items, region, ContinuityOfContent="SEPARATE"
    )


def report(groups: Sequence[Dataset], number: int = 1, **changes: Any) -> Dataset:
    """A measurement report (TID 1500)."""
    made = of_study(ComprehensiveSRStorage, "SR", number, **changes)
    made.ContentDate, made.ContentTime = "20240102", "102000"
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "VERIFIED"
    made.VerifyingObserverSequence = [Dataset()]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "1500"
    made.ContentTemplateSequence = [template]
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [code("126000", "DCM", "Imaging Measurement Report")]
    measurements = content(
        "CONTAINER", code("126010", "DCM", "Imaging Measurements"), *groups, ContinuityOfContent="SEPARATE"
    )
    made.ContentSequence = [measurements]
    return made


def write(dataset: Dataset, path: Path, *, implicit: bool = False) -> Path:
    """As a Part 10 file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID or "1.2.3")
    dataset.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)
    return path
