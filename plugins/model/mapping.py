"""What `[onnx]` of a manifest says: one model, what it is given, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from plugins import codes
from plugins.coding import Code, Site, Unit
from plugins.concepts import Concept
from plugins.nifti_mapping import EmptyMask, MappedSegment
from plugins.onnx_session import CPU_PROVIDER


class ModelImages(StrEnum):
    """What of a series the model is given."""

    VOLUME = "volume"
    """A stack of slices; a model without the axis D gets one slice after the other."""
    PROJECTION = "projection"
    """The one radiograph or mammogram, from 0 (black) to 1 (white), as a reader sees it."""


class SizeFit(StrEnum):
    """How images of any size become what the model takes."""

    CROP = "crop"
    """The middle; smaller images are not applicable."""
    PAD = "pad"
    """Filled up on all sides; larger images are not applicable."""
    CROP_OR_PAD = "crop_or_pad"
    """Each axis as it needs."""
    LETTERBOX = "letterbox"
    """Scaled as a whole until it fits, then filled up on both sides."""
    STRETCH = "stretch"
    """Each axis scaled to its size."""


class StepKind(StrEnum):
    """One step from values of the images to values of the model."""

    WINDOW = "window"
    """Between low and high: 0 to 1; what lies outside is cut off."""
    RESCALE = "rescale"
    """(value − shift) / scale."""
    PERCENTILE = "percentile"
    """A window between two percentiles of the images' own values."""
    ZSCORE = "zscore"
    """(value − mean) / standard deviation of the images' own values."""


class PatientFact(StrEnum):
    """A number that is not in the pixels."""

    AGE = "age"
    """Of the patient when the study was made, in years."""
    SEX = "sex"
    """0 for female, 1 for male."""


class BlendRule(StrEnum):
    """How windows that overlap become one map."""

    GAUSSIAN = "gaussian"
    """What lies in the middle of a window counts more: its standard deviation is an eighth of the window."""
    MEAN = "mean"
    """Each window counts as much as the others."""


class Activation(StrEnum):
    """What becomes of the numbers that the model gives."""

    SOFTMAX = "softmax"
    """Over the classes: they exclude each other."""
    SIGMOID = "sigmoid"
    """Of each by itself."""
    NONE = "none"
    """They are used as they are."""


class BoxForm(StrEnum):
    """What the four numbers of a box are."""

    XYXY = "xyxy"
    """Left, top, right, bottom."""
    YXYX = "yxyx"
    """Top, left, bottom, right."""
    CXCYWH = "cxcywh"
    """The centre, width and height."""


class CoordinateUnit(StrEnum):
    """In what a model says where something is; 0 is the outer edge of its first pixel."""

    PIXELS = "pixels"
    """Of its input."""
    SHARE = "share"
    """Of its input's width and height (and depth)."""


@dataclass(frozen=True, slots=True)
class IntensityStep:
    """One step; what `first` and `second` are, the kind says."""

    kind: StepKind
    first: float = 0.0
    """Low end, shift, or lower percentile."""
    second: float = 1.0
    """High end, scale, or upper percentile."""
    above: float | None = None
    """Of the images' own values only those above this are counted, such as 0; None: all."""


@dataclass(frozen=True, slots=True)
class ModelChannel:
    """One channel of the input: a series, and how its values become the model's."""

    role: str = ""
    modality: str = ""
    """What its images have to be; empty: anything."""
    steps: tuple[IntensityStep, ...] = ()
    tensor: str = ""
    """The input of the model that it belongs to; empty: `ModelInput.name`."""


@dataclass(frozen=True, slots=True)
class ModelScalar:
    """An input of one number: `(fact − shift) / scale`."""

    name: str
    fact: PatientFact
    element: str
    """NumPy's name of the type."""
    shift: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What the model is given: images as one tensor or several of the same grid, and single numbers."""

    name: str
    """Of the tensor whose channels name none; empty: the only one that it has."""
    images: ModelImages
    layout: str
    """The axes, each by a letter: N (1), C, then D (slices), H (rows), W (columns)."""
    element: str
    """NumPy's name of the type."""
    channels: tuple[ModelChannel, ...]
    spacing: tuple[float, ...] = ()
    """mm along the spatial axes, in the order of the layout; empty: as the images are."""
    orientation: str = ""
    """Where each spatial axis leads, in the order of the layout (L, R, A, P, S, I); empty: as the images are."""
    smooth: bool = True
    """Whether a Gaussian is applied where the new grid is coarser, so that nothing aliases."""
    size: tuple[int, ...] = ()
    fit: SizeFit = SizeFit.CROP_OR_PAD
    fill: float = 0.0
    """Value of the model's input where there is no image."""
    least_slices: int = 1
    scalars: tuple[ModelScalar, ...] = ()

    @property
    def tensors(self) -> dict[str, list[int]]:
        """Name of each input that gets images → the numbers of its channels."""
        found: dict[str, list[int]] = {}
        for number, channel in enumerate(self.channels):
            found.setdefault(channel.tensor or self.name, []).append(number)
        return found

    @property
    def axes(self) -> str:
        """The spatial axes in the order of the layout."""
        return "".join(each for each in self.layout if each in "DHW")

    @property
    def is_by_slice(self) -> bool:
        """Whether a stack is given one slice after the other."""
        return self.images is ModelImages.VOLUME and "D" not in self.layout


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """The model sees a part of the images at a time."""

    size: tuple[int, ...]
    """Along the spatial axes, in the order of the layout."""
    overlap: float
    """Of neighbours, as a share of the window."""
    blending: BlendRule


