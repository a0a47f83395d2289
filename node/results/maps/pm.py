"""A plugin's heat map as Parametric Map Storage, 32-bit float (PS3.3 A.75).

Written by hand: highdicom 0.28.2 makes no map of some frames of a multi-frame image, or of an image of a
private SOP class, and sorts the planes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.pm import RealWorldValueMapping
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag
from pydicom.uid import ParametricMapStorage

from node.results import codes as our_codes
from node.results.context import Context, complete
from node.results.errors import NotEncodableError
from node.results.maps.extent import Extent
from node.results.maps.frame_groups import frame_groups, state_position, state_size_and_direction
from node.results.pages.heat import scale_of, value_range
from node.results.source.geometry import FramePlane, plane_of
from node.results.source.images import SourceImage
from node.results.source.laterality import state_laterality
from node.results.source.marking import ascii_name
from node.results.source.references import request_attributes, source_images
from plugins.contract import Heatmap

_LABEL_LIMIT = 16  # characters of LUT Label (0040,9210), VR SH
_STACK_ID, _IN_STACK_POSITION, _FRAME_CONTENT = 0x00209056, 0x00209057, 0x00209111
_FRAME_TYPE = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]

Frames = Sequence[tuple[SourceImage, int]]


def source_frames(context: Context, heatmap: Heatmap) -> list[tuple[SourceImage, int]]:
    """The source frame under each plane of the map; `NotEncodableError` where the two differ in size."""
    frames = [
        (context.sources.find(frame.sop_instance_uid, "Heatmap.frames", frame.frame_number), frame.frame_number)
        for frame in heatmap.frames
    ]
    for image, _ in frames:
        size = (int(image.header.get("Rows") or 0), int(image.header.get("Columns") or 0))
        if size != heatmap.values.shape[1:]:
            raise NotEncodableError(
                "Heatmap.values", f"each plane is {heatmap.values.shape[1:]}, the image under it {size} (rows, columns)"
            )
    return frames


def sop_instance_uid(context: Context, number: int) -> str:
    """The UID of the set's map of this number, from 1, known before it is written."""
    return context.uids.instance(ParametricMapStorage, f"heat map {number}")


def parametric_map(context: Context, heatmap: Heatmap, number: int) -> Dataset:
    """One heat map, the `number`-th of the result, complete but for its file meta information.

    The stored values are the plugin's own; Real World Value Mapping (slope 1) says what they are (CID 7180). What is
    around all that the map says is left out, unless the destination wants the whole map (`maps.extent`).
    """
    frames = source_frames(context, heatmap)
    images = list({image.reference.sop_instance_uid: image for image, _ in frames}.values())
    extent = Extent.whole(heatmap) if context.request.profile.pm_extent == "whole" else Extent.of(heatmap)
    made = Dataset()
    made.SOPClassUID = ParametricMapStorage
    made.SOPInstanceUID = sop_instance_uid(context, number)
    made.Modality = "OT"
    _set_image(made, context, heatmap, images)
    _set_values(made, extent.values(heatmap))
    _set_dimensions(made, context)
    planes = _planes(frames)
    assert planes, "asked for the Parametric Map of a map without a place (has_place)"
    made.FrameOfReferenceUID = frames[0][0].frame_of_reference_uid
    made.PositionReferenceIndicator = ""
    made.SharedFunctionalGroupsSequence = [_shared(heatmap, frames, planes)]
    within = zip(frames[extent.planes], planes[extent.planes], strict=True)
    made.PerFrameFunctionalGroupsSequence = [
        _per_frame(position, frame, plane, extent) for position, (frame, plane) in enumerate(within, start=1)
    ]
    if requests := request_attributes(context):
        made.RequestAttributesSequence = requests
    complete(made, context, "pm", number)
    return made


def has_place(context: Context, heatmap: Heatmap) -> bool:
    """Whether the map can be a Parametric Map: the IOD wants every frame placed in the patient (A.75.3).

    Maps of projections and of ultrasound have no such place; they are shown on a page alone.
    """
    return bool(_planes(source_frames(context, heatmap)))


def placed_maps(context: Context) -> list[Heatmap]:
    """The maps of a result that are to be Parametric Maps, in order."""
    return [heatmap for heatmap in context.request.result.heatmaps if has_place(context, heatmap)]


def _planes(frames: Frames) -> list[FramePlane]:
    """The plane of each frame in the patient; none at all where one of them has none or lies across the others."""
    planes = [plane for frame in frames if (plane := plane_of(*frame)) is not None]
    if len(planes) < len(frames) or not frames[0][0].frame_of_reference_uid:
        return []
    first = planes[0]
    alike = all(
        np.allclose(plane.row_direction, first.row_direction, atol=1e-4)
        and np.allclose(plane.column_direction, first.column_direction, atol=1e-4)
        and np.allclose(plane.spacing, first.spacing, rtol=1e-3)
        for plane in planes
    )
    return planes if alike else []


