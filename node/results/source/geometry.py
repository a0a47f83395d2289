"""Where a source frame lies in the patient: from millimetres to pixels, which way is right (PS3.3 C.7.6.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as SequenceOfItems

from node.results.source.copying import readable
from node.results.source.images import SourceImage
from plugins import stored_values

Array = NDArray[np.float64]
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
_DIRECTION = re.compile(r"[LRAPHF]{1,3}|(LE|RT|D|V|CR|CD|R|M|L|PR|DI|PA|PL)+")
"""Of a biped, of a quadruped (C.7.6.1.1.1)."""
_OBLIQUE = 0.35
"""Direction cosine (20°) from which a second letter tells more than it confuses."""


@dataclass(frozen=True)
class Plane:
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
    for sequence, index in (
        ("PerFrameFunctionalGroupsSequence", frame_number - 1),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        groups = _items(header, sequence)
        macro = _items(groups[index], name) if index < len(groups) else ()
        if macro:
            return macro[0]
    return header


def _items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    value = readable(dataset, keyword)
    return value if isinstance(value, SequenceOfItems) else ()


def numbers_of(value: object, count: int) -> Array | None:
    """As many numbers as that; None where the value is anything else."""
    try:
        array = np.asarray([stored_values.decimal(part) for part in value], dtype=np.float64)  # type: ignore[attr-defined] # checked by the except
    except (TypeError, ValueError):
        return None
    return array if len(array) == count and np.isfinite(array).all() else None


def plane_of(image: SourceImage, frame_number: int = 1) -> Plane | None:
    """The plane of a frame; None where the image does not say (projection radiographs, US, …)."""
    header = image.header

    def numbers(macro: str, keyword: str, count: int) -> Array | None:
        return numbers_of(readable(functional_group(header, macro, frame_number), keyword), count)

    position = numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    if position is None or orientation is None or spacing is None or (spacing <= 0).any():
        return None
    return Plane(
        position=position,
        row_direction=orientation[:3],
        column_direction=orientation[3:],
        spacing=(float(spacing[0]), float(spacing[1])),
        rows=int(header.get("Rows") or 0),
        columns=int(header.get("Columns") or 0),
    )


def slice_thickness(image: SourceImage, frame_number: int = 1) -> str:
    """Slice Thickness in mm, within VR DS; where the source keeps silent a nominal 1, as it is Type 1C of ours."""
    measures = functional_group(image.header, "PixelMeasuresSequence", frame_number)
    try:
        thickness = stored_values.decimal(readable(measures, "SliceThickness") or 1.0)
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
    """Patient Orientation: letters along the rows, along the columns; None where nobody knows."""
    plane = plane_of(image, frame_number)
    if plane is not None:
        return direction_letters(plane.row_direction), direction_letters(plane.column_direction)
    stated = readable(image.header, "PatientOrientation")
    if isinstance(stated, MultiValue) and len(stated) == 2 and all(_DIRECTION.fullmatch(str(each)) for each in stated):
        return str(stated[0]), str(stated[1])
    return None
