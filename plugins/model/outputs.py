"""`[[onnx.outputs]]`: what each output of a model means, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from plugins import manifest_parts, nifti_mapping
from plugins.maps import MOST_LABEL
from plugins.model.mapping import (
    Activation,
    BoxForm,
    BoxOutput,
    ClassificationOutput,
    CoordinateUnit,
    HeatmapOutput,
    LandmarkOutput,
    ModelImages,
    ModelInput,
    ModelLabel,
    ModelLandmark,
    ModelOutput,
    RegressionOutput,
    SegmentationOutput,
)
from plugins.nifti_mapping import EmptyMask, MappedSegment

if TYPE_CHECKING:
    from plugins.manifest_table import ManifestTable

_MOST_BOXES = 100
_MOST_INDEX = 100_000


class OutputKind(StrEnum):
    """What an output is."""

    CLASSIFICATION = "classification"
    """Scores of findings, or of classes that exclude each other."""
    REGRESSION = "regression"
    """A number with a unit."""
    BOXES = "boxes"
    """Boxes on images, with scores."""
    LANDMARKS = "landmarks"
    """Points, each of a meaning of its own."""
    SEGMENTATION = "segmentation"
    """Outlines of segments, and their volumes."""
    HEATMAP = "heatmap"
    """A map of values."""


def read(table: ManifestTable, given: ModelInput) -> tuple[ModelOutput, ...]:
    """All outputs; ManifestError."""
    found = [_output(each, given) for each in manifest_parts.tables(table, "outputs")]
    if not found:
        raise table.error("outputs", "nothing comes out: give [[onnx.outputs]]")
    if all(isinstance(each, HeatmapOutput) for each in found):
        raise table.error("outputs", "a heat map alone is not a result")
    if sum(isinstance(each, SegmentationOutput) for each in found) > 1:
        raise table.error("outputs", "a result has one segmentation")
    return tuple(found)


def _output(table: ManifestTable, given: ModelInput) -> ModelOutput:
    kind = table.member("kind", OutputKind, table.take("kind", str))
    made = _READERS[kind](table, given)
    table.finish()
    return made


def _activation(table: ManifestTable, default: Activation) -> Activation:
    found: Activation = table.member("activation", Activation, table.take("activation", str, default))
    return found


def _index(table: ManifestTable, default: int | None = None) -> int:
    index: int = table.take("index", int) if default is None else table.take("index", int, default)
    if not 0 <= index <= _MOST_INDEX:
        raise table.error("index", f"{index} is not within 0 to {_MOST_INDEX}")
    return index


def _label(table: ManifestTable) -> ModelLabel:
    threshold = table.take("threshold", float, None)
    below = table.member("below", EmptyMask, table.take("below", str, EmptyMask.UNKNOWN))
    if below is EmptyMask.ABSENT and threshold is None:
        raise table.error("below", "needs a threshold")
    index, finding = _index(table), manifest_parts.code(table, "finding")
    made = ModelLabel(index, finding, threshold, below, manifest_parts.site(table))
    table.finish()
    return made


def _labels(table: ManifestTable) -> tuple[ModelLabel, ...]:
    found = tuple(_label(each) for each in manifest_parts.tables(table, "labels"))
    if not found:
        raise table.error("labels", "no [[onnx.outputs.labels]] says what its classes are")
    if len({each.index for each in found}) != len(found):
        raise table.error("labels", "an index occurs twice")
    return found


def _classification(table: ManifestTable, given: ModelInput) -> ModelOutput:
    if given.is_by_slice:
        raise table.error("kind", "a stack that is given slice by slice has no one classification")
    activation = _activation(table, Activation.SOFTMAX)
    return ClassificationOutput(table.take("name", str), activation, _labels(table))


def _regression(table: ManifestTable, given: ModelInput) -> ModelOutput:
    if given.is_by_slice:
        raise table.error("kind", "a stack that is given slice by slice has no one number")
    decimals = table.take("decimals", int, 1)
    if not 0 <= decimals <= 9:
        raise table.error("decimals", f"{decimals} is not within 0 to 9")
    return RegressionOutput(
        name=table.take("name", str),
        index=_index(table, 0),
        concept=manifest_parts.code(table, "concept"),
        unit=manifest_parts.unit(table),
        finding=manifest_parts.code(table, "finding"),
        site=manifest_parts.site(table),
        scale=table.take("scale", float, 1.0),
        offset=table.take("offset", float, 0.0),
        minimum=table.take("minimum", float, None),
        maximum=table.take("maximum", float, None),
        decimals=decimals,
    )


def _boxes(table: ManifestTable, given: ModelInput) -> ModelOutput:
    if "D" in given.layout:
        raise table.error("kind", "boxes lie on images: the model must have the axes H and W")
    overlap = table.take("overlap", float, 0.5)
    if not 0 < overlap <= 1:
        raise table.error("overlap", f"{overlap:g} is not above 0, up to 1")
    labels = _labels(table)
    if any(each.threshold is None for each in labels):
        raise table.error("labels", "each needs its threshold: from which score on a box is one")
    most = table.take("most", int, _MOST_BOXES)
    if not 1 <= most <= _MOST_BOXES:
        raise table.error("most", f"{most} is not within 1 to {_MOST_BOXES}")
    return BoxOutput(
        name=table.take("name", str),
        scores=table.take("scores", str),
        classes=table.take("classes", str, ""),
        form=table.member("form", BoxForm, table.take("form", str, BoxForm.XYXY)),
        unit=_coordinates(table),
        activation=_activation(table, Activation.NONE),
        overlap=overlap,
        most=most,
        labels=labels,
    )


def _coordinates(table: ManifestTable) -> CoordinateUnit:
    found: CoordinateUnit = table.member("coordinates", CoordinateUnit, table.take("coordinates", str, "pixels"))
    return found


def _landmarks(table: ManifestTable, given: ModelInput) -> ModelOutput:
    if given.is_by_slice:
        raise table.error("kind", "a stack that is given slice by slice has no landmarks of the whole")
    order: str = table.take("order", str, given.axes[::-1])
    if sorted(order) != sorted(given.axes):
        raise table.error("order", f"{order!r} does not have the axes {', '.join(given.axes)}, each once")
    points = tuple(_landmark(each) for each in manifest_parts.tables(table, "points"))
    if not points:
        raise table.error("points", "no [[onnx.outputs.points]] says what its points are")
    return LandmarkOutput(table.take("name", str), order, _coordinates(table), points)


def _landmark(table: ManifestTable) -> ModelLandmark:
    made = ModelLandmark(_index(table), manifest_parts.code(table, "finding"), manifest_parts.site(table))
    table.finish()
    return made


def _map_layout(table: ManifestTable, given: ModelInput) -> str:
    layout: str = table.take("layout", str, given.layout)
    axes = layout.replace("C", "")
    if axes != f"N{given.axes}" or layout.count("C") > 1:
        raise table.error("layout", f"{layout!r} does not have the axes of the input, {given.axes}, in their order")
    return layout


def _segmentation(table: ManifestTable, given: ModelInput) -> ModelOutput:
    if given.images is ModelImages.PROJECTION:
        raise table.error("kind", "a segmentation has volumes: it is for stacks of slices")
    layout, activation = _map_layout(table, given), _activation(table, Activation.SOFTMAX)
    if "C" not in layout and activation is Activation.SOFTMAX:
        raise table.error("activation", "a map without the axis C holds labels (none), or one likelihood (sigmoid)")
    if "C" in layout and activation is Activation.NONE:
        raise table.error("activation", "a map of labels has no axis C; of scores say softmax or sigmoid")
    least = 0 if activation is Activation.SIGMOID else 1
    segments = tuple(_segment(each, least) for each in manifest_parts.tables(table, "segments"))
    if not segments:
        raise table.error("segments", "no [[onnx.outputs.segments]] says what its classes are")
    if len({each.label for each in segments}) != len(segments):
        raise table.error("segments", "an index occurs twice")
    threshold, minimum = table.take("threshold", float, 0.5), table.take("minimum_ml", float, 0.0)
    if not 0 < threshold < 1 or minimum < 0:
        raise table.error("threshold", "is within 0 and 1, and minimum_ml not below 0")
    largest = table.take("largest_only", bool, False)
    return SegmentationOutput(table.take("name", str), layout, activation, threshold, largest, minimum, segments)


def _segment(table: ManifestTable, least: int) -> MappedSegment:
    index = _index(table)
    if not least <= index <= MOST_LABEL:
        background = "; 0 is background" if least else ""
        raise table.error("index", f"{index} is not within {least} to {MOST_LABEL}{background}")
    return nifti_mapping.segment(table, index)


def _heatmap(table: ManifestTable, given: ModelInput) -> ModelOutput:
    return HeatmapOutput(
        name=table.take("name", str),
        layout=_map_layout(table, given),
        index=_index(table, 0),
        activation=_activation(table, Activation.NONE),
        quantity=manifest_parts.code(table, "quantity"),
        unit=manifest_parts.unit(table, "1"),
        label=table.take("label", str, "Heat map"),
    )


_READERS: Mapping[OutputKind, Callable[[ManifestTable, ModelInput], ModelOutput]] = {
    OutputKind.CLASSIFICATION: _classification,
    OutputKind.REGRESSION: _regression,
    OutputKind.BOXES: _boxes,
    OutputKind.LANDMARKS: _landmarks,
    OutputKind.SEGMENTATION: _segmentation,
    OutputKind.HEATMAP: _heatmap,
}
