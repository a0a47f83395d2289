"""Where a source frame lies in the patient: from millimetres to pixels, which way is right (PS3.3 C.7.6.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue

from node.results.source.copying import readable, readable_items
from node.results.source.images import SourceImage
from plugins import attribute_numbers
from plugins.image_frames import perpendicular

Array = NDArray[np.float64]
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
_AXES = {"L": 0, "R": 0, "A": 1, "P": 1, "H": 2, "F": 2}
_AXES_OF_QUADRUPED = {
    "LE": 0,
    "RT": 0,
    "D": 1,
    "V": 1,
    "CR": 2,
    "CD": 2,
    "R": 2,
    "M": 3,
    "L": 3,
    "PR": 4,
    "DI": 4,
    "PA": 5,
    "PL": 5,
}
_BIPED = re.compile("[LRAPHF]{1,3}")
_PART = re.compile("LE|RT|D(?!I)|V|CR|CD|R|M|L|PR|DI|PA|PL")
_QUADRUPED = re.compile(f"({_PART.pattern})+")
"""Parts of a direction (C.7.6.1.1.1)."""
_OBLIQUE = 0.35
"""Direction cosine (20°) from which a second letter tells more than it confuses."""


@dataclass(frozen=True)
class FramePlane:
    """One frame's plane: `position` is the centre of its top-left pixel, LPS, mm."""

    position: Array
    row_direction: Array
    """Unit vector along a row: towards greater column indices."""
    column_direction: Array
    spacing: tuple[float, float]
    """mm between rows, between columns."""
    rows: int
    columns: int

    @property
    def normal(self) -> Array:
        """Unit vector across the plane."""
        return np.cross(self.row_direction, self.column_direction)

    @property
    def corners(self) -> Array:
        """(4, 3) centres of the pixels in its corners, mm."""
        right = self.row_direction * self.spacing[1] * max(self.columns - 1, 0)
        down = self.column_direction * self.spacing[0] * max(self.rows - 1, 0)
        return np.stack([self.position, self.position + right, self.position + down, self.position + right + down])

    def distance(self, points: Array) -> float:
        """Greatest distance, in mm, of any of `points` (n, 3) from the plane."""
        return float(np.abs((points - self.position) @ self.normal).max())

    def to_pixels(self, points: Array) -> Array:
        """(n, 3) mm → (n, 2) column, row, counted from the corner of the top-left pixel (C.18.6.1.2)."""
        relative = points - self.position
        columns = relative @ self.row_direction / self.spacing[1] + 0.5
        rows = relative @ self.column_direction / self.spacing[0] + 0.5
        return np.stack([columns, rows], axis=1)

    def holds(self, pixels: Array) -> bool:
        """Whether all of `pixels` (n, 2) lie on the image."""
        return bool((pixels >= 0).all() and (pixels <= [self.columns, self.rows]).all())


def functional_group(header: Dataset, name: str, frame_number: int) -> Dataset:
    """The item of a functional group macro that holds for a frame; the header itself where there is none."""
    return next(iter(_macros(header, name, frame_number)), header)


def _macros(header: Dataset, name: str, frame_number: int) -> list[Dataset]:
    """All items of a functional group macro for a frame, its own first: one, where the header is as it should be."""
    return [
        item
        for sequence, index in (
            ("PerFrameFunctionalGroupsSequence", frame_number - 1),
            ("SharedFunctionalGroupsSequence", 0),
        )
        for group in readable_items(header, sequence)[index : index + 1]
        for item in readable_items(group, name)
    ]


def numbers_of(value: object, count: int) -> Array | None:
    """As many numbers as that; None where the value is anything else."""
    try:
        array = np.asarray([attribute_numbers.decimal(part) for part in value], dtype=np.float64)  # type: ignore[attr-defined] # checked by the except
    except (TypeError, ValueError):
        return None
    return array if len(array) == count and np.isfinite(array).all() else None


