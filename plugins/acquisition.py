"""How the frames of a volume were acquired and reconstructed: one volume has one echo, one phase, one kernel.

Frames that differ in one of these can lie as regularly as those of one acquisition, each at a place of its own, and
their values still cannot be compared. An attribute that a frame lacks, or that cannot be read, says nothing about it:
but for the b-value, which some scanners leave out where it is 0.

PS3.3 C.8.3.1 (MR Image), C.8.2.1 (CT Image), C.8.13.5 and C.8.15.3 (functional groups of the enhanced ones).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue

from plugins.attribute_numbers import decimal
from plugins.images import NotApplicableError
from plugins.stored_values import named

_PRIVATE_B_VALUES = (
    (0x0019, "SIEMENS MR HEADER", 0x0C),
    (0x0043, "GEMS_PARM_01", 0x39),
    (0x2001, "Philips Imaging DD 001", 0x03),
)
_GE_OFFSET = 1e9
"""What some versions add to the b-value."""

Acquisition = tuple[str | float | None, ...]
"""A frame's values of the attributes in `_SAME_IN_ALL`, in their order; None for one that is not known."""

_SAME_IN_ALL = (
    # attribute of a single-frame image; functional group macro; attribute in it
    ("EchoTime", "MREchoSequence", "EffectiveEchoTime"),
    ("InversionTime", "MRModifierSequence", "InversionTimes"),
    ("FlipAngle", "MRTimingAndRelatedParametersSequence", "FlipAngle"),
    ("DiffusionBValue", "MRDiffusionSequence", "DiffusionBValue"),
    ("TemporalPositionIdentifier", "FrameContentSequence", "TemporalPositionIndex"),
    ("ImageType", "MRImageFrameTypeSequence", "FrameType"),
    ("KVP", "CTXRayDetailsSequence", "KVP"),
    ("ConvolutionKernel", "CTReconstructionSequence", "ConvolutionKernel"),
    ("CorrectedImage", "", ""),
)
_TEXTS = frozenset({"ImageType", "FrameType", "ConvolutionKernel", "CorrectedImage"})
_COUNTS = frozenset({"TemporalPositionIdentifier"})
_STRAIGHT, _TILT = 0.5, 1.0
"""Degrees: of an orientation that is not tilted, and of a tilt that it should show. The header's angle is nominal."""
_ROUNDING = 0.02
"""Difference, as a share, of two numbers that are one as the scanner writes it for each slice."""


def acquisition(header: Dataset, groups: Sequence[Dataset]) -> Acquisition:
    """How a frame was acquired, by its header or by its functional groups (its own, then the shared ones)."""
    found: list[str | float | None] = []
    for keyword, macro, of_frame in _SAME_IN_ALL:
        places = [item for group in groups for item in group.get(macro) or ()] if groups else [header]
        within = of_frame if groups else keyword
        value = _value(places[0], within) if places else None
        if keyword == "ImageType":  # values 1 and 2 say who made the pixels, not what they are
            value = "\\".join(str(value).split("\\")[2:]) if value and header.get("Modality") == "MR" else None
        if keyword == "DiffusionBValue" and not (places and within in places[0]):
            value = _private_b_value(header)
        found.append(value)
    return tuple(found)


def _private_b_value(header: Dataset) -> float:
    """The b-value where a scanner wrote it in its own attribute (PS3.15 Table E.3.10-1); 0 where there is none."""
    for group, creator, element in _PRIVATE_B_VALUES:
        try:
            value = header.private_block(group, creator)[element].value
            number = decimal(value[0] if isinstance(value, MultiValue | list) else value)
        except (KeyError, ValueError, TypeError, OverflowError, IndexError):
            continue
        if 0 <= number < math.inf:
            return number % _GE_OFFSET if creator == "GEMS_PARM_01" else number
    return 0.0


def _value(place: Dataset, keyword: str) -> str | float | None:
    """A number, or text with a backslash between its values; None where there is nothing that can be read."""
    try:
        value = place.get(keyword)
        if keyword in _TEXTS:
            return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "").strip() or None
        number = decimal(value)
    except (ValueError, TypeError, OverflowError):  # pydicom reads values when they are asked for
        return None
    return number if math.isfinite(number) else None


KEYWORDS = tuple(keyword for keyword, *_ in _SAME_IN_ALL)
"""What the values of an `Acquisition` are."""


def refuse_mixed(frames: Sequence[tuple[str, Acquisition]]) -> None:
    """Raise where frames (place, acquisition) were not acquired or reconstructed in one way."""
    for index, (keyword, *_) in enumerate(_SAME_IN_ALL):
        known = [(place, value) for place, one in frames if (value := one[index]) is not None]
        others = [(place, value) for place, value in known if not alike(keyword, value, known[0][1])]
        if others:
            raise NotApplicableError(
                f"The images differ in {keyword}: {_shown(known[0][1])} and {_shown(others[0][1])} "
                f"({named([place for place, _ in others])}), so their values cannot be compared."
            )


def alike(keyword: str, one: str | float, other: str | float) -> bool:
    """Whether two values of an attribute are one, as a scanner writes it for each slice; counts are exact."""
    if keyword not in _COUNTS and isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=1e-6)
    return one == other


def _shown(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else value


def refuse_hidden_tilt(
    orientation: NDArray[np.float64], header: Dataset, groups: Sequence[Dataset], place: str
) -> None:
    """Raise where a CT scanner's own image has a tilt and lies straight: one is wrong, and so may its place be.

    `orientation`: the six cosines of Image Orientation (Patient). What was made from other images may have been
    straightened, and keeps the attribute of its source.
    """
    if header.get("Modality") != "CT" or "DERIVED" in (header.get("ImageType") or ()):
        return
    places = [item for group in groups for item in group.get("CTAcquisitionDetailsSequence") or ()] or [header]
    tilt = _value(places[0], "GantryDetectorTilt")
    is_straight = abs(np.cross(orientation[:3], orientation[3:])[2]) > math.cos(math.radians(_STRAIGHT))
    if isinstance(tilt, float) and is_straight and abs(tilt) > _TILT:
        raise NotApplicableError(
            f"{place} has the GantryDetectorTilt {tilt:g} and an ImageOrientationPatient without tilt: how its slices "
            "lie is not certain."
        )
