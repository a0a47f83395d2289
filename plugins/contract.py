"""What an AI plugin is given and what it returns: the whole contract, in stdlib and numpy.

In the words of the IHE Radiology *AI Results* (AIR) profile. A plugin is a class with one method,
`analyse(study, parameters) -> Result`. It says what it saw; how that becomes DICOM is the node's
affair (`node/results`), and the identity of the algorithm is in its manifest, never in a result.

Each class checks itself when it is made, and raises `ContractError` naming the field: an author
sees the mistake in the line that made it, not in a PACS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from plugins.labels import label_counts

if TYPE_CHECKING:
    from pydicom import Dataset

SUMMARY_LIMIT = 1024
"""Characters of `Result.summary`: the most that a text item of an SR page shows in every viewer known to us."""


class ContractError(ValueError):
    """A result (or a part of one) that could not be reported as it is; the message names the field."""


class NotApplicableError(Exception):
    """Raised by a plugin (or by `Series.volume()`) when these images are not what the algorithm is for.

    The message is the reason, and it is what the radiologist reads: the job ends `not_applicable`.
    """


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ContractError(message)


# --- codes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 8.8): value, coding scheme designator, meaning (≤ 64 characters)."""

    value: str
    scheme: str
    meaning: str

    def __post_init__(self) -> None:
        _require(
            bool(self.value) and bool(self.scheme) and bool(self.meaning),
            f"Code: value, scheme and meaning must all be given, not {self!r}",
        )
        _require(len(self.scheme) <= 16, f"Code.scheme: {self.scheme!r} has more than 16 characters")
        _require(len(self.meaning) <= 64, f"Code.meaning: {self.meaning!r} has more than 64 characters")


@dataclass(frozen=True, slots=True)
class Site:
    """Where in the body: an anatomic region (CID 4031 or any other), with its laterality where it has one."""

    region: Code
    laterality: Code | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """A UCUM unit: `code` is case-sensitive UCUM ("mm", "mL", "[hnsf'U]", "%", "1"), `meaning` is for people."""

    code: str
    meaning: str

    def __post_init__(self) -> None:
        _require(bool(self.code) and bool(self.meaning), "Unit: code and meaning must both be given")


# --- where on the images -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One frame of one source image; `frame_number` counts from 1 (PS3.3 C.7.6.6)."""

    sop_instance_uid: str
    frame_number: int = 1

    def __post_init__(self) -> None:
        _require(self.frame_number >= 1, f"ImageReference.frame_number: {self.frame_number} is below 1")


@dataclass(frozen=True)
class _Region:
    """Coordinates on one image, or in the patient.

    With `image`: (n, 2) array of (column, row), sub-pixel; the centre of the top-left pixel is
    (0.5, 0.5) (PS3.3 C.18.6.1.2). Without: (n, 3) array of x, y, z in mm, LPS, in the frame of
    reference `frame_of_reference_uid` (PS3.3 C.18.9).
    """

    points: NDArray[np.float64]
    image: ImageReference | None = None
    frame_of_reference_uid: str | None = None

    counts: ClassVar[tuple[int, int | None]] = (1, None)

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64)
        if points.ndim == 1:
            points = points[np.newaxis, :]
        object.__setattr__(self, "points", points)
        name = type(self).__name__
        _require(points.ndim == 2, f"{name}.points: expected (n, 2) or (n, 3), got shape {points.shape}")
        _require(bool(np.isfinite(points).all()), f"{name}.points: holds a coordinate that is not a number")
        least, most = self.counts
        _require(
            len(points) >= least and (most is None or len(points) <= most),
            f"{name}.points: {len(points)} points, expected {least if least == most else f'{least} or more'}",
        )
        if self.image is not None:
            _require(
                points.shape[1] == 2,
                f"{name}.points: on an image they are (column, row), got {points.shape[1]} values each",
            )
            _require(bool((points >= 0).all()), f"{name}.points: a coordinate on an image cannot be negative")
        else:
            _require(
                points.shape[1] == 3,
                f"{name}.points: without an image they are (x, y, z) in mm, got {points.shape[1]} values each",
            )
            _require(
                self.frame_of_reference_uid is not None,
                f"{name}.frame_of_reference_uid: needed for patient coordinates",
            )