def plane_of(image: SourceImage, frame_number: int = 1) -> FramePlane | None:
    """The plane of a frame; None where the image does not say (projection radiographs, US, …), or not with certainty.

    Attributes of the whole image say nothing about one of many frames, and functional groups that contradict each other
    nothing at all.
    """
    has_groups = bool(readable_items(image.header, "PerFrameFunctionalGroupsSequence"))
    if image.is_multi_frame and not has_groups:
        return None

    def numbers(macro: str, keyword: str, count: int) -> Array | None:
        found = _macros(image.header, macro, frame_number) if has_groups else [image.header]
        stated = [numbers_of(readable(place, keyword), count) for place in found]
        first = stated[0] if stated else None
        alike = all(first is not None and other is not None and np.array_equal(first, other) for other in stated[1:])
        return first if alike else None

    position = numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    if position is None or orientation is None or spacing is None or (spacing <= 0).any():
        return None
    if not perpendicular(orientation):
        return None
    return FramePlane(
        position=position,
        row_direction=orientation[:3],
        column_direction=orientation[3:],
        spacing=(float(spacing[0]), float(spacing[1])),
        rows=int(image.header.get("Rows") or 0),
        columns=int(image.header.get("Columns") or 0),
    )


def pixel_aspect(image: SourceImage, frame_number: int = 1) -> float:
    """Height of a pixel by its width; 1 where nothing is said."""
    plane = plane_of(image, frame_number)
    if plane is not None:
        return plane.spacing[0] / plane.spacing[1]
    header = image.header
    for place, keyword in (
        (functional_group(header, "PixelMeasuresSequence", frame_number), "PixelSpacing"),
        (header, "PixelSpacing"),
        (header, "ImagerPixelSpacing"),
        (header, "NominalScannedPixelSpacing"),
        (header, "PixelAspectRatio"),
    ):
        size = numbers_of(readable(place, keyword), 2)
        if size is not None and (size > 0).all():
            return float(size[0] / size[1])
    return 1.0


def slice_thickness(image: SourceImage, frame_number: int = 1) -> str:
    """Slice Thickness in mm, within VR DS; where the source keeps silent a nominal 1, as it is Type 1C of ours."""
    measures = functional_group(image.header, "PixelMeasuresSequence", frame_number)
    try:
        thickness = attribute_numbers.decimal(readable(measures, "SliceThickness") or 1.0)
    except (TypeError, ValueError):
        return "1"
    return f"{thickness:.9g}" if 0 < thickness < float("inf") else "1"


def direction_letters(vector: Array) -> str:
    """Patient Orientation letters of a direction, the strongest first: "L", "AL", … (C.7.6.1.1.1)."""
    pairs = (("L", "R"), ("P", "A"), ("H", "F"))
    order = np.argsort(-np.abs(vector))
    letters = [pairs[axis][0 if vector[axis] > 0 else 1] for axis in order if abs(vector[axis]) >= _OBLIQUE]
    return "".join(letters)


def opposite(letters: str) -> str:
    """ "AL" → "PR"."""
    return "".join(_OPPOSITE.get(letter, letter) for letter in letters)


def patient_orientation(image: SourceImage, frame_number: int = 1) -> tuple[str, str] | None:
    """Patient Orientation: letters along the rows, along the columns; None where nobody knows, or where the image
    contradicts itself: a side that is wrong is worse than none.
    """
    plane = plane_of(image, frame_number)
    stated = _stated_orientation(image)
    if plane is None:
        return stated
    letters = direction_letters(plane.row_direction), direction_letters(plane.column_direction)
    turned = stated and any(_OPPOSITE.get(said[0], "") in seen for said, seen in zip(stated, letters, strict=True))
    return None if turned else letters


def _stated_orientation(image: SourceImage) -> tuple[str, str] | None:
    """By the attribute Patient Orientation, where it can be so."""
    stated = readable(image.header, "PatientOrientation")
    if not isinstance(stated, MultiValue) or len(stated) != 2:
        return None
    row, column = str(stated[0]), str(stated[1])
    of_row, of_column = (_axes(each, readable(image.header, "AnatomicalOrientationType")) for each in (row, column))
    return (row, column) if of_row and of_column and of_row[0] != of_column[0] else None


def _axes(direction: str, anatomy: object) -> list[int]:
    """The axis of each part of a direction, the strongest first; none where it is no direction, or two ways of one."""
    if _BIPED.fullmatch(direction) and anatomy != "QUADRUPED":
        axes = [_AXES[letter] for letter in direction]
    elif _QUADRUPED.fullmatch(direction):
        axes = [_AXES_OF_QUADRUPED[part] for part in _PART.findall(direction)]
    else:
        return []
    return axes if len(set(axes)) == len(axes) else []
