"""From SOP instances to volumes: order, geometry, decoding; `plugins.stored_values` has what the values mean.

`volume` refuses what is no proper stack of parallel slices, with a `NotApplicableError` that says what
is wrong in words a radiologist or an admin can act on. It never guesses: an algorithm that measures
in a volume with a missing slice reports a wrong number.

Geometry: PS3.3 C.7.6.2 (Image Plane), C.7.6.16.2 (Pixel Measures, Plane Position, Plane Orientation of
enhanced multi-frame images).

Needs pydicom (and, for compressed images, its decoders).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import DeflatedExplicitVRLittleEndian

from plugins import stored_values
from plugins.contract import ImageReference, NotApplicableError, Volume
from plugins.stored_values import Meaning

DIRECTION_TOLERANCE = 1e-3
"""Difference of two direction cosines that is rounding, not another orientation."""
SHEAR_TOLERANCE = math.tan(math.radians(0.5))
"""Lean of the stack against the slice normal that still counts as upright (mm sideways per mm up)."""
SPACING_TOLERANCE = 0.05
"""Deviation of one gap from the median gap, as a share of it, that is rounding of positions."""
POSITION_TOLERANCE_MM = 0.02
"""The same in mm: positions are often written with two decimals."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame of one file, with all that decides where it lies and what its values mean."""

    file: Path
    reference: ImageReference
    series_instance_uid: str
    frame_of_reference_uid: str | None
    modality: str
    rows: int
    columns: int
    row_cosines: NDArray[np.float64]
    """Direction of increasing column index (along a row)."""
    column_cosines: NDArray[np.float64]
    """Direction of increasing row index (along a column)."""
    position: NDArray[np.float64]
    spacing: tuple[float, float]
    """mm between rows, between columns."""
    thickness: float | None
    stack_id: str
    meaning: Meaning
    """Of its stored values."""

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.row_cosines, self.column_cosines)

    @property
    def place(self) -> str:
        """How an error names this frame."""
        return _place(self.reference)


def _place(reference: ImageReference) -> str:
    frame = f", frame {reference.frame_number}" if reference.frame_number > 1 else ""
    return f"SOP instance {reference.sop_instance_uid}{frame}"


def headers(files: Iterable[Path]) -> list[Dataset]:
    """The instances' datasets without pixel data, in the order given.

    Raises `NotApplicableError` for a file that is not a DICOM file.
    """
    return [_header(file) for file in files]


def volume(files: Sequence[Path], stack_id: str | None = None) -> Volume:
    """One volume from the single-frame or enhanced multi-frame instances of one series.

    `stack_id` chooses one stack of an enhanced image that has several (PS3.3 C.7.6.16.2.2).
    Slices are ordered along the slice normal (row direction × column direction): an axial series
    with the usual orientation comes feet to head whatever the order of its files.

    Raises `NotApplicableError` for: no files, localizers, colour, missing pixel data or geometry, mixed
    series, sizes, orientations, spacings or frames of reference, two frames at one position, missing
    slices, varying spacing, a sheared stack (gantry tilt), pixels that do not decode; and for values whose meaning
    is not certain (`plugins.stored_values`): CT and PET without rescale, slope without intercept, rescale of some
    images only or outside of the functional groups, High Bit that contradicts Bits Stored, mixed units.
    Values that a scanner writes outside its field of view (Pixel Padding Value) are rescaled like the others.
    """
    frames = [frame for header, file in zip(headers(files), files, strict=True) for frame in _frames(header, file)]
    if not frames:
        raise NotApplicableError("The series holds no images.")
    frames = _one_stack(frames, stack_id)
    _refuse_mixtures(frames)
    frame_of_reference = _frame_of_reference(frames)
    frames = _ordered(frames)
    step = _step(frames)
    stored_values.refuse_mixed([(frame.place, frame.meaning) for frame in frames])
    first = frames[0]
    affine = np.eye(4)
    affine[:3, 0] = first.row_cosines * first.spacing[1]
    affine[:3, 1] = first.column_cosines * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return Volume(
        array=_decoded(frames),
        spacing=(float(np.linalg.norm(step)), *first.spacing),
        affine=affine,
        frames=tuple(frame.reference for frame in frames),
        frame_of_reference_uid=frame_of_reference,
    )


