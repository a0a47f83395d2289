"""Where a finding is, as content items: graphics on an image or in the patient, segments (PS3.16 TID 1410, 1411)."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from highdicom.sr import (
    CodedConcept,
    ContentItem,
    ContentSequence,
    ImageRegion,
    ImageRegion3D,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    SourceImageForRegion,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
)
from pydicom.uid import SegmentationStorage

from node.results.report.parts import Segments
from node.results.report.regions import LocatedRegion
from node.results.source.references import stand_in
from plugins.contract import Ellipse, Point, Polygon, Region


def graphic(place: LocatedRegion | Region) -> ImageRegion | ImageRegion3D:
    """The region of a group: SCOORD on its image, or SCOORD3D in the patient."""
    if not isinstance(place, LocatedRegion):
        return _graphic_3d(place)
    reference = place.image.reference
    frames = [place.frame_number] if place.image.is_multi_frame else None
    source = SourceImageForRegion(stand_in(reference.sop_class_uid), reference.sop_instance_uid, frames)
    return ImageRegion(place.graphic_type, place.outline, source)


def _graphic_3d(region: Region) -> ImageRegion3D:
    points = region.points
    if isinstance(region, Polygon):
        points = np.concatenate([points, points[:1]])
        kind = "POLYGON"
    elif isinstance(region, Point):
        kind = "POINT"
    else:
        kind = "ELLIPSE" if isinstance(region, Ellipse) else "POLYLINE"
    assert region.frame_of_reference_uid is not None  # the contract asks for it wherever there is no image
    return ImageRegion3D(kind, points, region.frame_of_reference_uid)


def referenced_segment(place: Segments) -> ReferencedSegment:
    """Of a volume with its series, else with the images and frames that it is on."""
    series = place.mask.images[0].reference.series_instance_uid
    segment = ReferencedSegment(
        SegmentationStorage,
        place.sop_instance_uid,
        1,  # replaced below: highdicom takes one number, the attribute any
        source_images=None if place.mask.placed else _segmented_images(place),
        source_series=SourceSeriesForSegmentation(series) if place.mask.placed else None,
    )
    segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber = place.numbers
    return segment


def segmentation_frame(place: Segments) -> ReferencedSegmentationFrame:
    """By its segment, which is on that frame alone: a reference has Segment or Frame Number, not both (Table 10-3)."""
    (number,), (source,) = place.numbers, _segmented_images(place)
    frame = ReferencedSegmentationFrame(SegmentationStorage, place.sop_instance_uid, 1, number, source)
    del frame[0].ReferencedSOPSequence[0].ReferencedFrameNumber
    return frame


def _segmented_images(place: Segments) -> list[SourceImageForSegmentation]:
    """The images, and which of their frames, that segments without a place in the patient are on."""
    frames: dict[str, list[int]] = {}
    images = {image.reference.sop_instance_uid: image for image in place.mask.images}
    for image, number in (place.mask.frames[index] for index in place.planes):
        frames.setdefault(image.reference.sop_instance_uid, []).append(number)
    return [
        SourceImageForSegmentation(
            stand_in(images[uid].reference.sop_class_uid), uid, numbers if images[uid].is_multi_frame else None
        )
        for uid, numbers in frames.items()
    ]


def infer_first_number_from_region(group: ContentItem) -> None:
    """The number says which region it is of (TID 320): there, and only there, viewers look when they take it over.

    A length says so also where none is to be taken over: nobody guesses a tool from a line of two points.
    """
    items = group.ContentSequence
    number = next((item for item in items if item.ValueType == "NUM"), None)
    region = next((item for item in items if item.ValueType in {"SCOORD", "SCOORD3D"}), None)
    if number is None or region is None:
        return
    source = deepcopy(region)
    source.RelationshipType = "INFERRED FROM"
    source.ConceptNameCodeSequence = [CodedConcept("260753009", "SCT", "Source")]
    if "ContentSequence" not in number:
        number.ContentSequence = ContentSequence()
    number.ContentSequence.append(source)
