"""A plugin's label map as Segmentation Storage, BINARY, or as Label Map Segmentation Storage (PS3.3 A.51)."""

from __future__ import annotations

import copy

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation as SegmentationObject
from highdicom.seg import SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, SegmentationStorage

from node.results import codes as our_codes
from node.results.context import Context, complete
from node.results.equipment import algorithm_for_segmentation
from node.results.geometry import functional_group, slice_thickness
from node.results.identity import PATIENT, STUDY
from node.results.marking import ascii_name
from node.results.masks import Mask
from node.results.references import LABEL_MAP_STORAGE, anchor_stub, request_attributes, stand_in, state_sop_classes
from node.results.seg_frames import write_frames
from node.results.sources import SourceImage
from node.results.tracking import segment_identifiers
from plugins.contract import Segment

_STUBBED = ({*PATIENT, *STUDY} - {"StudyInstanceUID"}) | {"SpecificCharacterSet"}
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def sop_class_uid(context: Context) -> str:
    """SOP Class of the SEG, as the destination states it."""
    return LABEL_MAP_STORAGE if context.request.profile.seg_form == "label-map" else SegmentationStorage


def segments_of(context: Context, mask: Mask) -> list[tuple[Segment, str]]:
    """The segments that a SEG describes, in the order of their numbers, and the tracking identifier of each.

    What is seen on several projections has a SEG, and in the report a group, for each: the first goes by the
    finding's identifier, the others by that of a further part, as regions do.
    """
    segmentation = context.request.result.segmentation
    assert segmentation is not None, "there is no SEG of a result without a segmentation"
    segments = {segment.number: segment for segment in segmentation.segments}
    identifiers = segment_identifiers(context.request.result, [each.labels for each in context.masks])
    described = []
    for label in mask.labels:
        part = [other.number for other in context.masks if label in other.labels].index(mask.number)
        described.append((segments[label], identifiers[label][part]))
    return described


def _normalised(image: SourceImage, first: SourceImage, frame_number: int) -> Dataset:
    """A copy of the header that highdicom does not refuse: patient and study are written afterwards.

    Some de-identifiers give each slice of a series a frame of reference of its own; the plugin took them
    for one volume, and so does the segmentation: it gets the first one's. `frame_number`: one of those that
    the mask lies on.
    """
    header = copy.copy(image.header)
    if image.is_multi_frame:
        _put_geometry_where_it_is_looked_for(header, image, frame_number)
    else:
        header.SliceThickness = slice_thickness(image)
    header.FrameOfReferenceUID = first.header.FrameOfReferenceUID
    for keyword in _STUBBED:
        header.pop(keyword, None)
    header.SOPClassUID = stand_in(image.reference.sop_class_uid)
    header.PatientID = header.PatientName = header.PatientSex = header.AccessionNumber = header.StudyID = ""
    header.PatientBirthDate = header.StudyDate = header.StudyTime = None
    return header


def _put_geometry_where_it_is_looked_for(header: Dataset, image: SourceImage, frame_number: int) -> None:
    """What may be shared or told for each frame (C.7.6.16): size and direction shared, as highdicom reads them, of the
    frames that the mask lies on; positions for each.
    """
    shared = copy.copy((image.header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0])
    measures = copy.copy(functional_group(image.header, "PixelMeasuresSequence", frame_number))
    measures.SliceThickness = slice_thickness(image, frame_number)
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [functional_group(image.header, "PlaneOrientationSequence", frame_number)]
    header.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for groups in image.header.PerFrameFunctionalGroupsSequence:
        frame = copy.copy(groups)
        if "PlanePositionSequence" not in frame and "PlanePositionSequence" in shared:
            frame.PlanePositionSequence = shared.PlanePositionSequence
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames


def _flat(image: SourceImage) -> Dataset:
    """A stand-in for an image that is no stack: highdicom makes the SEG as of one frame, `write_frames` its frames."""
    header = anchor_stub(image.reference)
    header.SOPClassUID = SecondaryCaptureImageStorage
    header.Rows, header.Columns = image.header.Rows, image.header.Columns
    for keyword in _LOSSY:
        if keyword in image.header:
            header[keyword] = image.header[keyword]
    return header