def _set_image(made: Dataset, context: Context, heatmap: Heatmap, images: Sequence[SourceImage]) -> None:
    made.ImageType = _FRAME_TYPE
    made.PixelPresentation = "MONOCHROME"
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PresentationLUTShape = 1, "MONOCHROME2", "IDENTITY"
    made.BurnedInAnnotation = made.RecognizableVisualFeatures = "NO"
    made.LossyImageCompression = "00"  # the values are the plugin's own, whatever its images went through
    made.AcquisitionContextSequence = []
    made.ContentLabel = "AI_HEAT_MAP"
    made.ContentDescription = ascii_name(f"{context.marking}: {heatmap.label}")[:64]
    made.ContentCreatorName = ""
    state_laterality(made, images)
    made.SourceImageSequence = source_images(images)
    made.ReferencedSeriesSequence = _referenced_series(images)


def _set_values(made: Dataset, values: NDArray[np.float32]) -> None:
    made.NumberOfFrames, made.Rows, made.Columns = values.shape
    made.BitsAllocated = 32
    made.FloatPixelData = np.ascontiguousarray(values, dtype="<f4").tobytes()


def _referenced_series(images: Sequence[SourceImage]) -> list[Dataset]:
    by_series: dict[str, list[Dataset]] = {}
    for image in images:
        by_series.setdefault(image.reference.series_instance_uid, []).append(_instance(image))
    result = []
    for uid, instances in by_series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedInstanceSequence = uid, instances
        result.append(item)
    return result


def _instance(image: SourceImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.reference.sop_class_uid
    item.ReferencedSOPInstanceUID = image.reference.sop_instance_uid
    return item


def _set_dimensions(made: Dataset, context: Context) -> None:
    """Frames count along one stack, in the plugin's order (C.7.6.17)."""
    uid = context.uids.part("dimensions of heat maps")
    organisation, indexes = Dataset(), []
    organisation.DimensionOrganizationUID = uid
    for pointer, label in ((_STACK_ID, "Stack ID"), (_IN_STACK_POSITION, "In-Stack Position Number")):
        index = Dataset()
        index.DimensionOrganizationUID = uid
        index.DimensionIndexPointer, index.FunctionalGroupPointer = BaseTag(pointer), BaseTag(_FRAME_CONTENT)
        index.DimensionDescriptionLabel = label
        indexes.append(index)
    made.DimensionOrganizationSequence, made.DimensionIndexSequence = [organisation], indexes


# --- functional groups ------------------------------------------------------------------------------


def _shared(heatmap: Heatmap, frames: Frames, planes: Sequence[FramePlane]) -> Dataset:
    groups, voi, transformation, frame_type = Dataset(), Dataset(), Dataset(), Dataset()
    low, high = scale_of(heatmap)  # as on the pages: a viewer too shows 0.05 of 1 as little
    voi.VOILUTFunction = "LINEAR_EXACT"  # LINEAR allows no width below 1 (C.11.2.1.2.1)
    voi.WindowCenter, voi.WindowWidth = f"{(low + high) / 2:.9g}", f"{high - low:.9g}"
    transformation.RescaleIntercept, transformation.RescaleSlope, transformation.RescaleType = 0, 1, "US"
    frame_type.FrameType = _FRAME_TYPE
    groups.FrameVOILUTSequence = [voi]
    groups.PixelValueTransformationSequence = [transformation]
    groups.ParametricMapFrameTypeSequence = [frame_type]
    groups.RealWorldValueMappingSequence = [_mapping(heatmap)]
    state_size_and_direction(groups, planes[0], *frames[0])
    return groups


def _mapping(heatmap: Heatmap) -> RealWorldValueMapping:
    return RealWorldValueMapping(
        lut_label=(ascii_name(heatmap.label) or "MAP")[:_LABEL_LIMIT],
        lut_explanation=heatmap.label[:64],
        unit=our_codes.unit(heatmap.unit),
        value_range=value_range(heatmap),
        slope=1.0,
        intercept=0.0,
        quantity_definition=our_codes.concept(heatmap.quantity),
    )


def _per_frame(position: int, frame: tuple[SourceImage, int], plane: FramePlane, extent: Extent) -> Dataset:
    content = Dataset()
    content.StackID, content.InStackPositionNumber = "1", position
    content.DimensionIndexValues = [1, position]
    # A row and column of the image are another pixel here; the place in the patient says which (PS3.3 C.12.4.1).
    groups = frame_groups(
        content, *frame, codes.DCM.UnspecifiedMethodOfCalculation, spatial_locations_preserved=not extent.cuts(plane)
    )
    state_position(groups, extent.placed(plane))
    return groups
