"""The frames of a SEG whose images are not a stack of slices: each lies on a frame of its image, pixel by pixel.

Written by hand: highdicom 0.28.2 makes no SEG of several frames that have no place in the patient, and none of an image
that has several frames in one place (a beating heart) or stacks in several directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.sr.codedict import codes
from pydicom.tag import BaseTag

from node.results.maps.frame_groups import frame_groups, state_position, state_size_and_direction
from node.results.maps.masks import Mask
from node.results.source.geometry import patient_orientation, plane_of
from node.results.source.images import SourceImage
from node.results.source.references import source_images

_SEGMENT_NUMBER, _IDENTIFICATION = 0x0062000B, 0x0062000A
_FRAME_LABEL, _FRAME_CONTENT = 0x00209453, 0x00209111


def write_frames(made: Dataset, mask: Mask, labels: NDArray[np.unsignedinteger]) -> None:
    """Replace the frames, their functional groups and their references by those of all planes.

    `labels`: (planes, rows, columns), the mask's planes in Segment Numbers. One frame for each segment on each plane
    where it is; of a label map, one for each plane.
    """
    binary = made.SegmentationType == "BINARY"
    _set_dimensions(made, binary)
    if binary:
        numbered = enumerate(mask.labels, start=1)
        numbers = [(number, index) for number, label in numbered for index in mask.frames_with([label])]
        pixels = np.stack([labels[index] == number for number, index in numbers]).astype(np.uint8)
        made.PixelData = pack_bits(pixels)
    else:
        numbers = [(0, index) for index in range(len(mask.planes))]
        content = labels.astype(np.uint8 if made.BitsAllocated == 8 else "<u2").tobytes()
        made.PixelData = content + b"\0" * (len(content) % 2)
    made.NumberOfFrames = len(numbers)
    if mask.placed:
        made.FrameOfReferenceUID, made.PositionReferenceIndicator = mask.frame_of_reference_uid, ""
    else:
        orientation = patient_orientation(*mask.frames[0])
        made.PatientOrientation = list(orientation) if orientation else None  # Type 2C: of what has no place
    made.SharedFunctionalGroupsSequence = [_shared(mask)]
    made.PerFrameFunctionalGroupsSequence = [_per_frame(mask, number, index) for number, index in numbers]
    _set_references(made, mask.images)


def _set_dimensions(made: Dataset, binary: bool) -> None:
    """By segment, then by frame of the source, told by its label: it may have no place, or share one with others."""
    pointers = [(_SEGMENT_NUMBER, _IDENTIFICATION, "Segment Number")] if binary else []
    indexes = []
    for pointer, group, label in (*pointers, (_FRAME_LABEL, _FRAME_CONTENT, "Frame Label")):
        index = Dataset()
        index.DimensionOrganizationUID = made.DimensionOrganizationSequence[0].DimensionOrganizationUID
        index.DimensionIndexPointer, index.FunctionalGroupPointer = BaseTag(pointer), BaseTag(group)
        index.DimensionDescriptionLabel = label
        indexes.append(index)
    made.DimensionIndexSequence = indexes
    made.pop("DimensionOrganizationType", None)


def _shared(mask: Mask) -> Dataset:
    """Size of a pixel and direction, of what lies in the patient."""
    groups = Dataset()
    plane = plane_of(*mask.frames[0]) if mask.placed else None
    if plane is not None:
        state_size_and_direction(groups, plane, *mask.frames[0])
    return groups


def _per_frame(mask: Mask, number: int, index: int) -> Dataset:
    """`number`: the segment's; 0 in a label map, whose frames hold all segments."""
    image, frame_number = mask.frames[index]
    content = Dataset()
    content.FrameLabel = f"Frame {frame_number}"
    content.DimensionIndexValues = [number, index + 1] if number else [index + 1]
    groups = frame_groups(content, image, frame_number, codes.DCM.Segmentation)
    plane = plane_of(image, frame_number) if mask.placed else None
    if plane is not None:
        state_position(groups, plane)
    if number:
        identification = Dataset()
        identification.ReferencedSegmentNumber = number
        groups.SegmentIdentificationSequence = [identification]
    return groups


def _set_references(made: Dataset, images: Sequence[SourceImage]) -> None:
    """The images of a mask are of one series."""
    series, instances = Dataset(), []
    for image in images:
        instance = Dataset()
        instance.ReferencedSOPClassUID = image.reference.sop_class_uid
        instance.ReferencedSOPInstanceUID = image.reference.sop_instance_uid
        instances.append(instance)
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = images[0].reference.series_instance_uid, instances
    made.ReferencedSeriesSequence = [series]
    made.SourceImageSequence = source_images(images)
