"""A plugin's label map as Segmentation Storage, BINARY, or as Label Map Segmentation Storage (PS3.3 A.51)."""

from __future__ import annotations

import copy

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation as SegmentationObject
from highdicom.seg import SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from node.results import codes as our_codes
from node.results.context import Context, complete
from node.results.equipment import algorithm_for_segmentation
from node.results.errors import NotEncodableError
from node.results.marking import ascii_name
from node.results.references import LABEL_MAP_STORAGE, request_attributes, stand_in, state_sop_classes
from node.results.sources import SourceImage
from node.results.tracking import segment_identifiers
from plugins.contract import Segment, Segmentation

_STUBBED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "SpecificCharacterSet",
)  # fmt: skip


def sop_class_uid(context: Context) -> str:
    """SOP Class of the SEG, as the destination states it."""
    return LABEL_MAP_STORAGE if context.request.profile.seg_form == "label-map" else SegmentationStorage


def segmentation_of(context: Context) -> Segmentation:
    """The result's segmentation; there is one wherever a SEG is made."""
    segmentation = context.request.result.segmentation
    assert segmentation is not None, "asked for the segmentation of a result that has none"
    return segmentation


def _source_images(context: Context) -> list[SourceImage]:
    """The SOP instances that the label map lies on, each once, in the order of its slices."""
    uids = dict.fromkeys(frame.sop_instance_uid for frame in segmentation_of(context).frames)
    return [context.sources.find(uid, "Segmentation.frames") for uid in uids]


def is_possible(context: Context) -> bool:
    """Whether a SEG can hold the label map: it labels something, and it lies in the patient or on one frame alone.

    highdicom 0.28.2 writes no SEG of several projections; the report then says that it was not sent.
    """
    segmentation = segmentation_of(context)
    images = _source_images(context)
    placed = all("FrameOfReferenceUID" in image.header for image in images)
    single = len(segmentation.frames) == 1 and not images[0].is_multi_frame
    return bool(segmentation.labels.any()) and (placed or single)


def source_series_of(context: Context) -> str:
    """Series Instance UID of the images that were segmented."""
    series = {image.reference.series_instance_uid for image in _source_images(context)}
    if len(series) != 1:
        raise NotEncodableError("Segmentation.frames", f"lie in {len(series)} series; a label map lies on one")
    return series.pop()


def sop_instance_uid(context: Context) -> str:
    """The UID that the set's SEG has, known before it is written."""
    return context.uids.instance(sop_class_uid(context), "segmentation")


def _normalised(image: SourceImage, first: SourceImage) -> Dataset:
    """A copy of the header that highdicom does not refuse: patient and study are written afterwards.

    Some de-identifiers give each slice of a series a frame of reference of its own; the plugin took them
    for one volume, and so does the segmentation: it gets the first one's.
    """
    header = copy.copy(image.header)
    if "FrameOfReferenceUID" in first.header:
        header.FrameOfReferenceUID = first.header.FrameOfReferenceUID
    for keyword in _STUBBED:
        header.pop(keyword, None)
    header.SOPClassUID = stand_in(image.reference.sop_class_uid)
    header.PatientID = header.PatientName = header.PatientSex = header.AccessionNumber = header.StudyID = ""
    header.PatientBirthDate = header.StudyDate = header.StudyTime = None
    return header


def _frames_in_source_order(context: Context, images: list[SourceImage]) -> NDArray[np.unsignedinteger]:
    """The label map as highdicom wants it: one plane for each frame of the sources, empty where there is none."""
    segmentation = segmentation_of(context)
    if not any(image.is_multi_frame for image in images):
        return segmentation.labels
    if len(images) > 1:
        raise NotEncodableError("Segmentation.frames", "lie in more than one multi-frame image")
    labels = np.zeros((images[0].frames, *segmentation.labels.shape[1:]), dtype=segmentation.labels.dtype)
    for plane, frame in zip(segmentation.labels, segmentation.frames, strict=True):
        if frame.frame_number > images[0].frames:
            raise NotEncodableError("Segmentation.frames", f"frame {frame.frame_number} is not in the source image")
        labels[frame.frame_number - 1] = plane
    return labels


def _description(context: Context, segment: Segment, number: int, identifier: str) -> SegmentDescription:
    description = SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=our_codes.concept(segment.category),
        segmented_property_type=our_codes.concept(segment.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm_for_segmentation(context.request.algorithm),
        tracking_uid=context.tracking_uid(identifier),
        tracking_id=identifier,
        display_color=CIELabColor.from_rgb(*segment.colour) if segment.colour else None,
    )
    if segment.site is not None and segment.site.laterality is not None:
        # Laterality modifies the property type (Table C.8.20-4), as in "Lung, Right".
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            our_codes.concept(segment.site.laterality)
        ]
    return description


def segment_numbers(segmentation: Segmentation) -> dict[int, int]:
    """Label value → Segment Number: the Standard wants 1, 2, 3 …, in steps of one."""
    return {
        segment.number: index
        for index, segment in enumerate(sorted(segmentation.segments, key=lambda s: s.number), start=1)
    }


def _relabelled(labels: NDArray[np.unsignedinteger], numbers: dict[int, int]) -> NDArray[np.unsignedinteger]:
    if all(label == number for label, number in numbers.items()):
        return labels.astype(np.uint8 if len(numbers) < 256 else np.uint16)
    table = np.zeros(max(numbers) + 1, dtype=np.uint16)
    for label, number in numbers.items():
        table[label] = number
    relabelled: NDArray[np.uint16] = table[labels]
    return relabelled


def segmentation_object(context: Context) -> Dataset:
    """The SEG of a result, complete but for its file meta information."""
    segmentation = segmentation_of(context)
    images = _source_images(context)
    source_series_of(context)
    if not segmentation.labels.any():
        raise NotEncodableError("Segmentation.labels", "all background: there is nothing to segment")
    numbers = segment_numbers(segmentation)
    identifiers = segment_identifiers(context.request.result)
    ordered = sorted(segmentation.segments, key=lambda s: s.number)
    node = context.request.node
    made = SegmentationObject(
        source_images=[_normalised(image, images[0]) for image in images],
        pixel_array=_relabelled(_frames_in_source_order(context, images), numbers),
        segmentation_type="LABELMAP" if sop_class_uid(context) == LABEL_MAP_STORAGE else "BINARY",
        segment_descriptions=[
            _description(context, segment, numbers[segment.number], identifiers[segment.number]) for segment in ordered
        ],
        series_instance_uid=context.uids.series(sop_class_uid(context)),
        series_number=1,
        sop_instance_uid=sop_instance_uid(context),
        instance_number=1,
        manufacturer=node.manufacturer,
        manufacturer_model_name=node.model_name,
        software_versions=node.software_version,
        device_serial_number=node.serial_number,
        content_label="AI_SEGMENTATION",
        content_description=ascii_name(context.marking)[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
    )
    made.ContentCreatorName = ""
    _derive_dimension_uid(made, context)
    state_sop_classes(made, [image.reference for image in images])
    if requests := request_attributes(context):
        made.RequestAttributesSequence = requests
    complete(made, context, "seg", 1)
    return made


def _derive_dimension_uid(made: Dataset, context: Context) -> None:
    """highdicom draws Dimension Organization UIDs by chance; ours follow from the job."""
    uid = context.uids.part("dimensions")
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