# --- frames --------------------------------------------------------------------------------------


def _header(file: Path) -> Dataset:
    try:
        return pydicom.dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError, EOFError) as error:
        raise NotApplicableError(f"The file {file.name} cannot be read as DICOM ({type(error).__name__}).") from error


def _frames(header: Dataset, file: Path) -> Iterator[_Frame]:
    instance = f"SOP instance {header.get('SOPInstanceUID', file.name)}"
    if "LOCALIZER" in (header.get("ImageType") or ()):
        raise NotApplicableError(
            f"The series holds a localizer ({instance}); choose the series or the images without it."
        )
    if "Rows" not in header or "Columns" not in header:
        raise NotApplicableError(f"{instance} has no pixel data.")
    samples, photometric = header.get("SamplesPerPixel", 1), header.get("PhotometricInterpretation", "")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise NotApplicableError(f"{instance} is a colour image ({photometric}), not a greyscale one.")
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    count = stored_values.whole_number(header, "NumberOfFrames", instance) or 1
    if per_frame:
        if len(per_frame) != count:
            raise NotApplicableError(f"{instance} has {count} frames, but positions for {len(per_frame)}.")
        shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        for number, own in enumerate(per_frame, start=1):
            yield _frame(header, file, number, _Attributes((own, shared), header))
    elif count == 1:
        yield _frame(header, file, 1, _Attributes((), header))
    else:
        raise NotApplicableError(f"{instance} has {count} frames, but no positions for them.")


@dataclass(frozen=True, slots=True)
class _Attributes:
    """Attributes of one frame: in its own functional groups, the shared ones, or the dataset itself."""

    groups: tuple[Dataset, ...]
    header: Dataset

    def within(self, sequence: str) -> Dataset:
        """The item of the functional group macro `sequence`; the dataset itself in a single-frame image."""
        return next(iter(self._items(sequence)), Dataset()) if self.groups else self.header

    def _items(self, sequence: str) -> list[Dataset]:
        """All items of the macro: one, where the header is as it should be."""
        return [item for group in self.groups for item in group.get(sequence) or ()]

    def numbers(self, sequence: str, keyword: str, count: int) -> NDArray[np.float64]:
        uid = self.header.get("SOPInstanceUID", "without UID")
        try:
            value = self.within(sequence).get(keyword)
            is_contradicted = any(item.get(keyword) != value for item in self._items(sequence)[1:])
            numbers = np.array([stored_values.decimal(item) for item in ([value] if count == 1 else value)])
        except (TypeError, ValueError):
            is_contradicted, numbers = False, np.empty(0)
        if is_contradicted:
            raise NotApplicableError(f"SOP instance {uid} has more than one {keyword}, so its place is unknown.")
        if len(numbers) != count or not np.isfinite(numbers).all():
            raise NotApplicableError(f"SOP instance {uid} has no usable {keyword}, so its place is unknown.")
        return numbers


def _frame(header: Dataset, file: Path, number: int, attributes: _Attributes) -> _Frame:
    orientation = attributes.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = attributes.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    uid = str(header.get("SOPInstanceUID", ""))
    if not _perpendicular(orientation) or (spacing <= 0).any():
        raise NotApplicableError(
            f"SOP instance {uid} has an impossible ImageOrientationPatient or PixelSpacing, so its place is unknown."
        )
    reference = ImageReference(uid, number)
    return _Frame(
        file=file,
        reference=reference,
        series_instance_uid=str(header.get("SeriesInstanceUID", "")),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID") or "") or None,
        modality=str(header.get("Modality", "")),
        rows=stored_values.whole_number(header, "Rows", _place(reference)) or 0,
        columns=stored_values.whole_number(header, "Columns", _place(reference)) or 0,
        row_cosines=orientation[:3],
        column_cosines=orientation[3:],
        position=attributes.numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        spacing=(float(spacing[0]), float(spacing[1])),
        thickness=_thickness(attributes.within("PixelMeasuresSequence")),
        stack_id=str(attributes.within("FrameContentSequence").get("StackID", "")) if attributes.groups else "",
        meaning=stored_values.meaning(header, attributes.groups, _place(reference)),
    )


