"""The frames of files: where each one lies, what its values mean and how it was acquired, read from headers alone.

Geometry: PS3.3 C.7.6.2 (Image Plane), C.7.6.16.2 (Pixel Measures, Plane Position, Plane Orientation of
enhanced multi-frame images).

Needs pydicom.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from plugins import acquisition, attribute_numbers, stored_values
from plugins.acquisition import Acquisition
from plugins.images import ImageReference, NotApplicableError
from plugins.stored_values import Meaning


@dataclass(frozen=True, slots=True)
class ImageFrame:
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
    acquisition: Acquisition
    """How it was acquired and reconstructed."""

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction in which slices are ordered: that of the rows × that of the columns."""
        return np.cross(self.row_cosines, self.column_cosines)

    @property
    def place(self) -> str:
        """How an error names this frame."""
        return _place(self.reference)


def _place(reference: ImageReference) -> str:
    frame = f", frame {reference.frame_number}" if reference.frame_number > 1 else ""
    return f"SOP instance {reference.sop_instance_uid}{frame}"


def frames_of_files(files: Sequence[Path]) -> list[ImageFrame]:
    """All frames of the files, in their order; raises `NotApplicableError` where one is no slice of a volume."""
    return [frame for frame, _ in described_frames(files)]


def described_frames(files: Sequence[Path]) -> list[tuple[ImageFrame, FrameAttributes]]:
    """The same, each with the attributes it was read from."""
    frames = [each for header, file in zip(headers(files), files, strict=True) for each in _frames(header, file)]
    if not frames:
        raise NotApplicableError("The series holds no images.")
    return frames


def headers(files: Iterable[Path]) -> list[Dataset]:
    """The instances' datasets without pixel data, in the order given.

    Raises `NotApplicableError` for a file that is not a DICOM file.
    """
    return [_header(file) for file in files]


_GREYSCALE = ("MONOCHROME1", "MONOCHROME2")


def _header(file: Path) -> Dataset:
    try:
        return pydicom.dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError, EOFError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is another kind of file, or damaged"
        raise NotApplicableError(f"The file {file.name} cannot be read as DICOM: {why}.") from error


def _frames(header: Dataset, file: Path) -> Iterator[tuple[ImageFrame, FrameAttributes]]:
    instance = f"SOP instance {header.get('SOPInstanceUID', file.name)}"
    if "LOCALIZER" in (header.get("ImageType") or ()):
        raise NotApplicableError(
            f"The series holds a localizer ({instance}); choose the series or the images without it."
        )
    if "MOSAIC" in (header.get("ImageType") or ()):
        raise NotApplicableError(
            f"{instance} is a mosaic (Image Type): many slices side by side as one image, whose places are unknown."
        )
    if "Rows" not in header or "Columns" not in header:
        raise NotApplicableError(f"{instance} has no pixel data.")
    samples, photometric = header.get("SamplesPerPixel", 1), header.get("PhotometricInterpretation", "")
    if samples != 1 and photometric in _GREYSCALE:
        raise NotApplicableError(
            f"The header of {instance} contradicts itself: {photometric} with {samples} samples a pixel."
        )
    if samples != 1 or photometric not in _GREYSCALE:
        raise NotApplicableError(f"{instance} is a colour image ({photometric}), not a greyscale one.")
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    count = attribute_numbers.whole_number(header, "NumberOfFrames", instance) or 1
    if per_frame:
        if len(per_frame) != count:
            raise NotApplicableError(f"{instance} has {count} frames, but positions for {len(per_frame)}.")
        shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        for number, own in enumerate(per_frame, start=1):
            attributes = FrameAttributes((own, shared), header)
            yield _frame(header, file, number, attributes), attributes
    elif count == 1:
        attributes = FrameAttributes((), header)
        yield _frame(header, file, 1, attributes), attributes
    else:
        raise NotApplicableError(f"{instance} has {count} frames, but no positions for them.")


@dataclass(frozen=True, slots=True)
class FrameAttributes:
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
        """This many finite numbers of an attribute within a macro; raises where there are others."""
        uid = self.header.get("SOPInstanceUID", "without UID")
        try:
            value = self.within(sequence).get(keyword)
            is_contradicted = any(item.get(keyword) != value for item in self._items(sequence)[1:])
            numbers = np.array([attribute_numbers.decimal(item) for item in ([value] if count == 1 else value)])
        except (TypeError, ValueError):
            is_contradicted, numbers = False, np.empty(0)
        if is_contradicted:
            raise NotApplicableError(f"SOP instance {uid} has more than one {keyword}, so its place is unknown.")
        if len(numbers) != count or not np.isfinite(numbers).all():
            raise NotApplicableError(f"SOP instance {uid} has no usable {keyword}, so its place is unknown.")
        return numbers


def _frame(header: Dataset, file: Path, number: int, attributes: FrameAttributes) -> ImageFrame:
    orientation = attributes.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = attributes.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    uid = str(header.get("SOPInstanceUID", ""))
    if not perpendicular(orientation) or (spacing <= 0).any():
        raise NotApplicableError(
            f"SOP instance {uid} has an impossible ImageOrientationPatient or PixelSpacing, so its place is unknown."
        )
    reference = ImageReference(uid, number)
    acquisition.refuse_hidden_tilt(orientation, header, attributes.groups, _place(reference))
    return ImageFrame(
        file=file,
        reference=reference,
        series_instance_uid=str(header.get("SeriesInstanceUID", "")),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID") or "") or None,
        modality=str(header.get("Modality", "")),
        rows=attribute_numbers.whole_number(header, "Rows", _place(reference)) or 0,
        columns=attribute_numbers.whole_number(header, "Columns", _place(reference)) or 0,
        row_cosines=orientation[:3],
        column_cosines=orientation[3:],
        position=attributes.numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        spacing=(float(spacing[0]), float(spacing[1])),
        thickness=_thickness(attributes.within("PixelMeasuresSequence")),
        stack_id=str(attributes.within("FrameContentSequence").get("StackID", "")) if attributes.groups else "",
        meaning=stored_values.meaning(header, attributes.groups, _place(reference)),
        acquisition=acquisition.acquisition(header, attributes.groups),
    )


def perpendicular(orientation: NDArray[np.float64]) -> bool:
    """Whether the six cosines of Image Orientation (Patient) are two unit vectors at a right angle."""
    row, column = orientation[:3], orientation[3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    return bool((np.abs(lengths - 1) < 0.01).all() and abs(row @ column) < 0.01)


def _thickness(measures: Dataset) -> float | None:
    """mm that a single image stands for; None where nothing usable is said. Its sign is the direction of counting."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        try:
            value = abs(attribute_numbers.decimal(measures.get(keyword) or 0))
        except (TypeError, ValueError):
            continue
        if value > 0 and math.isfinite(value):
            return value
    return None