@dataclass(frozen=True, slots=True)
class ModelLabel:
    """What one number of a classification, or one class of boxes, means."""

    index: int
    finding: Code
    threshold: float | None = None
    """From this score on it is present."""
    below: EmptyMask = EmptyMask.UNKNOWN
    """What a score below says."""
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class ClassificationOutput:
    """Scores of findings."""

    name: str
    activation: Activation
    labels: tuple[ModelLabel, ...]


@dataclass(frozen=True, slots=True)
class RegressionOutput:
    """One number: `value · scale + offset`, in a unit."""

    name: str
    index: int
    concept: Code
    unit: Unit
    finding: Code
    site: Site | None
    scale: float
    offset: float
    minimum: float | None
    maximum: float | None
    """What lies outside has no value: the model answers where it knows nothing."""
    decimals: int


@dataclass(frozen=True, slots=True)
class BoxOutput:
    """Boxes with scores; overlapping ones of a class are one."""

    name: str
    scores: str
    classes: str
    """The output with the class of each box; empty where the scores have a column for each."""
    form: BoxForm
    unit: CoordinateUnit
    activation: Activation
    overlap: float
    """Intersection over union from which on the weaker of two boxes is dropped."""
    most: int
    labels: tuple[ModelLabel, ...]


@dataclass(frozen=True, slots=True)
class ModelLandmark:
    """One point that the model finds."""

    index: int
    finding: Code
    site: Site | None


@dataclass(frozen=True, slots=True)
class LandmarkOutput:
    """Points, as coordinates."""

    name: str
    order: str
    """Of the coordinates, by the letters of the layout: WH, or DHW."""
    unit: CoordinateUnit
    points: tuple[ModelLandmark, ...]


@dataclass(frozen=True, slots=True)
class SegmentationOutput:
    """A label map, or scores of classes from which one is made."""

    name: str
    layout: str
    activation: Activation
    threshold: float
    """Of a sigmoid: what is at least this likely belongs to the segment."""
    largest_only: bool
    minimum_ml: float
    """Components that are smaller go."""
    segments: tuple[MappedSegment, ...]
    """`label` is the class's index."""


@dataclass(frozen=True, slots=True)
class HeatmapOutput:
    """A map of values over the images."""

    name: str
    layout: str
    index: int
    activation: Activation
    quantity: Code
    unit: Unit
    label: str


ModelOutput = ClassificationOutput | RegressionOutput | BoxOutput | LandmarkOutput | SegmentationOutput | HeatmapOutput


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """All that `[onnx]` says."""

    file: str
    """Below the plugin's folder."""
    given: ModelInput
    outputs: tuple[ModelOutput, ...]
    providers: tuple[str, ...] = (CPU_PROVIDER,)
    sliding: SlidingWindow | None = None

    @property
    def needs_gpu(self) -> bool:
        """Whether something else than the processor computes."""
        return any(each != CPU_PROVIDER for each in self.providers)

    @property
    def output_names(self) -> list[str]:
        """The model's outputs that are used."""
        found: list[Any] = []
        for each in self.outputs:
            found += [each.name, each.scores, each.classes] if isinstance(each, BoxOutput) else [each.name]
        return list(dict.fromkeys(name for name in found if name))

    def concepts(self) -> Iterator[Concept]:
        """The codes that its results have, with their units."""
        for output in self.outputs:
            yield from _concepts_of(output)


def _concepts_of(output: ModelOutput) -> Iterator[Concept]:
    match output:
        case ClassificationOutput(labels=labels) | BoxOutput(labels=labels):
            yield from (Concept(each.finding) for each in labels)
        case RegressionOutput():
            yield Concept(output.finding)
            yield Concept(output.concept, output.unit.code, output.minimum, output.maximum)
        case LandmarkOutput():
            yield from (Concept(each.finding) for each in output.points)
        case SegmentationOutput():
            yield from (Concept(each.heading) for each in output.segments)
            if any(each.parts for each in output.segments):
                yield Concept(codes.LONG_AXIS, codes.MILLIMETER.code)
            yield Concept(codes.VOLUME, codes.MILLILITER.code)
