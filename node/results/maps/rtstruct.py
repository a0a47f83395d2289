"""A plugin's label map as RT Structure Set, for planning systems, which read no segmentations (PS3.3 A.19)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag
from pydicom.uid import RTStructureSetStorage

from node.results import codes as our_codes
from node.results.context import Context, complete
from node.results.errors import NotEncodableError
from node.results.maps.masks import Mask
from node.results.maps.outlines import outlines
from node.results.maps.seg import segment_label, segments_of
from node.results.source.equipment import algorithm_for_segmentation
from node.results.source.geometry import FramePlane, plane_of
from node.results.source.images import SourceImage
from node.results.source.marking import ascii_name
from node.results.source.references import DETACHED_STUDY, instance_item, request_attributes
from plugins.contract import Segment

_COLOURS = ((228, 26, 28), (55, 126, 184), (77, 175, 74), (152, 78, 163), (255, 127, 0), (255, 255, 51), (166, 86, 40))
"""ColorBrewer's Set1, for segments without a colour of their own: a planning system shows all of them at once."""
_MOST_CORNERS = 1800
"""Of one contour: in Explicit VR its coordinates have 65,534 bytes at most (PS3.5 7.1.2)."""
_CONTOUR_DATA = BaseTag(0x30060050)
_SH = 16
_LO = 64


def structure_set(context: Context, mask: Mask) -> Dataset:
    """The structure set of one of the result's masks, complete but for its file meta information.

    Raises `NotEncodableError` where the images have no frame of reference in which contours could lie.
    """
    planes = _planes(mask)
    made = Dataset()
    made.SOPClassUID = RTStructureSetStorage
    item = "structures" if mask.number == 1 else f"structures {mask.number}"
    made.SOPInstanceUID = context.uids.instance(RTStructureSetStorage, item)
    made.Modality, made.OperatorsName = "RTSTRUCT", ""
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = mask.frame_of_reference_uid, ""
    made.StructureSetLabel = ascii_name(context.marking)[:_SH].rstrip()
    made.StructureSetName = ascii_name(context.marking)[:_LO]
    made.StructureSetDescription = context.texts.marking_spelled_out[context.request.mode]
    made_at = context.local(context.request.result_made_at)
    made.StructureSetDate, made.StructureSetTime = made_at.strftime("%Y%m%d"), made_at.strftime("%H%M%S")
    made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(mask)]
    segments = list(enumerate(segments_of(context, mask), start=1))
    made.StructureSetROISequence = [_region(context, mask, segment, n) for n, (segment, _) in segments]
    made.ROIContourSequence = [_contours(mask, planes, segment, n) for n, (segment, _) in segments]
    made.RTROIObservationsSequence = [_observation(segment, n) for n, (segment, _) in segments]
    made.ApprovalStatus = "UNAPPROVED"
    if requests := request_attributes(context):
        made.RequestAttributesSequence = requests
    complete(made, context, "rtstruct", mask.number)
    if mask.frame_of_reference_uid != context.masks[0].frame_of_reference_uid:  # a series has one at most
        made.SeriesInstanceUID = context.uids.series(f"{RTStructureSetStorage} {mask.frame_of_reference_uid}")
    return made


def _planes(mask: Mask) -> list[FramePlane]:
    """Where each plane of the mask lies; contours need no stack, but one patient-based coordinate system."""
    planes = [plane for frame in mask.frames if (plane := plane_of(*frame)) is not None]
    if not mask.frame_of_reference_uid or len(planes) < len(mask.frames):
        raise NotEncodableError(
            "RT Structure Set", "its images have no common frame of reference, so outlines have no place in the patient"
        )
    return planes


def _frame_of_reference(mask: Mask) -> Dataset:
    """All images that contours lie on, or that were looked at (C.8.8.5)."""
    by_series: dict[str, list[SourceImage]] = {}
    for image in mask.images:
        by_series.setdefault(image.reference.series_instance_uid, []).append(image)
    study = Dataset()
    study.ReferencedSOPClassUID = DETACHED_STUDY
    study.ReferencedSOPInstanceUID = mask.images[0].reference.study_instance_uid
    study.RTReferencedSeriesSequence = [_series(uid, mask, images) for uid, images in by_series.items()]
    frame = Dataset()
    frame.FrameOfReferenceUID = mask.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _series(uid: str, mask: Mask, images: list[SourceImage]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = uid
    series.ContourImageSequence = [
        _image(image, frame_number) for image, frame_number in mask.frames if image in images
    ]
    return series


def _image(image: SourceImage, frame_number: int) -> Dataset:
    item = instance_item(image.reference)
    if image.is_multi_frame:
        item.ReferencedFrameNumber = frame_number
    return item


def _region(context: Context, mask: Mask, segment: Segment, number: int) -> Dataset:
    algorithm = context.request.algorithm
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = mask.frame_of_reference_uid
    region.ROIName = segment_label(context, segment)
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    region.ROIGenerationDescription = f"{algorithm.name} {algorithm.version}"[:_LO]
    region.ROIDerivationAlgorithmIdentificationSequence = list(algorithm_for_segmentation(algorithm))
    return region


def _contours(mask: Mask, planes: list[FramePlane], segment: Segment, number: int) -> Dataset:
    contours = Dataset()
    contours.ReferencedROINumber = number
    contours.ROIDisplayColor = list(segment.colour or _COLOURS[(number - 1) % len(_COLOURS)])
    contours.ContourSequence = list(_outlined(mask, planes, segment.number))
    return contours


def _outlined(mask: Mask, planes: list[FramePlane], label: int) -> Iterator[Dataset]:
    """Each outline of a label, on the image that it was drawn on."""
    number = 0
    for index in mask.frames_with([label]):
        plane, (image, frame_number) = planes[index], mask.frames[index]
        for polygon in outlines(mask.planes[index] == label, _MOST_CORNERS):
            number += 1
            corner = polygon.astype(np.float64) - 0.5  # the position of an image is that of its first pixel's centre
            points = (
                plane.position
                + corner[:, :1] * (plane.row_direction * plane.spacing[1])
                + corner[:, 1:] * (plane.column_direction * plane.spacing[0])
            )
            contour = Dataset()
            contour.ContourImageSequence = [_image(image, frame_number)]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourNumber = number
            # As one text: pydicom makes an object of each of a million decimals.
            text = "\\".join(_decimal(value) for value in points.ravel().tolist())
            contour.add(DataElement(_CONTOUR_DATA, "DS", text, already_converted=True))
            yield contour


def _decimal(value: float) -> str:
    """To a ten-thousandth of a millimetre, which is less than what any reader's raster knows."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _observation(segment: Segment, number: int) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIInterpretedType = observation.ROIInterpreter = ""
    identified = our_codes.concept(segment.type)
    if segment.site is not None and segment.site.laterality is not None:
        identified.SegmentedPropertyTypeModifierCodeSequence = [our_codes.concept(segment.site.laterality)]
    observation.RTROIIdentificationCodeSequence = [identified]
    return observation
