"""What is drawn over whole images: segmentations and heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins import fields
from plugins.coding import NO_UNITS, Code, Site, Unit
from plugins.images import ContractError, ImageReference, require
from plugins.labels import label_counts

MOST_LABEL = 65535
"""The largest label that a Segmentation object can hold (PS3.3 C.8.20.2)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One label of a segmentation (PS3.3 C.8.20.2): what it is, coded, and the colour to show it in."""

    number: int
    label: str
    category: Code
    type: Code
    site: Site | None = None
    colour: tuple[int, int, int] | None = None
    tracking_id: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", fields.whole_number(self.number, "Segment.number"))
        require(
            1 <= self.number <= MOST_LABEL,
            f"Segment.number: {self.number} is not within 1 to {MOST_LABEL}; 0 is background",
        )
        object.__setattr__(self, "label", fields.text(self.label, "Segment.label", 64))
        object.__setattr__(self, "category", Code.of(self.category, "Segment.category"))
        object.__setattr__(self, "type", Code.of(self.type, "Segment.type"))
        if self.site is not None:
            object.__setattr__(self, "site", Site.of(self.site, "Segment.site"))
        if self.tracking_id is not None:
            object.__setattr__(self, "tracking_id", fields.text(self.tracking_id, "Segment.tracking_id", 64))
        if self.colour is not None:
            object.__setattr__(self, "colour", _colour(self.colour))


def _colour(value: Any) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255; shares of 1, as matplotlib has them, are refused by what they are."""
    numbers = fields.items(value, "Segment.colour", (), fields.number)
    hint = "; write round(255 * share) for each" if any(0 < each < 1 for each in numbers) else ""
    require(
        len(numbers) == 3 and all(0 <= each <= 255 and each == int(each) for each in numbers),
        f"Segment.colour: {numbers} is not red, green and blue within 0 to 255{hint}",
    )
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


def _labels_of(plane: NDArray[np.unsignedinteger[Any]]) -> Sequence[int]:
    """The labels of one plane; without sorting it where that is not needed."""
    found = np.unique(plane) if plane.dtype.itemsize > 2 else np.flatnonzero(label_counts(plane))
    return [int(label) for label in found]


def _as_label_map(
    value: Any, frames: int, segments: Sequence[Segment]
) -> NDArray[np.unsignedinteger[Any]] | tuple[NDArray[np.unsignedinteger[Any]], ...]:
    """Labels as unsigned integers: one array (slices, rows, columns), or one (rows, columns) for each image.

    One slice may come without its axis, and a volume with an axis for a batch or channels that holds just one.
    """
    if isinstance(value, tuple | list) and (not value or np.ndim(value[0]) == 2):
        planes = tuple(_as_labels(plane, segments) for plane in value)
        require(len(planes) == frames, f"Segmentation.frames: {frames} references for {len(planes)} slices")
        same = len({(plane.shape, plane.dtype) for plane in planes}) == 1
        return np.stack(planes) if same else planes
    labels = _as_labels(value, segments)
    while labels.ndim > 3 and labels.shape[0] == 1:
        labels = labels[0]
    if labels.ndim == 2 and frames == 1:
        labels = labels[np.newaxis]
    if labels.ndim == 3 and labels.shape[0] == frames:
        return labels
    shape, hint = labels.shape, ""
    if labels.ndim == 4 and frames in shape[1:]:
        hint = "; of one mask for each class write masks.argmax(axis=0).astype(np.uint8)"
    elif labels.ndim == 3 and shape.count(frames) == 1:
        hint = (
            f"; write np.moveaxis(labels, {shape.index(frames)}, 0), and labels.transpose(2, 1, 0) for one of nibabel"
        )
    if labels.ndim != 3:
        raise ContractError(f"Segmentation.labels: expected (slices, rows, columns), got shape {shape}{hint}")
    raise ContractError(
        f"Segmentation.frames: {frames} references for {shape[0]} slices: labels have the shape {shape}, expected "
        f"({frames}, rows, columns){hint}"
    )


def _as_labels(value: Any, segments: Sequence[Segment]) -> NDArray[np.unsignedinteger[Any]]:
    """The same labels as unsigned integers; what is true in a mask is the only segment that there is."""
    labels = fields.array(value, "Segmentation.labels")
    if labels.dtype.kind == "u":
        return np.asarray(labels)
    if labels.dtype.kind == "b":
        require(
            len(segments) == 1,
            f"Segmentation.labels: a mask of true and false is one segment, but {len(segments)} are described; write "
            "labels with the number of each",
        )
        number = segments[0].number
        return np.where(labels, number, 0).astype(np.uint8 if number < 256 else np.uint16)
    if not labels.size:
        return labels.astype(np.uint8)
    low, high = labels.min(), labels.max()
    is_whole = labels.dtype.kind == "i" or bool(np.isfinite([low, high]).all() and (labels == np.floor(labels)).all())
    require(
        is_whole,
        f"Segmentation.labels: expected unsigned integers, got {labels.dtype} with values between them; write "
        "(probability >= threshold)",
    )
    require(
        low >= 0 and high <= MOST_LABEL,
        f"Segmentation.labels: expected unsigned integers, got {labels.dtype} from {int(low)} to {int(high)}; "
        f"labels are within 0 to {MOST_LABEL}",
    )
    return labels.astype(np.uint8 if high < 256 else np.uint16)


