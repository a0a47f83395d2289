"""Places that a model gives: boxes and landmarks, from its input's pixels to points of the images.

In the model's input 0 is the outer edge of the first pixel, as it is on an image (PS3.3 C.18.6.1.2): a coordinate x is
at the index x − 0.5. So a letterbox is undone as it was made, and a box around the pixels 10 to 19 goes from 10 to 20.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.images import ContractError
from plugins.mapped_findings import FindingDraft, name_of
from plugins.measurements import Score
from plugins.model.mapping import BoxForm, BoxOutput, CoordinateUnit, LandmarkOutput, ModelLabel
from plugins.model.maps import activated
from plugins.model.preparing import PreparedImages
from plugins.model.running import Answers
from plugins.nifti_mapping import EmptyMask
from plugins.regions import Box, Point

_Boxes = NDArray[np.float64]
"""(n, 4): left, top, right, bottom, in pixels of the model's input."""


# --- boxes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _SeenBox:
    """A box on one image."""

    label: ModelLabel
    score: float
    slice_index: int
    box: Box


def box_drafts(
    output: BoxOutput, answers: Sequence[Answers], images: PreparedImages
) -> tuple[list[FindingDraft], list[str]]:
    """A finding for each box, the surest first, and the names of labels that say nothing."""
    seen = [each for index, answer in enumerate(answers) for each in _on_image(output, answer, index, images)]
    seen.sort(key=lambda each: -each.score)
    drafts, silent = [], []
    for each in seen[: output.most]:
        draft = FindingDraft(name_of(each.label.finding, each.label.site), each.label.finding, each.label.site, True)
        draft.score, draft.regions = Score(each.score, each.label.threshold), (each.box,)
        drafts.append(draft)
    for label in output.labels:
        if any(each.label is label for each in seen):
            continue
        name = name_of(label.finding, label.site)
        if label.below is EmptyMask.ABSENT and images.grid.is_whole:
            drafts.append(FindingDraft(name, label.finding, label.site, present=False))
        else:
            silent.append(name)
    return drafts, silent


def _on_image(output: BoxOutput, answer: Answers, index: int, images: PreparedImages) -> Iterator[_SeenBox]:
    boxes, scores = _in_pixels(output, answer[output.name], images), answer[output.scores]
    for label in output.labels:
        of_label = _scores_of(label, output, scores, answer, len(boxes))
        assert label.threshold is not None, "the manifest has one for each label of boxes"
        strong = np.flatnonzero(of_label >= label.threshold)
        for each in strong[kept(boxes[strong], of_label[strong], output.overlap)]:
            if (box := _box(boxes[each], index, images)) is not None:
                yield _SeenBox(label, float(of_label[each]), index, box)


def _in_pixels(output: BoxOutput, values: NDArray[np.float32], images: PreparedImages) -> _Boxes:
    if values.size % 4:
        raise ContractError(f"onnx.outputs: {output.name}: the model gave {values.size} numbers, not four a box")
    found = values.reshape(-1, 4).astype(np.float64)
    if output.form is BoxForm.CXCYWH:
        middle, half = found[:, :2], found[:, 2:] / 2
        found = np.concatenate([middle - half, middle + half], axis=1)
    elif output.form is BoxForm.YXYX:
        found = found[:, [1, 0, 3, 2]]
    if output.unit is CoordinateUnit.SHARE:
        found = found * _width_and_height(images)[[0, 1, 0, 1]]
    return found


def _width_and_height(images: PreparedImages) -> NDArray[np.float64]:
    sizes = {axis.source: axis.size for axis in images.grid.axes}
    return np.array([sizes[1], sizes[0]], np.float64)