@dataclass(frozen=True)
class Point(_Region):
    """One point."""

    counts: ClassVar[tuple[int, int | None]] = (1, 1)


@dataclass(frozen=True)
class Polyline(_Region):
    """An open line through two or more points; with two it can carry a length."""

    counts: ClassVar[tuple[int, int | None]] = (2, None)


@dataclass(frozen=True)
class Box(_Region):
    """An axis-parallel rectangle on one image, by two opposite corners."""

    counts: ClassVar[tuple[int, int | None]] = (2, 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.image is not None, "Box.image: a box lies on one image")


@dataclass(frozen=True)
class Polygon(_Region):
    """A closed, planar outline of three or more points; the first is not repeated."""

    counts: ClassVar[tuple[int, int | None]] = (3, None)


@dataclass(frozen=True)
class Ellipse(_Region):
    """Four points: ends of the major axis, then ends of the minor axis (PS3.3 C.18.6.1.2)."""

    counts: ClassVar[tuple[int, int | None]] = (4, 4)


Region = Point | Polyline | Box | Polygon | Ellipse


# --- numbers -------------------------------------------------------------------------------------


class NoValue(StrEnum):
    """Why a measurement has no value (CID 42, the part an algorithm can know)."""

    CANNOT_BE_COMPUTED = "cannot_be_computed"
    """114006: the measurement failed."""
    NOT_ATTEMPTED = "not_attempted"
    """114007: it was not attempted on these images."""