def _perpendicular(orientation: NDArray[np.float64]) -> bool:
    row, column = orientation[:3], orientation[3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    return bool((np.abs(lengths - 1) < 0.01).all() and abs(row @ column) < 0.01)


def _thickness(measures: Dataset) -> float | None:
    """mm that a single image stands for; None where nothing usable is said. Its sign is the direction of counting."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        try:
            value = abs(stored_values.decimal(measures.get(keyword) or 0))
        except (TypeError, ValueError):
            continue
        if value > 0 and math.isfinite(value):
            return value
    return None


# --- one proper stack ----------------------------------------------------------------------------


def _one_stack(frames: list[_Frame], stack_id: str | None) -> list[_Frame]:
    stacks = sorted({frame.stack_id for frame in frames})
    if stack_id is not None:
        if stack_id not in stacks:
            raise NotApplicableError(f"There is no stack {stack_id!r}; the stacks are {', '.join(stacks)}.")
        return [frame for frame in frames if frame.stack_id == stack_id]
    if len(stacks) > 1:
        raise NotApplicableError(f"The images hold {len(stacks)} stacks ({', '.join(stacks)}); one must be chosen.")
    return frames


def _refuse_mixtures(frames: list[_Frame]) -> None:
    """Raise where the frames differ in something that one volume has once."""
    first = frames[0]
    for frame in frames:
        if frame.series_instance_uid != first.series_instance_uid:
            raise NotApplicableError("The images are of more than one series.")
        if (frame.rows, frame.columns) != (first.rows, first.columns):
            raise NotApplicableError(
                f"The images differ in size: {first.rows} × {first.columns} and {frame.rows} × {frame.columns} "
                f"({frame.place})."
            )
        turned = np.abs(np.r_[frame.row_cosines - first.row_cosines, frame.column_cosines - first.column_cosines])
        if turned.max() > DIRECTION_TOLERANCE:
            raise NotApplicableError(f"The images differ in orientation ({frame.place}).")
        if not np.allclose(frame.spacing, first.spacing, rtol=1e-3):
            raise NotApplicableError(f"The images differ in pixel spacing ({frame.place}).")
        if frame.modality != first.modality:
            raise NotApplicableError(f"The images differ in Modality: {first.modality} and {frame.modality}.")


def _frame_of_reference(frames: list[_Frame]) -> str | None:
    """The frame of reference of all frames; None where there is none to be named.

    Some de-identification tools (that of the LIDC-IDRI collection, for one) gave every instance of a series a
    frame of reference of its own. That is not a mixture of two coordinate systems, and is let pass.
    """
    uids = {frame.frame_of_reference_uid for frame in frames}
    if len(uids) == 1:
        return uids.pop()
    instances = {frame.reference.sop_instance_uid for frame in frames}
    if len(uids) == len(instances) > 2:
        return None
    raise NotApplicableError(f"The images are in {len(uids)} different frames of reference.")


def _ordered(frames: list[_Frame]) -> list[_Frame]:
    """The frames along the normal of the first one, each at a place of its own."""
    normal = frames[0].normal
    heights = np.array([frame.position @ normal for frame in frames])
    order = np.argsort(heights, kind="stable")
    shared = int((np.diff(heights[order]) < POSITION_TOLERANCE_MM / 2).sum())
    if shared:
        raise NotApplicableError(
            f"The {len(frames)} images lie at {len(frames) - shared} positions only: the series holds several "
            "phases, echoes or reconstructions, or an image twice."
        )
    return [frames[index] for index in order]


def _step(frames: list[_Frame]) -> NDArray[np.float64]:
    """Vector in mm from one slice to the next; raises where there is not one for all."""
    first, last = frames[0], frames[-1]
    if len(frames) == 1:
        if first.thickness is None:
            raise NotApplicableError("There is a single image, and its slice thickness is not given.")
        return first.normal * first.thickness
    step = (last.position - first.position) / (len(frames) - 1)
    normal = first.normal
    sideways = np.linalg.norm(step - (step @ normal) * normal) / (step @ normal)
    if sideways > SHEAR_TOLERANCE:
        raise NotApplicableError(
            f"The stack is sheared: it leans by {math.degrees(math.atan(sideways)):.1f}° against its slices "
            "(gantry tilt). It must be reconstructed without tilt."
        )
    _refuse_gaps(np.diff([frame.position @ normal for frame in frames]))
    for index, frame in enumerate(frames):
        off = frame.position - (first.position + index * step)
        if np.linalg.norm(off - (off @ normal) * normal) > max(first.spacing) / 2:
            raise NotApplicableError(f"The slices are shifted against each other within their planes ({frame.place}).")
    return step


def _refuse_gaps(gaps: NDArray[np.float64]) -> None:
    usual = float(np.median(gaps))
    tolerance = max(SPACING_TOLERANCE * usual, POSITION_TOLERANCE_MM)
    odd = gaps[np.abs(gaps - usual) > tolerance]
    if not len(odd):
        return
    multiples = odd / usual
    if len(odd) < len(gaps) / 2 and (np.abs(multiples - np.round(multiples)) < 2 * SPACING_TOLERANCE).all():
        missing = int((np.round(multiples) - 1).sum())
        raise NotApplicableError(
            f"{missing} slice{'s are' if missing > 1 else ' is'} missing: the slices are {usual:.3g} mm apart, "
            f"but there are gaps of up to {gaps.max():.3g} mm."
        )
    raise NotApplicableError(f"The spacing of the slices varies from {gaps.min():.3g} to {gaps.max():.3g} mm.")


# --- values --------------------------------------------------------------------------------------


def _decoded(frames: list[_Frame]) -> NDArray[np.float32]:
    """Rescaled values of all frames in their order; each file is opened once, one frame is in memory at a time."""
    array = np.empty((len(frames), frames[0].rows, frames[0].columns), dtype=np.float32)
    by_file = sorted(enumerate(frames), key=lambda entry: (entry[1].file, entry[1].reference.frame_number))
    for file, group in groupby(by_file, key=lambda entry: entry[1].file):
        entries = list(group)
        indices = [frame.reference.frame_number - 1 for _, frame in entries]
        try:
            pixels = iter_pixels(_decodable(file), indices=indices, correct_unused_bits=False)
            for (place, frame), raw in zip(entries, pixels, strict=True):
                array[place] = _numbers(raw, frame)
        except NotApplicableError:
            raise
        except Exception as error:  # decoders raise whatever their libraries raise; each means the same
            raise NotApplicableError(
                f"The pixels of SOP instance {entries[0][1].reference.sop_instance_uid} cannot be decoded "
                f"({type(error).__name__})."
            ) from error
    return array


def _decodable(file: Path) -> Path | Dataset:
    """What pydicom decodes frame by frame: the file, but all of a deflated one, which it does not inflate."""
    is_deflated = read_file_meta_info(file).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    return pydicom.dcmread(file) if is_deflated else file


def _numbers(raw: NDArray[np.generic], frame: _Frame) -> NDArray[np.float32]:
    if raw.shape != (frame.rows, frame.columns):
        raise NotApplicableError(f"{frame.place} decodes to {raw.shape}, not to {frame.rows} × {frame.columns}.")
    return stored_values.applied(raw, frame.meaning, frame.place)