def _scores_of(
    label: ModelLabel, output: BoxOutput, scores: NDArray[np.float32], answer: Answers, count: int
) -> NDArray[np.float32]:
    """The score of each box for a label; −∞ where it is of another class."""
    if output.classes:
        of_class = np.rint(answer[output.classes].reshape(-1)) == label.index
        found = np.where(of_class, activated(scores.reshape(-1), output.activation), -np.inf)
    else:
        table = activated(scores.reshape(count, -1).T, output.activation) if count else np.zeros((label.index + 1, 0))
        if label.index >= len(table):
            raise ContractError(
                f"onnx.outputs: {output.scores}: of {len(table)} scores a box none has index {label.index}"
            )
        found = table[label.index]
    if len(found) != count:
        raise ContractError(f"onnx.outputs: {output.scores}: the model gave {len(found)} scores for {count} boxes")
    return np.asarray(found, np.float32)


def kept(boxes: _Boxes, scores: NDArray[np.float32], overlap: float) -> NDArray[np.intp]:
    """Indices of the boxes that are left by non-maximum suppression, the surest first."""
    rest, left = np.argsort(-scores, kind="stable"), []
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    while rest.size:
        best, rest = rest[0], rest[1:]
        left.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        union = areas[best] + areas[rest] - common
        rest = rest[common < overlap * np.maximum(union, np.finfo(float).tiny)]
    return np.array(left, np.intp)


def _box(corners: NDArray[np.float64], index: int, images: PreparedImages) -> Box | None:
    """On the image, as far as it is within; None where nothing of it does."""
    points = np.array([_on_the_image(images, corners[[0, 1]]), _on_the_image(images, corners[[2, 3]])])
    rows, columns = images.source_shape[-2:]
    points = np.clip(points, 0, [columns, rows])
    if not (points[1] > points[0]).all():
        return None
    return Box(points, images.frames[index])


def _on_the_image(images: PreparedImages, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """(column, row) on the image of a point (x, y) of the model's input."""
    indices = [point[1 - axis.source] - 0.5 for axis in images.grid.axes]
    row, column = images.grid.place(indices)
    return np.array([column + 0.5, row + 0.5])


# --- landmarks -----------------------------------------------------------------------------------


def landmark_drafts(
    output: LandmarkOutput, values: NDArray[np.float32], images: PreparedImages
) -> tuple[list[FindingDraft], list[str]]:
    """A finding for each point, and the names of those that lie outside of the images."""
    count = len(output.order)
    if values.size % count:
        raise ContractError(f"onnx.outputs: {output.name}: the model gave {values.size} numbers, not {count} a point")
    points = values.reshape(-1, count).astype(np.float64)
    drafts, silent = [], []
    for landmark in output.points:
        if landmark.index >= len(points):
            raise ContractError(
                f"onnx.outputs: {output.name}: the model gave {len(points)} points, none with index {landmark.index}"
            )
        name = name_of(landmark.finding, landmark.site)
        region = _point(dict(zip(output.order, points[landmark.index], strict=True)), output.unit, images)
        if region is None:
            silent.append(name)
            continue
        draft = FindingDraft(name, landmark.finding, landmark.site, present=True)
        draft.regions = (region,)
        drafts.append(draft)
    return drafts, silent


def _point(coordinates: Mapping[str, float], unit: CoordinateUnit, images: PreparedImages) -> Point | None:
    """In the patient, or on the image; None outside of the images. `coordinates`: by the letters of the layout."""
    indices = [
        coordinates[letter] * (axis.size if unit is CoordinateUnit.SHARE else 1) - 0.5
        for letter, axis in zip(images.axes, images.grid.axes, strict=True)
    ]
    place = images.grid.place(indices)
    if not all(-0.5 <= each <= count - 0.5 for each, count in zip(place, images.grid.source_shape, strict=True)):
        return None
    volume = images.volume
    if volume is None:
        row, column = place
        return Point(np.array([column + 0.5, row + 0.5]), images.frames[0])
    if volume.frame_of_reference_uid is None:
        return volume.image_point(min(max(round(place[0]), 0), len(volume.array) - 1), place[1], place[2])
    return volume.point(*place)