@dataclass(frozen=True, slots=True)
class ReferenceRange:
    """The range called normal, in the unit of the measurement, and who calls it so."""

    low: float | None
    high: float | None
    source: str

    def __post_init__(self) -> None:
        _require(self.low is not None or self.high is not None, "ReferenceRange: low, high or both must be given")
        _require(bool(self.source), "ReferenceRange.source: a range without its source is not evidence")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number with its meaning; `value` is finite, or None together with `no_value`."""

    concept: Code
    value: float | None
    unit: Unit
    no_value: NoValue | None = None
    derivation: Code | None = None
    method: Code | None = None
    reference_range: ReferenceRange | None = None
    site: Site | None = None
    decimals: int = 2
    """Digits behind the point that mean something: what people are shown. The SR holds the value as it is."""

    def __post_init__(self) -> None:
        name = f"Measurement {self.concept.meaning!r}"
        _require(
            (self.value is None) == (self.no_value is not None),
            f"{name}: give a value, or the reason in no_value why there is none",
        )
        _require(
            self.value is None or math.isfinite(self.value),
            f"{name}.value: {self.value} is not a finite number; use no_value",
        )
        _require(0 <= self.decimals <= 9, f"{name}.decimals: {self.decimals} is not within 0 to 9")


@dataclass(frozen=True, slots=True)
class Score:
    """How sure, or how likely: a value on a stated scale, the threshold in use and what it means."""

    value: float
    threshold: float | None = None
    meaning: str = "Likelihood of finding"
    unit: Unit = Unit("1", "no units")
    concept: Code | None = None
    """The coded concept where one exists (CID 6047); else the node declares a private code for `meaning`."""

    def __post_init__(self) -> None:
        _require(math.isfinite(self.value), f"Score.value: {self.value} is not a finite number")
        _require(self.threshold is None or math.isfinite(self.threshold), "Score.threshold: not a finite number")
        _require(0 < len(self.meaning) <= 64, "Score.meaning: 1 to 64 characters")


@dataclass(frozen=True)
class Finding:
    """One thing looked for: found or not, where, how sure, and its numbers.

    `present=None` says that the finding is a heading for measurements only (lung density is
    measured, it is neither present nor absent).
    """

    code: Code
    present: bool | None = None
    score: Score | None = None
    site: Site | None = None
    measurements: tuple[Measurement, ...] = ()
    regions: tuple[Region, ...] = ()
    segments: tuple[int, ...] = ()
    """Segment numbers in `Result.segmentation` that show this finding."""
    tracking_id: str | None = None
    """A name for this lesion, ≤ 64 characters, unique in the result; the node makes one where it is None."""
    urgent: bool = False
    comment: str = ""

    def __post_init__(self) -> None:
        name = f"Finding {self.code.meaning!r}"
        for attribute in ("measurements", "regions", "segments"):
            object.__setattr__(self, attribute, tuple(getattr(self, attribute)))
        _require(self.tracking_id is None or 0 < len(self.tracking_id) <= 64, f"{name}.tracking_id: 1 to 64 characters")
        _require(not (self.urgent and self.present is False), f"{name}: urgent, but absent")
        _require(self.present is not False or not self.regions, f"{name}: absent, but it has regions")
        _require(
            len(self.comment) <= SUMMARY_LIMIT,
            f"{name}.comment: {len(self.comment)} characters, at most {SUMMARY_LIMIT}",
        )


# --- pictures and maps ---------------------------------------------------------------------------


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
        _require(1 <= self.number <= 65535, f"Segment.number: {self.number} is not within 1 to 65535")
        _require(0 < len(self.label) <= 64, "Segment.label: 1 to 64 characters")
        _require(
            self.colour is None or all(0 <= value <= 255 for value in self.colour),
            f"Segment.colour: {self.colour} is not red, green and blue within 0 to 255",
        )


def _labels_of(plane: NDArray[np.unsignedinteger[Any]]) -> Sequence[int]:
    """The labels of one plane; without sorting it where that is not needed."""
    found = np.unique(plane) if plane.dtype.itemsize > 2 else np.flatnonzero(label_counts(plane))
    return [int(label) for label in found]


def _as_label_map(arrays: Sequence[NDArray[Any]]) -> NDArray[Any] | tuple[NDArray[Any], ...]:
    """Arrays of one size as one array; of several as they are."""
    planes = tuple(np.asarray(array) for array in arrays)
    same = len({(plane.shape, plane.dtype) for plane in planes}) == 1 and planes[0].ndim == 2
    return np.stack(planes) if same else planes


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
        object.__setattr__(self, "frames", tuple(self.frames))
        object.__setattr__(self, "segments", tuple(self.segments))
        if not isinstance(self.labels, np.ndarray):
            object.__setattr__(self, "labels", _as_label_map(self.labels))
        labels = self.labels if isinstance(self.labels, tuple) else (self.labels,)
        for array in labels:
            expected = (2, "(rows, columns)") if isinstance(self.labels, tuple) else (3, "(slices, rows, columns)")
            _require(array.ndim == expected[0], f"Segmentation.labels: expected {expected[1]}, got shape {array.shape}")
            _require(array.dtype.kind == "u", f"Segmentation.labels: expected unsigned integers, got {array.dtype}")
        _require(
            len(self.frames) == len(self.planes),
            f"Segmentation.frames: {len(self.frames)} references for {len(self.planes)} slices",
        )
        numbers = [segment.number for segment in self.segments]
        _require(len(set(numbers)) == len(numbers), "Segmentation.segments: a number occurs twice")
        used = {number for plane in self.planes for number in _labels_of(plane)}
        unknown = sorted(used - {0} - set(numbers))
        _require(not unknown, f"Segmentation.labels: holds {unknown}, which no segment describes")

    @property
    def planes(self) -> Sequence[NDArray[np.unsignedinteger[Any]]]:
        """The labels of each frame: (rows, columns)."""
        return list(self.labels)


@dataclass(frozen=True)
class Heatmap:
    """A float map aligned with frames of a series: shape (slices, rows, columns), one frame reference per slice."""

    values: NDArray[np.float32]
    frames: tuple[ImageReference, ...]
    quantity: Code
    """What the values are (CID 7180): saliency 130404, class activation 130402, …"""
    unit: Unit = Unit("1", "no units")
    label: str = "Heat map"

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", tuple(self.frames))
        values = np.asarray(self.values, dtype=np.float32)
        if values.ndim == 2:
            values = values[np.newaxis]
        object.__setattr__(self, "values", values)
        _require(values.ndim == 3, f"Heatmap.values: expected (slices, rows, columns), got shape {values.shape}")
        _require(
            len(self.frames) == values.shape[0],
            f"Heatmap.frames: {len(self.frames)} references for {values.shape[0]} slices",
        )
        finite = all(np.isfinite(plane).all() for plane in values)
        _require(finite, "Heatmap.values: holds a value that is not finite")


@dataclass(frozen=True, slots=True)
class KeyImage:
    """A source image worth looking at, and why (≤ 128 characters)."""

    image: ImageReference
    reason: str
    window: tuple[float, float] | None = None
    """Window centre and width to show it with, in rescaled units; None takes the image's own."""

    def __post_init__(self) -> None:
        _require(0 < len(self.reason) <= 128, "KeyImage.reason: 1 to 128 characters")
        _require(
            self.window is None or (math.isfinite(self.window[0]) and 0 < self.window[1] < math.inf),
            f"KeyImage.window: {self.window} is not a centre and a positive width",
        )


