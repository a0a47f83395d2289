"""References from our objects to others: requests, source images, evidence (PS3.3 10.3, C.12.4, C.17.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy

from highdicom._standard_utils import get_sop_class_iod_map  # private, as in the gate
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag
from pydicom.uid import UID, CTImageStorage

from node.results.context import Context
from node.results.request import SourceReference
from node.results.source.images import SourceImage

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""Label Map Segmentation Storage, which neither pydicom 3.0 nor highdicom's SR templates know."""
DETACHED_STUDY = UID("1.2.840.10008.3.1.2.3.1")
"""Detached Study Management (retired): as what an RT Structure Set refers to a study (C.8.8.5)."""

_CLASS, _INSTANCE = BaseTag(0x00081150), BaseTag(0x00081155)


def request_attributes(context: Context) -> list[Dataset]:
    """Items for Request Attributes Sequence (Table 10-9); copies, for each object has its own."""
    return deepcopy(list(context.requests))


def referenced_requests(context: Context) -> list[Dataset]:
    """Items for Referenced Request Sequence of an SR (C.17.2), Type 2 attributes there even when empty."""
    result = []
    requests = request_attributes(context)
    for request in requests:
        item = Dataset()
        item.StudyInstanceUID = request.get("StudyInstanceUID") or context.identity.StudyInstanceUID
        item.ReferencedStudySequence = []
        # Of several requests without an Accession Number nobody knows which the study's is of.
        order = _order(request) or (_order(context.identity) if len(requests) == 1 else None)
        item.AccessionNumber = order.AccessionNumber if order else ""
        if order and "IssuerOfAccessionNumberSequence" in order:
            item.IssuerOfAccessionNumberSequence = order.IssuerOfAccessionNumberSequence
        item.PlacerOrderNumberImagingServiceRequest = ""
        item.FillerOrderNumberImagingServiceRequest = ""
        item.RequestedProcedureID = request.RequestedProcedureID
        item.RequestedProcedureDescription = request.get("RequestedProcedureDescription", "")
        item.RequestedProcedureCodeSequence = request.get("RequestedProcedureCodeSequence", [])
        result.append(item)
    return result


def _order(dataset: Dataset) -> Dataset | None:
    """Accession Number and its issuer, as copies; None where there is no number."""
    if not dataset.get("AccessionNumber"):
        return None
    order = Dataset()
    for keyword in ("AccessionNumber", "IssuerOfAccessionNumberSequence"):
        if keyword in dataset:
            order.add(deepcopy(dataset[keyword]))
    return order


def source_images(images: Iterable[SourceImage]) -> list[Dataset]:
    """Items for Source Image Sequence: used for an image processing operation."""
    result = []
    for image in images:
        item = instance_item(image.reference)
        item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)]
        result.append(item)
    return result


def instance_item(reference: SourceReference) -> Dataset:
    """An item of the SOP Instance Reference Macro (10.8).

    A report has two of every image; set by keyword they would cost three times as much.
    """
    return Dataset(
        {
            _CLASS: DataElement(_CLASS, "UI", reference.sop_class_uid, already_converted=True),
            _INSTANCE: DataElement(_INSTANCE, "UI", reference.sop_instance_uid, already_converted=True),
        }
    )


def hierarchical(references: Iterable[SourceReference]) -> list[Dataset]:
    """Items of the Hierarchical SOP Instance Reference Macro (10.9): by study, then series, in the order of UIDs."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for reference in sorted(references):
        series = studies.setdefault(reference.study_instance_uid, {})
        series.setdefault(reference.series_instance_uid, []).append(instance_item(reference))
    result = []
    for study_instance_uid, by_series in studies.items():
        study = Dataset()
        study.StudyInstanceUID = study_instance_uid
        study.ReferencedSeriesSequence = [_series(uid, items) for uid, items in by_series.items()]
        result.append(study)
    return result


def _series(series_instance_uid: str, items: list[Dataset]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = series_instance_uid
    series.ReferencedSOPSequence = items
    return series


def anchor_stub(reference: SourceReference) -> Dataset:
    """The little that highdicom reads of an instance to refer to it, with an empty patient and study: it insists
    on them, `context.complete` fills them.
    """
    dataset = Dataset()
    dataset.SOPClassUID = stand_in(reference.sop_class_uid)
    dataset.SOPInstanceUID = reference.sop_instance_uid
    dataset.SeriesInstanceUID = reference.series_instance_uid
    dataset.StudyInstanceUID = reference.study_instance_uid
    dataset.PatientID = dataset.PatientName = dataset.PatientSex = dataset.AccessionNumber = dataset.StudyID = ""
    dataset.PatientBirthDate = dataset.StudyDate = dataset.StudyTime = None
    return dataset


def stand_in(sop_class_uid: str) -> str:
    """A SOP class that highdicom takes: it knows no private or retired ones. `state_sop_classes` mends it."""
    return sop_class_uid if sop_class_uid in get_sop_class_iod_map() else CTImageStorage


def state_sop_classes(dataset: Dataset, references: Iterable[SourceReference]) -> None:
    """Write the true SOP class into every reference to an instance for which `stand_in` gave another."""
    classes = {
        reference.sop_instance_uid: reference.sop_class_uid
        for reference in references
        if stand_in(reference.sop_class_uid) != reference.sop_class_uid or reference.sop_class_uid == LABEL_MAP_STORAGE
    }
    if classes:
        state_classes(dataset, classes)


def state_classes(dataset: Dataset, classes: Mapping[str, str]) -> None:
    """Write SOP classes into references, by SOP Instance UID."""
    true_class = classes.get(str(dataset.get("ReferencedSOPInstanceUID", "")))
    if true_class is not None:
        dataset.ReferencedSOPClassUID = true_class
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                state_classes(item, classes)
