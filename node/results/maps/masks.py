"""Which SEGs a plugin's label map becomes: one for a volume, one for each image that has no place in the patient.

A SEG without a Frame of Reference refers to images pixel by pixel (PS3.3 A.51.3, C.8.20.2), so projections, which
share no geometry, get one each; frames of an ultrasound clip or an angiogram are frames of one image and share one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.results.errors import NotEncodableError
from node.results.source.geometry import plane_of
from node.results.source.images import SourceImage, Sources
from plugins.contract import Segmentation
from plugins.labels import label_counts

Plane = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Mask:
    """The part of a label map that one SEG holds: planes, and the source frame under each."""

    number: int
    """From 1: Instance Number of the SEG."""
    placed: bool
    """Whether its frames lie in the patient, as one volume."""
    planes: tuple[Plane, ...]
    frames: tuple[tuple[SourceImage, int], ...]
    pixels: tuple[dict[int, int], ...]
    """For each plane how many pixels each label has; labels that are not on it are left out."""

    @cached_property
    def images(self) -> tuple[SourceImage, ...]:
        """The SOP instances under it, each once."""
        return tuple({image.reference.sop_instance_uid: image for image, _ in self.frames}.values())

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The labels that occur, in order; they become Segment Numbers 1, 2, 3 … (C.8.20.2.4)."""
        return tuple(sorted(set().union(*self.pixels)))

    @cached_property
    def is_stack(self) -> bool:
        """Whether its images are a stack of slices: all their frames in one direction, no two in one place."""
        frames = [(image, number) for image in self.images for number in range(1, image.frames + 1)]
        planes = [plane for frame in frames if (plane := plane_of(*frame)) is not None]
        if not self.placed or len(planes) < len(frames):
            return False
        first = planes[0]
        alike = all(
            np.allclose(first.row_direction, plane.row_direction, atol=1e-3)
            and np.allclose(first.column_direction, plane.column_direction, atol=1e-3)
            for plane in planes
        )
        heights = {round(float(plane.position @ first.normal), 3) for plane in planes}
        return alike and len(heights) == len(planes)

    def segment_number(self, label: int) -> int:
        """Segment Number of a label that occurs."""
        return self.labels.index(label) + 1

    @property
    def frame_of_reference_uid(self) -> str:
        """Of its volume; empty where it has no place."""
        return self.images[0].frame_of_reference_uid if self.placed else ""

    @property
    def place(self) -> str:
        """What it shares with others of its place: the frame of reference, else its image."""
        return self.frame_of_reference_uid or self.images[0].reference.sop_instance_uid

    def frames_with(self, labels: Sequence[int]) -> list[int]:
        """Indices of the planes on which any of the labels occurs."""
        return [index for index, pixels in enumerate(self.pixels) if any(label in pixels for label in labels)]

    def largest(self, labels: Sequence[int]) -> int:
        """Index of the plane on which the labels together have the most pixels."""
        return max(range(len(self.planes)), key=lambda index: sum(self.pixels[index].get(label, 0) for label in labels))


def masks_of(segmentation: Segmentation | None, sources: Sources) -> tuple[Mask, ...]:
    """The SEGs of a label map, in the order of its frames; none where nothing is labelled.

    Raises `NotEncodableError` for an image that the plugin was not given, and for a plane that is not of its size.
    """
    if segmentation is None:
        return ()
    groups: dict[tuple[bool, Hashable], list[tuple[Plane, SourceImage, int, dict[int, int]]]] = {}
    for plane, frame in zip(segmentation.planes, segmentation.frames, strict=True):
        image = sources.find(frame.sop_instance_uid, "Segmentation.frames", frame.frame_number)
        size = (int(image.header.get("Rows") or 0), int(image.header.get("Columns") or 0))
        if size != plane.shape:
            raise NotEncodableError(
                "Segmentation.labels", f"a plane is {plane.shape}, the image under it {size} (rows, columns)"
            )
        pixels = _pixels(plane)
        group = _group(image, frame.frame_number)
        if pixels or group[0]:  # of a volume every slice is passed, though those without labels are not stored
            groups.setdefault(group, []).append((plane, image, frame.frame_number, pixels))
    made = [(placed, parts) for (placed, _), parts in groups.items() if any(pixels for *_, pixels in parts)]
    return tuple(
        Mask(
            number,
            placed,
            tuple(plane for plane, *_ in parts),
            tuple((image, frame_number) for _, image, frame_number, _ in parts),
            tuple(pixels for *_, pixels in parts),
        )
        for number, (placed, parts) in enumerate(made, start=1)
    )


def _pixels(plane: Plane) -> dict[int, int]:
    counts = label_counts(plane)
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label > 0}


def _group(image: SourceImage, frame_number: int) -> tuple[bool, Hashable]:
    """Whether a frame lies in the patient, and what has one SEG: a series of one size and direction, or an image.

    Slices without a usable Frame of Reference UID still have one SEG together, frame by frame on its images.
    """
    plane = None
    if not image.is_multi_frame or "PerFrameFunctionalGroupsSequence" in image.header:
        plane = plane_of(image, frame_number)
    placed = bool(plane is not None and image.frame_of_reference_uid)
    if plane is None or (image.is_multi_frame and not placed):
        return False, image.reference.sop_instance_uid
    directions = (*plane.row_direction, *plane.column_direction)
    orientation = tuple(round(float(value), 3) + 0.0 for value in directions)
    if image.is_multi_frame:  # an enhanced image may hold stacks in several directions
        return True, (image.reference.sop_instance_uid, orientation)
    return placed, (image.reference.series_instance_uid, plane.rows, plane.columns, orientation)