@dataclass(frozen=True)
class Picture:
    """An RGB picture that the plugin drew itself: uint8, shape (rows, columns, 3), with its caption."""

    pixels: NDArray[np.uint8]
    caption: str
    sources: tuple[ImageReference, ...] = ()
    """The images it was derived from; empty means: all that the plugin was given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))
        pixels = np.asarray(self.pixels)
        _require(pixels.dtype == np.uint8, f"Picture.pixels: expected uint8, got {pixels.dtype}")
        _require(
            pixels.ndim == 3 and pixels.shape[2] == 3,
            f"Picture.pixels: expected (rows, columns, 3), got shape {pixels.shape}",
        )
        _require(
            min(pixels.shape[:2]) > 0 and max(pixels.shape[:2]) <= 4096,
            f"Picture.pixels: {pixels.shape[:2]} is not within 1 to 4096 pixels a side",
        )
        _require(0 < len(self.caption) <= 128, "Picture.caption: 1 to 128 characters")


# --- the result ----------------------------------------------------------------------------------


class ResultStatus(StrEnum):
    """How an analysis ended."""

    FINDINGS = "findings"
    """Something was found or measured."""
    NO_FINDINGS = "no_findings"
    """What was looked for was looked for properly, and is not there."""
    NOT_APPLICABLE = "not_applicable"
    """These images are not what the algorithm is for; nothing was looked for."""
    FAILED = "failed"
    """It should have worked and did not; nothing can be concluded."""


@dataclass(frozen=True)
class Result:
    """All that a plugin has to say about one study.

    `summary` is for a human (≤ 1,024 characters): the answer in a sentence or two, or the reason
    why there is none. Findings may be absent findings: `no_findings` names what was looked for.
    """

    status: ResultStatus
    summary: str
    findings: tuple[Finding, ...] = ()
    segmentation: Segmentation | None = None
    heatmaps: tuple[Heatmap, ...] = ()
    key_images: tuple[KeyImage, ...] = ()
    pictures: tuple[Picture, ...] = ()
    quality: tuple[str, ...] = ()
    """Limits a reader should know (≤ 256 characters each): "4 % of lung voxels touch the image border"."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", ResultStatus(self.status))
        for attribute in ("findings", "heatmaps", "key_images", "pictures", "quality"):
            object.__setattr__(self, attribute, tuple(getattr(self, attribute)))
        _require(bool(self.summary.strip()), "Result.summary: must say something")
        _require(
            len(self.summary) <= SUMMARY_LIMIT,
            f"Result.summary: {len(self.summary)} characters, at most {SUMMARY_LIMIT}",
        )
        _require(all(0 < len(text) <= 256 for text in self.quality), "Result.quality: 1 to 256 characters each")
        self._check_status()
        self._check_references()

    def _check_status(self) -> None:
        if self.status is ResultStatus.FINDINGS:
            _require(
                any(finding.present is not False for finding in self.findings),
                "Result.findings: status is 'findings', but none is present or measured",
            )
        elif self.status is ResultStatus.NO_FINDINGS:
            _require(
                bool(self.findings),
                "Result.findings: status is 'no_findings'; name what was looked for as absent findings",
            )
            _require(
                not any(finding.present for finding in self.findings),
                "Result.findings: status is 'no_findings', but one is present",
            )
        else:
            _require(not self.findings, f"Result.findings: must be empty when the status is {self.status.value!r}")

    def _check_references(self) -> None:
        tracking = [finding.tracking_id for finding in self.findings if finding.tracking_id]
        _require(len(set(tracking)) == len(tracking), "Finding.tracking_id: occurs twice in one result")
        known = {segment.number for segment in self.segmentation.segments} if self.segmentation else set()
        for finding in self.findings:
            missing = set(finding.segments) - known
            _require(
                not missing, f"Finding {finding.code.meaning!r}.segments: {sorted(missing)} are not in the segmentation"
            )