def _in_source_order(mask: Mask) -> NDArray[np.unsignedinteger]:
    """The planes as highdicom wants them: one for each frame of the sources, empty where there is none."""
    labels = np.stack(mask.planes)
    (image, _), *_ = mask.frames
    if not image.is_multi_frame:
        return labels
    whole = np.zeros((image.frames, *labels.shape[1:]), dtype=labels.dtype)
    for plane, (_, frame_number) in zip(mask.planes, mask.frames, strict=True):
        whole[frame_number - 1] = plane
    return whole


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


def _relabelled(labels: NDArray[np.unsignedinteger], mask: Mask) -> NDArray[np.unsignedinteger]:
    numbers = {label: mask.segment_number(label) for label in mask.labels}
    if all(label == number for label, number in numbers.items()):
        return labels.astype(np.uint8 if len(numbers) < 256 else np.uint16, copy=False)
    table = np.zeros(max(numbers) + 1, dtype=np.uint16)
    for label, number in numbers.items():
        table[label] = number
    relabelled: NDArray[np.uint16] = table[labels]
    return relabelled


def segmentation_objects(context: Context) -> list[Dataset]:
    """The SEGs of a result; none where nothing is labelled."""
    return [_segmentation_object(context, mask) for mask in context.masks]


def _segmentation_object(context: Context, mask: Mask) -> Dataset:
    """One SEG, complete but for its file meta information."""
    label_map = sop_class_uid(context) == LABEL_MAP_STORAGE
    node = context.request.node
    if mask.is_stack:
        sources = [_normalised(image, mask.images[0], mask.frames[0][1]) for image in mask.images]
        labels = _relabelled(_in_source_order(mask), mask)
    else:
        sources = [_flat(mask.images[0])]
        labels = _relabelled(np.stack(mask.planes), mask)
    made = SegmentationObject(
        source_images=sources,
        pixel_array=labels if mask.is_stack else labels[:1],
        segmentation_type="LABELMAP" if label_map else "BINARY",
        segment_descriptions=[
            _description(context, segment, number, identifier)
            for number, (segment, identifier) in enumerate(segments_of(context, mask), start=1)
        ],
        series_instance_uid=context.uids.series(sop_class_uid(context)),
        series_number=1,
        sop_instance_uid=_sop_instance_uid(context, mask),
        instance_number=mask.number,
        manufacturer=node.manufacturer,
        manufacturer_model_name=node.model_name,
        software_versions=node.software_version,
        device_serial_number=node.serial_number,
        content_label="AI_SEGMENTATION",
        content_description=ascii_name(context.marking)[:64],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
    )
    if not mask.is_stack:
        write_frames(made, mask, labels)
    made.ContentCreatorName = ""
    _derive_dimension_uid(made, context)
    state_sop_classes(made, [image.reference for image in mask.images])
    if requests := request_attributes(context):
        made.RequestAttributesSequence = requests
    complete(made, context, "seg", mask.number)
    made.SeriesInstanceUID = _series_instance_uid(context, mask)
    return made


def _sop_instance_uid(context: Context, mask: Mask) -> str:
    item = "segmentation" if mask.number == 1 else f"segmentation {mask.number}"
    return context.uids.instance(sop_class_uid(context), item)


def _series_instance_uid(context: Context, mask: Mask) -> str:
    """One series for all, but one for each frame of reference, of which a series has one at most (PS3.3 7.3.1.4)."""
    class_uid, frame_of_reference_uid = sop_class_uid(context), mask.frame_of_reference_uid
    if frame_of_reference_uid == context.masks[0].frame_of_reference_uid:
        return context.uids.series(class_uid)
    return context.uids.series(f"{class_uid} {frame_of_reference_uid}")


def _derive_dimension_uid(made: Dataset, context: Context) -> None:
    """highdicom draws Dimension Organization UIDs by chance; ours follow from the job."""
    uid = context.uids.part("dimensions")
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
