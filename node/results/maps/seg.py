"""A plugin's label map as Segmentation Storage, BINARY, or as Label Map Segmentation Storage (PS3.3 A.51)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation as SegmentationObject
from highdicom.seg import SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pydicom.valuerep import format_number_as_ds

from node.results import codes as our_codes
from node.results.context import Context, complete
from node.results.maps.masks import Mask
from node.results.maps.seg_frames import write_frames
from node.results.source.equipment import algorithm_for_segmentation
from node.results.source.geometry import plane_of, slice_thickness
from node.results.source.images import SourceImage
from node.results.source.lossy import state_lossy_compression
from node.results.source.marking import ascii_name
from node.results.source.references import LABEL_MAP_STORAGE, anchor_stub, request_attributes, state_classes
from node.results.tracking import segment_numbers
from plugins.contract import Segment


def sop_class_uid(context: Context) -> str:
    """SOP Class of the SEG, as the destination states it."""
    return LABEL_MAP_STORAGE if context.request.profile.seg_form == "label-map" else SegmentationStorage


def segments_of(context: Context, mask: Mask) -> list[tuple[Segment, str]]:
    """The segments that a SEG describes, in the order of their numbers, and the tracking identifier of each.

    What is seen on several projections has a SEG, and in the report a group, for each, under the same identifiers.
    """
    segmentation = context.request.result.segmentation
    assert segmentation is not None, "there is no SEG of a result without a segmentation"
    segments = {segment.number: segment for segment in segmentation.segments}
    described = []
    for label in mask.labels:
        part = [other.number for other in context.masks if label in other.labels].index(mask.number)
        described.append((segments[label], context.segment_identifiers[label][part]))
    return described


def _header(mask: Mask, image: SourceImage) -> Dataset:
    """All that highdicom needs of an image, and nothing else: it would hand on whatever it finds there.

    The plugin took the images for one volume, and so does the segmentation: direction and size of the pixels are
    those of the first frame that the mask lies on, the frame of reference is the first image's. Spacing between
    slices is left to highdicom, which takes it from the positions.
    """
    header = anchor_stub(image.reference)
    header.SOPClassUID = EnhancedCTImageStorage if image.is_multi_frame else CTImageStorage
    header.Rows, header.Columns = image.header.Rows, image.header.Columns
    header.FrameOfReferenceUID = mask.frame_of_reference_uid
    state_lossy_compression(header, mask.images)
    plane = plane_of(*mask.frames[0])
    assert plane is not None, "a stack has planes (Mask.is_stack)"
    measures, orientation = (Dataset(), Dataset()) if image.is_multi_frame else (header, header)
    measures.PixelSpacing, measures.SliceThickness = _decimals(plane.spacing), slice_thickness(*mask.frames[0])
    orientation.ImageOrientationPatient = _decimals((*plane.row_direction, *plane.column_direction))
    if image.is_multi_frame:
        shared = Dataset()
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
        header.NumberOfFrames, header.SharedFunctionalGroupsSequence = image.frames, [shared]
        header.PerFrameFunctionalGroupsSequence = [_per_frame(image, number) for number in range(1, image.frames + 1)]
    else:
        header.ImagePositionPatient = _position(image, 1)
    return header


def _per_frame(image: SourceImage, frame_number: int) -> Dataset:
    frame, position = Dataset(), Dataset()
    position.ImagePositionPatient = _position(image, frame_number)
    frame.PlanePositionSequence = [position]
    return frame


def _position(image: SourceImage, frame_number: int) -> list[str]:
    plane = plane_of(image, frame_number)
    assert plane is not None, "a stack has planes (Mask.is_stack)"
    return _decimals(plane.position)


def _decimals(values: Iterable[float]) -> list[str]:
    """Numbers within the 16 characters of VR DS, as exact as these allow."""
    return [format_number_as_ds(float(value)) for value in values]


def _flat(mask: Mask) -> Dataset:
    """A stand-in where images are not a stack: highdicom makes a SEG of one frame, `write_frames` the frames."""
    image = mask.images[0]
    header = anchor_stub(image.reference)
    header.SOPClassUID = SecondaryCaptureImageStorage
    header.Rows, header.Columns = image.header.Rows, image.header.Columns
    state_lossy_compression(header, mask.images)
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


def segment_label(context: Context, segment: Segment) -> str:
    """The segment's label, after the number under which pages and report have its finding."""
    shown = segment_numbers(context.request.result).get(segment.number)
    return f"{shown} {segment.label}"[:64] if shown else segment.label


def _description(context: Context, segment: Segment, number: int, identifier: str) -> SegmentDescription:
    description = SegmentDescription(
        segment_number=number,
        segment_label=segment_label(context, segment),
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


def segmentation_object(context: Context, mask: Mask) -> Dataset:
    """The SEG of one of the result's masks, complete but for its file meta information."""
    label_map = sop_class_uid(context) == LABEL_MAP_STORAGE
    node = context.request.node
    if mask.is_stack:
        sources = [_header(mask, image) for image in mask.images]
        labels = _relabelled(_in_source_order(mask), mask)
    else:
        sources = [_flat(mask)]
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
    state_classes(made, {image.reference.sop_instance_uid: image.reference.sop_class_uid for image in mask.images})
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