# --- what comes in -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Volume:
    """A stack of parallel slices, ordered along the slice normal.

    `array`: float32, shape (slices, rows, columns), in rescaled units (HU for CT).
    `spacing`: mm between slices, rows, columns, in that order.
    `affine`: 4 × 4; maps (column, row, slice, 1) indices at pixel centres to x, y, z in mm, LPS.
    `frames`: the source frame of each slice.
    """

    array: NDArray[np.float32]
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]
    frames: tuple[ImageReference, ...]
    frame_of_reference_uid: str | None = None

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mL."""
        return float(np.prod(self.spacing)) / 1000.0


@dataclass(frozen=True)
class Series:
    """One series, or the chosen part of one: headers on demand, pixels on demand."""

    series_instance_uid: str
    modality: str
    description: str
    files: tuple[Path, ...]
    role: str = ""
    """The name under which the rule hands it over ("t1", "prior"); empty where it gives none."""

    def headers(self) -> list[Dataset]:
        """The instances' datasets without pixel data, in the order of `files` (needs pydicom)."""
        from plugins import imaging

        return imaging.headers(self.files)

    def volume(self) -> Volume:
        """The series as one volume (needs pydicom); see `plugins.imaging.volume` for what it refuses.

        Raises `NotApplicableError` where the instances are no proper stack: slices missing, mixed
        orientation, gantry tilt, varying spacing, pixels that do not decode.
        """
        from plugins import imaging

        return imaging.volume(self.files)


@dataclass(frozen=True)
class Study:
    """What a plugin is given: the chosen series of one study, and the few facts algorithms ask for."""

    study_instance_uid: str
    series: tuple[Series, ...]
    patient_sex: str = ""
    patient_age: float | None = None
    """Years, from PatientAge or PatientBirthDate and StudyDate; None where neither is known."""
    study_date: date | None = None
    scratch: Path | None = None
    """A folder for temporary files, gone after the job."""

    def by_role(self, role: str) -> Series:
        """The one series handed over under `role`; `ContractError` where there is none or more than one."""
        found = [series for series in self.series if series.role == role]
        _require(len(found) == 1, f"Study: {len(found)} series have the role {role!r}, expected one")
        return found[0]


Parameters = Mapping[str, Any]


@runtime_checkable
class Plugin(Protocol):
    """What an author writes: one class, one method. A warm model is loaded in `__init__`."""

    def analyse(self, study: Study, parameters: Parameters) -> Result:
        """Look at the study; raise `NotApplicableError` with a reason for images this is not for."""
        ...


# --- who the algorithm is ------------------------------------------------------------------------


@dataclass(frozen=True)
class AlgorithmIdentity:
    """Who made the result (AIR: Content Creator): from the manifest, the same for all of its results."""

    name: str
    version: str
    manufacturer: str
    family: Code = Code("123110", "DCM", "Artificial Intelligence")
    model_name: str = ""
    """ManufacturerModelName; the name where it is empty."""
    udi: str = ""
    """Unique device identifier of a registered device, where there is one."""
    weights_digest: str = ""
    """SHA-256 of all files that hold what was learnt; part of the device UID: a retrained model is another device."""
    intended_use: str = ""
    """One sentence: what it is for, and what it is not."""
    parameters: Sequence[tuple[str, str]] = field(default=())

    def __post_init__(self) -> None:
        for name in ("name", "version", "manufacturer"):
            value = getattr(self, name)
            _require(0 < len(value) <= 64, f"AlgorithmIdentity.{name}: 1 to 64 characters")
