"""`[onnx]` of a plugin.toml, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plugins import manifest_parts
from plugins.model import outputs
from plugins.model.mapping import (
    BlendRule,
    HeatmapOutput,
    IntensityStep,
    ModelChannel,
    ModelImages,
    ModelInput,
    ModelScalar,
    OnnxModel,
    PatientFact,
    SegmentationOutput,
    SizeFit,
    SlidingWindow,
    StepKind,
)
from plugins.onnx_session import CPU_PROVIDER

if TYPE_CHECKING:
    from plugins.manifest_table import ManifestTable

ELEMENTS = ("float32", "float16", "float64", "uint8", "int8", "uint16", "int16", "int32", "int64")
_AXES = {ModelImages.VOLUME: ("DHW", "HW"), ModelImages.PROJECTION: ("HW",)}
_DIRECTIONS = ("LR", "AP", "SI")
_MOST_OVERLAP = 0.9


def read(table: ManifestTable, folder: Path) -> OnnxModel:
    """The table `[onnx]` of a manifest in this folder; ManifestError."""
    file = _file(table, folder)
    given = _input(table.table("input"), table)
    made = OnnxModel(
        file=file,
        given=given,
        outputs=outputs.read(table, given),
        providers=table.texts("providers", [CPU_PROVIDER]),
        sliding=_sliding(table.table("sliding"), given) if "sliding" in table.values else None,
    )
    if not made.providers:
        raise table.error("providers", "none is named")
    if made.sliding and not all(isinstance(each, SegmentationOutput | HeatmapOutput) for each in made.outputs):
        raise table.error("sliding", "only segmentations and heat maps can be put together from windows")
    table.finish()
    return made


def _file(table: ManifestTable, folder: Path) -> str:
    name: str = table.take("file", str)
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise table.error("file", f"{name!r} leaves the plugin's folder")
    if not (folder / name).is_file():
        raise table.error("file", f"there is no file {name} in {folder}")
    return name


def _input(table: ManifestTable, onnx: ManifestTable) -> ModelInput:
    images = table.member("images", ModelImages, table.take("images", str))
    layout = _layout(table, images)
    axes = [each for each in layout if each in "DHW"]
    spacing = manifest_parts.numbers(table, "spacing", len(axes), [])
    if not all(each > 0 for each in spacing):
        raise table.error("spacing", "expected numbers of mm above zero")
    made = ModelInput(
        name=table.take("name", str, ""),
        images=images,
        layout=layout,
        element=_element(table),
        channels=tuple(_channel(each) for each in manifest_parts.tables(onnx, "channels")) or (ModelChannel(),),
        spacing=spacing,
        orientation=_orientation(table, len(axes)),
        smooth=table.take("smooth", bool, True),
        size=manifest_parts.sizes(table, "size", len(axes)),
        fit=table.member("fit", SizeFit, table.take("fit", str, SizeFit.CROP_OR_PAD)),
        fill=table.take("fill", float, 0.0),
        least_slices=table.take("least_slices", int, 1),
        scalars=tuple(_scalar(each) for each in manifest_parts.tables(onnx, "scalars")),
    )
    _refuse_contradictions(table, made)
    table.finish()
    return made


def _refuse_contradictions(table: ManifestTable, given: ModelInput) -> None:
    if given.images is ModelImages.PROJECTION:
        for key in ("spacing", "orientation", "least_slices"):
            if key in table.values:
                raise table.error(key, f'is for images = "{ModelImages.VOLUME}"')
        if len(given.channels) > 1 and len({each.role for each in given.channels}) > 1:
            raise table.error("images", "projections of several roles do not lie on each other")
    if given.is_by_slice and given.orientation:
        raise table.error("orientation", "a model without the axis D gets the slices as they are")
    if "fit" in table.values and not given.size:
        raise table.error("fit", "needs the size that is to be reached")
    names = [*given.tensors, *(each.name for each in given.scalars)]
    if len(names) > 1 and not all(names):
        raise table.error("name", "is missing, and the model has more than one input")
    if doubled := next((each for each in names if names.count(each) > 1), ""):
        raise table.error("name", f"{doubled!r} is images and a number")


def _layout(table: ManifestTable, images: ModelImages) -> str:
    layout: str = table.take("layout", str)
    spatial = "".join(sorted(each for each in layout if each not in "NC"))
    if spatial not in _AXES[images] or len(set(layout)) != len(layout) or "C" not in layout:
        known = " and ".join("".join(each) for each in _AXES[images])
        raise table.error("layout", f"{layout!r} has not N and C once, and of a {images} the axes {known}")
    if layout[0] != "N":
        raise table.error("layout", "N, the axis of the batch, comes first")
    return layout


def _orientation(table: ManifestTable, count: int) -> str:
    text: str = table.take("orientation", str, "")
    axes = [next((pair for pair in _DIRECTIONS if each in pair), "") for each in text]
    if text and (len(axes) != count or "" in axes or len(set(axes)) != len(axes)):
        raise table.error("orientation", f"{text!r} is not {count} of L R, A P and S I, one of each pair, such as RAS")
    return text


def _channel(table: ManifestTable) -> ModelChannel:
    steps = tuple(_step(each) for each in manifest_parts.tables(table, "steps"))
    tensor = table.take("input", str, "")
    made = ModelChannel(table.take("role", str, ""), table.take("modality", str, ""), steps, tensor)
    table.finish()
    return made


def _scalar(table: ManifestTable) -> ModelScalar:
    made = ModelScalar(
        name=table.take("name", str),
        fact=table.member("fact", PatientFact, table.take("fact", str)),
        element=_element(table),
        shift=table.take("shift", float, 0.0),
        scale=table.take("scale", float, 1.0),
    )
    if made.scale == 0:
        raise table.error("scale", "must not be 0")
    table.finish()
    return made


def _element(table: ManifestTable) -> str:
    element: str = table.take("type", str, "float32")
    if element not in ELEMENTS:
        raise table.error("type", f"{element!r} is none of {', '.join(ELEMENTS)}")
    return element


def _window(table: ManifestTable) -> tuple[float, float]:
    if "centre" in table.values:
        centre, width = table.take("centre", float), table.take("width", float)
        return centre - width / 2, centre + width / 2
    return table.take("low", float), table.take("high", float)


def _rescale(table: ManifestTable) -> tuple[float, float]:
    return table.take("shift", float, 0.0), table.take("scale", float, 1.0)


def _percentile(table: ManifestTable) -> tuple[float, float]:
    low, high = table.take("low", float), table.take("high", float)
    if not 0 <= low <= 100 or not 0 <= high <= 100:
        raise table.error("high", f"{low:g} and {high:g} are not percentiles, from 0 to 100")
    return low, high


_NUMBERS: Mapping[StepKind, Callable[[ManifestTable], tuple[float, float]]] = {
    StepKind.WINDOW: _window,
    StepKind.RESCALE: _rescale,
    StepKind.PERCENTILE: _percentile,
    StepKind.ZSCORE: lambda _: (0.0, 1.0),
}
"""What `IntensityStep.first` and `.second` are."""


def _step(table: ManifestTable) -> IntensityStep:
    kind = table.member("kind", StepKind, table.take("kind", str))
    first, second = _NUMBERS[kind](table)
    if kind in (StepKind.WINDOW, StepKind.PERCENTILE) and not first < second:
        raise table.error("high", f"{second:g} is not above {first:g}")
    if kind is StepKind.RESCALE and second == 0:
        raise table.error("scale", "must not be 0")
    of_its_own = kind in (StepKind.PERCENTILE, StepKind.ZSCORE)
    above = table.take("above", float, None) if of_its_own else None
    table.finish()
    return IntensityStep(kind, first, second, above)


def _sliding(table: ManifestTable, given: ModelInput) -> SlidingWindow:
    size = manifest_parts.sizes(table, "window", len(given.axes))
    overlap = table.take("overlap", float, 0.5)
    if not size:
        raise table.error("window", "is missing")
    if not 0 <= overlap <= _MOST_OVERLAP:
        raise table.error("overlap", f"{overlap:g} is not within 0 to {_MOST_OVERLAP}")
    made = SlidingWindow(size, overlap, table.member("blend", BlendRule, table.take("blend", str, BlendRule.GAUSSIAN)))
    if given.size:
        raise table.error("window", "the images have a size already: give input.size, or a window")
    table.finish()
    return made


def roles(channels: Sequence[ModelChannel]) -> list[str]:
    """The roles under which a rule has to hand series over, each once."""
    return list(dict.fromkeys(each.role for each in channels))
