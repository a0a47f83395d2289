"""Datasets as a scanner sends them, and receipts as the receiver leaves them."""

from __future__ import annotations

import zlib
from copy import deepcopy
from io import BytesIO
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.pixels.utils import compress
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from node.clock import from_text
from node.store.arrival import Arrival, file_header
from node.store.layout import DataFolder

STUDY = "1.2.3.1"
SERIES = "1.2.3.1.1"
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"


def ct(number: int = 1, **changes: Any) -> Dataset:
    """One slice of a chest CT, 64 × 64; `changes` by keyword, None removes."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{SERIES}.{number}"
    dataset.StudyDate, dataset.StudyTime = "20260301", "113000"
    dataset.AccessionNumber = "A1"
    dataset.Modality = "CT"
    dataset.SeriesDescription = "Chest 1 mm"
    dataset.PatientName, dataset.PatientID = "Hong^Gildong", "P1"
    dataset.PatientBirthDate, dataset.PatientSex = "19600101", "M"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "S1", 1, number
    dataset.ImagePositionPatient = [0, 0, number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.FrameOfReferenceUID = f"{STUDY}.9"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = 64, 64, [0.7, 0.7]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    dataset.PixelData = (np.arange(4096, dtype="<i2") + number).tobytes()
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def rejection_note(rejected: list[Dataset], title: str = "113001", **changes: Any) -> Dataset:
    """A Key Object Selection that rejects these instances (IHE IOCM)."""
    note = ct(900)
    for keyword in [element.keyword for element in note if element.tag.group in (0x0018, 0x0028, 0x7FE0)]:
        delattr(note, keyword)
    note.SOPClassUID, note.Modality = KEY_OBJECT_SELECTION, "KO"
    note.SeriesInstanceUID = f"{STUDY}.9000"
    note.ConceptNameCodeSequence = [code(title, "DCM", "Rejected")]
    study = Dataset()
    study.StudyInstanceUID = rejected[0].StudyInstanceUID
    series = Dataset()
    series.SeriesInstanceUID = rejected[0].SeriesInstanceUID
    series.ReferencedSOPSequence = []
    for one in rejected:
        reference = Dataset()
        reference.ReferencedSOPClassUID = one.SOPClassUID
        reference.ReferencedSOPInstanceUID = one.SOPInstanceUID
        series.ReferencedSOPSequence.append(reference)
    study.ReferencedSeriesSequence = [series]
    note.CurrentRequestedProcedureEvidenceSequence = [study]
    for keyword, value in changes.items():
        setattr(note, keyword, value)
    return note


def compressed(dataset: Dataset, syntax: str) -> Dataset:
    """A copy with its pixels compressed, everything else as it was."""
    copy = deepcopy(dataset)
    pixels = np.frombuffer(copy.PixelData, "<i2").reshape(copy.Rows, copy.Columns)
    compress(copy, syntax, pixels, generate_instance_uid=False)
    del copy.file_meta
    return copy


def encoded(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The dataset's bytes, as they travel in a C-STORE."""
    buffer = BytesIO()
    little = syntax != ExplicitVRBigEndian
    dataset.save_as(buffer, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little)
    content = buffer.getvalue()
    if syntax == DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = deflater.compress(content) + deflater.flush()
        content += b"\0" * (len(content) % 2)
    return content


def arrive(
    data_folder: DataFolder,
    dataset: Dataset | bytes,
    *,
    syntax: str = ExplicitVRLittleEndian,
    calling: str = "CT1",
    association: str = "association-1",
    origin: str = "received",
    sop_instance_uid: str = "1.2.3.999",
    called: str = "PACSNODE",
    received_at: str = "2026-03-01T12:00:00Z",
) -> str:
    """Leave a dataset in incoming/ as the receiver does; returns the receipt."""
    content = dataset if isinstance(dataset, bytes) else encoded(dataset, syntax)
    arrival = Arrival(
        sop_class_uid=CTImageStorage if isinstance(dataset, bytes) else dataset.SOPClassUID,
        sop_instance_uid=sop_instance_uid if isinstance(dataset, bytes) else dataset.SOPInstanceUID,
        transfer_syntax_uid=syntax,
        calling_ae_title=calling,
        called_ae_title=called,
        peer_address="127.0.0.1",
        association=association,
        received_at=from_text(received_at),
        origin=origin,
    )
    receipt = data_folder.new_receipt()
    data_folder.arrived(receipt).write_bytes(file_header(arrival) + content)
    return receipt
