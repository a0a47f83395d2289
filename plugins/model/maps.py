"""Maps that a model gives, on the images' own grid: segments with their volumes, and heat maps.

Likelihoods are interpolated and then compared, so that a border lies where two classes are equally likely, and not
where the model's voxels end. Labels are taken from the nearest voxel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins import components
from plugins.images import ContractError
from plugins.mapped_findings import FindingDraft
from plugins.maps import Heatmap, Segment, Segmentation
from plugins.model.geometry import ModelGrid
from plugins.model.mapping import Activation, HeatmapOutput, SegmentationOutput
from plugins.model.preparing import PreparedImages
from plugins.nifti_mapping import EmptyMask, MappedSegment

Map = NDArray[np.float32]
"""(classes, *spatial axes of the layout)."""
_Labels = NDArray[np.unsignedinteger]


def activated(values: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Likelihoods, along the first axis."""
    if activation is Activation.NONE:
        return values
    if activation is Activation.SIGMOID:
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-values)), np.float32)
    powers = np.exp(values - values.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), np.float32)


# --- segmentations -------------------------------------------------------------------------------


class SegmentsOfModel:
    """What a segmentation of a model is on the images."""

    def __init__(self, output: SegmentationOutput, maps: Sequence[Map], images: PreparedImages) -> None:
        """`maps`: one of the stack, or one for each slice."""
        assert images.volume is not None, "the manifest has segmentations of stacks only"
        self._output, self._images = output, images
        planes = [_labels(output, each, images.grid) for each in maps]
        self.labels: _Labels = np.stack(planes) if planes[0].ndim < 3 else planes[0]
        """(slices, rows, columns): the number of each segment is its place in the manifest, from 1."""
        self._voxel = images.volume.voxel_volume
        self._spacing = images.volume.spacing
        self.notes: list[str] = []
        """What `drafts` leaves out, in words."""
        for number in range(1, len(output.segments) + 1):
            _clean(self.labels, number, output, self._voxel)
        self.voxels = np.bincount(self.labels.ravel(), minlength=len(output.segments) + 1)

    def drafts(self, *, with_segments: bool) -> tuple[list[FindingDraft], list[str]]:
        """A finding for each segment that says something, and the names of those that say nothing."""
        found: list[FindingDraft] = []
        silent = []
        for number, segment in enumerate(self._output.segments, start=1):
            is_there = bool(self.voxels[number])
            if not is_there and not (segment.empty is EmptyMask.ABSENT and self._images.grid.is_whole):
                silent.append(segment.name)
                continue
            if is_there and segment.parts:
                parts = components.findings(segment, self.labels == number, self._spacing, self._images.frames)
                found += parts.drafts
                self.notes += [parts.left_out] if parts.left_out else []
                silent += [] if parts.drafts else [segment.name]
                continue
            draft = FindingDraft(segment.name, segment.heading, segment.site)
            draft.present = is_there if segment.finding else None
            if is_there:
                draft.add_volume(float(self.voxels[number]) * self._voxel)
                draft.segments = (number,) if with_segments else ()
            found.append(draft)
        return found, silent

    def segmentation(self) -> Segmentation | None:
        """The segments with a voxel; None where there is none."""
        segments = [
            Segment(number, each.name, each.category, each.type, each.site, each.colour)
            for number, each in enumerate(self._output.segments, start=1)
            if self.voxels[number]
        ]
        return Segmentation(self.labels, self._images.frames, tuple(segments)) if segments else None


def _labels(output: SegmentationOutput, values: Map, grid: ModelGrid) -> _Labels:
    if output.activation is Activation.NONE:
        if (values != np.rint(values)).any():
            raise ContractError(f"onnx.outputs: {output.name}: the map has values between labels")
        return _numbered(grid.given_back(values[0], 0, order=0), output.segments)
    indices = [each.label or 0 for each in output.segments]
    if max(indices) >= len(values):
        raise ContractError(
            f"onnx.outputs: {output.name}: the model gave {len(values)} classes, none with index {max(indices)}"
        )
    likely = activated(values, output.activation)
    is_exclusive = output.activation is Activation.SOFTMAX
    best = np.full(grid.source_shape, 0 if is_exclusive else output.threshold, np.float32)
    labels = np.zeros(grid.source_shape, np.uint16)
    for index in range(len(values)) if is_exclusive else indices:
        here = grid.given_back(likely[index], 0)
        wins = here > best if is_exclusive else here >= best
        best[wins] = here[wins]
        labels[wins] = indices.index(index) + 1 if index in indices else 0
    return labels


def _numbered(values: NDArray[np.float32], segments: Sequence[MappedSegment]) -> _Labels:
    labels = np.zeros(values.shape, np.uint16)
    for number, segment in enumerate(segments, start=1):
        labels[values == segment.label] = number
    return labels


def _clean(labels: _Labels, number: int, output: SegmentationOutput, voxel: float) -> None:
    """Remove what is too small, or is not the largest part of a segment."""
    if not output.largest_only and not output.minimum_ml:
        return
    parts, count = ndimage.label(labels == number)
    if not count:
        return
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    keeps = sizes * voxel >= output.minimum_ml
    if output.largest_only:
        keeps &= np.arange(len(sizes)) == sizes.argmax()
    keeps[0] = True
    labels[~keeps[parts]] = 0


# --- heat maps -----------------------------------------------------------------------------------


def heatmap(output: HeatmapOutput, maps: Sequence[Map], images: PreparedImages) -> Heatmap:
    """The map over all images; 0 where the model did not look."""
    planes = list(_planes(output, maps, images.grid))
    values = np.stack(planes) if planes[0].ndim < 3 else planes[0]
    return Heatmap(values.astype(np.float32), images.frames, output.quantity, output.unit, output.label)


def _planes(output: HeatmapOutput, maps: Sequence[Map], grid: ModelGrid) -> Iterator[NDArray[np.float32]]:
    for values in maps:
        if output.index >= len(values):
            raise ContractError(
                f"onnx.outputs: {output.name}: the model gave {len(values)} maps, none with index {output.index}"
            )
        yield grid.given_back(activated(values, output.activation)[output.index], 0)