@dataclass(frozen=True)
class Segmentation:
    """Label map aligned voxel for voxel with a series' volume, or pixel for pixel with images or frames of any kind.

    `labels`: unsigned integers, shape (slices, rows, columns) of `volume.array`; 0 is background. For images
    that differ in size, such as the views of a mammogram: one (rows, columns) array each.
    `frames`: the source frame of each slice or array, in order (`Volume.frames`); what has no label may be left out.
    """

    labels: NDArray[np.unsignedinteger[Any]] | tuple[NDArray[np.unsignedinteger[Any]], ...]
    frames: tuple[ImageReference, ...]
    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", ImageReference.all_of(self.frames, "Segmentation.frames"))
        described = fields.instance(Segment, "a Segment(number, label, category, type)")
        object.__setattr__(self, "segments", fields.items(self.segments, "Segmentation.segments", Segment, described))
        object.__setattr__(self, "labels", _as_label_map(self.labels, len(self.frames), self.segments))
        if isinstance(self.labels, tuple):
            for plane in self.labels:
                require(plane.ndim == 2, f"Segmentation.labels: expected (rows, columns), got shape {plane.shape}")
        numbers = [segment.number for segment in self.segments]
        require(len(set(numbers)) == len(numbers), "Segmentation.segments: a number occurs twice")
        used = {number for plane in self.planes for number in _labels_of(plane)}
        unknown = sorted(used - {0} - set(numbers))
        require(not unknown, f"Segmentation.labels: holds {unknown}, which no segment describes")

    @property
    def planes(self) -> Sequence[NDArray[np.unsignedinteger[Any]]]:
        """The labels of each frame: (rows, columns)."""
        return list(self.labels)

    def labels_on(self, frames: Sequence[ImageReference]) -> NDArray[np.unsignedinteger[Any]]:
        """The labels on these frames, in their order, such as those of a `Volume`: (slices, rows, columns).

        A frame of which the segmentation says nothing has none. Raises `ContractError` where it lies on none of the
        frames, or frames differ in size: another image's mask must never pass for an empty one.
        """
        by_frame = dict(zip(self.frames, self.planes, strict=True))
        there = [by_frame[frame] for frame in frames if frame in by_frame]
        require(bool(there), "Segmentation.labels_on: it lies on none of these frames")
        require(len({plane.shape for plane in there}) == 1, "Segmentation.labels_on: its frames differ in size")
        empty = np.zeros_like(there[0])
        return np.stack([by_frame.get(frame, empty) for frame in frames])


@dataclass(frozen=True)
class Heatmap:
    """A float map aligned with frames of a series: shape (slices, rows, columns), one frame reference per slice."""

    values: NDArray[np.float32]
    frames: tuple[ImageReference, ...]
    quantity: Code
    """What the values are (CID 7180): saliency 130404, class activation 130402, …"""
    unit: Unit = NO_UNITS
    label: str = "Heat map"

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", ImageReference.all_of(self.frames, "Heatmap.frames"))
        object.__setattr__(self, "quantity", Code.of(self.quantity, "Heatmap.quantity"))
        object.__setattr__(self, "unit", Unit.of(self.unit, "Heatmap.unit"))
        object.__setattr__(self, "label", fields.text(self.label, "Heatmap.label", 64))
        given = fields.array(self.values, "Heatmap.values")
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, which is refused
            values = given.astype(np.float32, copy=False)
        if values.ndim == 2:
            values = values[np.newaxis]
        while values.ndim > 3 and values.shape[0] == 1:
            values = values[0]
        object.__setattr__(self, "values", values)
        require(values.ndim == 3, f"Heatmap.values: expected (slices, rows, columns), got shape {given.shape}")
        hint = ""
        if len(self.frames) == 1 and values.shape[2] in (3, 4):
            hint = "; a map in colours is a Picture"
        elif values.shape.count(len(self.frames)) == 1:
            hint = f"; write np.moveaxis(values, {values.shape.index(len(self.frames))}, 0)"
        require(
            len(self.frames) == values.shape[0],
            f"Heatmap.frames: {len(self.frames)} references for {values.shape[0]} slices: values have the shape "
            f"{given.shape}, expected ({len(self.frames)}, rows, columns){hint}",
        )
        finite = all(np.isfinite(plane).all() for plane in values)
        require(finite, "Heatmap.values: holds a value that is not finite")
