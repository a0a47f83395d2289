"""What the stored values of a frame's pixels mean: the scale that makes numbers of them.

Nothing is guessed. Where a header says half of a scale, contradicts itself, or where the frames of one volume are on
different scales, the images are refused with the attribute, its values and the frames it is about: an algorithm that
takes such values for HU or Bq/mL reports a wrong number, and nobody can see it.

`plugins.stored_bits` has which bits they are. Scale: PS3.3 C.11.1 (Modality LUT), C.7.6.16.2.9 (Pixel Value
Transformation), C.7.6.16.2.11 (Real World Value Mapping), C.8.9.1 (PET: Units, Decay Correction).

Needs pydicom.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian

from plugins.attribute_numbers import decimal, number
from plugins.images import NotApplicableError
from plugins.lookup_table import looked_up
from plugins.stored_bits import Bits, bits_of, stored

_SCALED = frozenset({"CT", "PT"})
"""Modalities whose values mean nothing without a rescale: it is Type 1 in their IODs (PS3.3 C.8.2.1, C.8.9.4)."""
_OTHER_QUANTITIES = frozenset({"OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"})
"""Defined Terms of Rescale Type that are not Hounsfield units (PS3.3 C.11.1.1.2)."""
_SAME_IN_ALL = ("Units", "SUVType", "DecayCorrection")
"""Attributes of a PET series (PS3.3 C.8.9.1) that decide what a value is."""
_REAL_WORLD_TOLERANCE = 1e-4
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the stored values of one frame mean."""

    bits: Bits | None
    """None for Float and Double Float Pixel Data, which have none to choose from."""
    rescale: tuple[float, float] | None
    """Slope and intercept, None where a table or nothing is given."""
    table: Dataset | None
    """The header with its Modality LUT Sequence."""
    quantity: tuple[tuple[str, str], ...]
    """(attribute, value) of what has to be equal in all frames of a volume."""
    real_world: tuple[tuple[Any, ...], ...]
    """(units, slope, intercept) from rescaled values to real-world values, as far as they are given."""

    @property
    def scale(self) -> str:
        """How the numbers are made."""
        if self.table is not None:
            return "a ModalityLUTSequence"
        return "no rescale" if self.rescale is None else "RescaleSlope and RescaleIntercept"


def meaning(header: Dataset, groups: Sequence[Dataset], place: str) -> Meaning:
    """What the values of one frame mean, by its header and its functional groups (its own, then the shared ones).

    `place` names the frame in errors. Raises `NotApplicableError` where that is not certain.
    """
    if "DoseGridScaling" in header:
        raise NotApplicableError(f"{place} is a dose (DoseGridScaling {header.DoseGridScaling}), not an image.")
    rescale, unit = _rescale_in_groups(header, groups, place) if groups else _rescale_of_image(header, place)
    table = header if header.get("ModalityLUTSequence") else None
    modality = str(header.get("Modality") or "")
    if table is None and rescale is None and modality in _SCALED:
        raise NotApplicableError(f"{place} has no rescale slope and intercept: {_consequence(header)}.")
    if modality == "PT" and not groups and not str(header.get("Units") or "").strip():
        raise NotApplicableError(f"{place} has no Units: whether its values are Bq/mL, counts or a ratio is not known.")
    if modality == "CT" and unit in _OTHER_QUANTITIES:
        raise NotApplicableError(f"{place} has the RescaleType {unit}: its values are not HU.")
    said = {"RescaleType": ("HU" if modality == "CT" and not unit else "" if unit == "US" else unit)}
    said |= {keyword: str(header.get(keyword) or "") for keyword in _SAME_IN_ALL}
    said["PhotometricInterpretation"] = str(header.get("PhotometricInterpretation") or "")
    bits = bits_of(header, place)
    said["PixelRepresentation"] = str(int(bits.signed)) if bits else ""
    return Meaning(bits, rescale, table, tuple(said.items()), _real_world((header, *groups), rescale or (1.0, 0.0)))


def refuse_mixed(frames: Sequence[tuple[str, Meaning]]) -> None:
    """Raise where the values of frames (place, meaning) are not on one scale: they would be mixed in one volume."""
    scales = {one.scale for _, one in frames}
    if len(scales) > 1:
        odd = min(scales, key=lambda scale: sum(one.scale == scale for _, one in frames))
        others = " or ".join(sorted(scales - {odd}))
        places = [place for place, one in frames if one.scale == odd]
        raise NotApplicableError(
            f"{len(places)} of the {len(frames)} images {'has' if len(places) == 1 else 'have'} {odd} "
            f"({named(places)}), the others have {others}: "
            "their values are not on one scale."
        )
    first = frames[0][1]
    for index, (keyword, usual) in enumerate(first.quantity):
        places = [place for place, one in frames if one.quantity[index][1] != usual]
        if places:
            other = next(one.quantity[index][1] for _, one in frames if one.quantity[index][1] != usual)
            raise NotApplicableError(
                f"The images differ in {keyword}: {usual or 'none'} and {other or 'none'} ({named(places)}), so their "
                "values cannot be compared."
            )
    _refuse_mixed_mappings(frames)


def _refuse_mixed_mappings(frames: Sequence[tuple[str, Meaning]]) -> None:
    """A mapping to real-world values that is not the same for all: slices with scales of their own."""
    with_one = [one.real_world for _, one in frames if one.real_world]
    is_scaled = frames[0][1].rescale is not None
    if not with_one or frames[0][1].table is not None or (is_scaled and len(with_one) < len(frames)):
        return
    places = [place for place, one in frames if not _alike(one.real_world, with_one[0])]
    if places:
        raise NotApplicableError(
            f"The images differ in their RealWorldValueMappingSequence ({named(places)}): their values are not on one "
            "scale."
        )


def _alike(one: tuple[tuple[Any, ...], ...], other: tuple[tuple[Any, ...], ...]) -> bool:
    return len(one) == len(other) and all(
        a[0] == b[0] and np.allclose(a[1:], b[1:], rtol=_REAL_WORLD_TOLERANCE, atol=1e-9, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )


def named(places: Sequence[str]) -> str:
    """The first of several images, and how many more there are."""
    more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
    return ", ".join(places[:_MOST_NAMED]) + more


# --- the scale -------------------------------------------------------------------------------------


def _consequence(header: Dataset) -> str:
    """What follows from a scale that is not certain."""
    if header.get("Modality") == "CT":
        return "its values are not HU"
    if header.get("Modality") == "PT" and header.get("Units"):
        return f"its values are not {header.Units}"
    return "what its values mean is not certain"


def _rescale(item: Dataset, header: Dataset, place: str) -> tuple[float, float] | None:
    """Slope and intercept of one place in a header; None where neither is given. Raises for one without the other."""
    slope, intercept = number(item, "RescaleSlope", place), number(item, "RescaleIntercept", place)
    if slope is None and intercept is None:
        return None
    if slope is None:
        raise NotApplicableError(
            f"{place} has a RescaleIntercept ({intercept:g}) and no RescaleSlope: {_consequence(header)}."
        )
    if intercept is None:
        raise NotApplicableError(
            f"{place} has a RescaleSlope ({slope:g}) and no RescaleIntercept: {_consequence(header)}."
        )
    if slope == 0:
        raise NotApplicableError(f"{place} has the rescale slope 0 (RescaleSlope): its values mean nothing.")
    return slope, intercept


def _rescale_of_image(header: Dataset, place: str) -> tuple[tuple[float, float] | None, str]:
    """Rescale and its type of a single-frame image."""
    rescale = _rescale(header, header, place)
    tables = header.get("ModalityLUTSequence") or []
    if tables and rescale is not None:
        raise NotApplicableError(f"{place} has a ModalityLUTSequence and a RescaleSlope: {_consequence(header)}.")
    if len(tables) > 1:
        raise NotApplicableError(f"{place} has {len(tables)} items in its ModalityLUTSequence: {_consequence(header)}.")
    return rescale, rescale_unit(tables[0].get("ModalityLUTType") if tables else header.get("RescaleType"))


def _rescale_in_groups(
    header: Dataset, groups: Sequence[Dataset], place: str
) -> tuple[tuple[float, float] | None, str]:
    """Rescale and its type of a frame with functional groups; what stands elsewhere may only say the same."""
    items = [item for group in groups for item in group.get("PixelValueTransformationSequence") or ()]
    stated = {_rescale(item, header, place) for item in items}
    units = {rescale_unit(item.get("RescaleType")) for item in items}
    if len(stated) > 1 or len(units) > 1:
        raise NotApplicableError(
            f"{place} has more than one PixelValueTransformationSequence, and they contradict each other: "
            f"{_consequence(header)}."
        )
    rescale = stated.pop() if stated else None
    if header.get("ModalityLUTSequence"):
        raise NotApplicableError(
            f"{place} has a ModalityLUTSequence outside of its functional groups: {_consequence(header)}."
        )
    for holder in (header, *groups):
        stray = _rescale(holder, header, place)
        if stray is not None and stray != (rescale or (1.0, 0.0)):
            raise NotApplicableError(
                f"{place} has RescaleSlope {stray[0]:g} and RescaleIntercept {stray[1]:g} outside of its "
                f"PixelValueTransformationSequence, which has {_shown(rescale)}: {_consequence(header)}."
            )
    return rescale, units.pop() if units else ""


def _shown(rescale: tuple[float, float] | None) -> str:
    return "none" if rescale is None else f"{rescale[0]:g} and {rescale[1]:g}"


def rescale_unit(value: object) -> str:
    """Rescale Type or Modality LUT Type; HU however it is spelt."""
    text = str(value or "").strip().upper()
    return "HU" if text.startswith(("HOUN", "[HNSF")) else text


def _real_world(places: Iterable[Dataset], rescale: tuple[float, float]) -> tuple[tuple[Any, ...], ...]:
    """Units, slope and intercept from *rescaled* values to real-world values, which are stated for stored ones."""
    slope, intercept = rescale
    found = []
    for place in places:
        for item in place.get("RealWorldValueMappingSequence") or ():
            code = (item.get("MeasurementUnitsCodeSequence") or [Dataset()])[0]
            times, plus = (_or_nan(item, f"RealWorldValue{name}") for name in ("Slope", "Intercept"))
            found.append((str(code.get("CodeValue") or ""), times / slope, plus - intercept * times / slope))
    return tuple(sorted(found))


def _or_nan(item: Dataset, keyword: str) -> float:
    """The number, or NaN where there is none that can be used: a mapping by a table has none."""
    try:
        return decimal(item.get(keyword))
    except (TypeError, ValueError):
        return math.nan


# --- pixels ----------------------------------------------------------------------------------------


def applied(raw: NDArray[Any], frame: Meaning, place: str) -> NDArray[np.float32]:
    """The numbers of one frame from its decoded pixels, bits above Bits Stored still as they came.

    Raises `NotApplicableError` where the pixels contradict what the header says of them.
    """
    values = stored(raw, frame.bits, place)
    if frame.table is not None:
        return _through_table(values, frame.table, place)
    if frame.rescale is None:
        return values.astype(np.float32)
    slope, intercept = frame.rescale
    rescaled: NDArray[np.float64] = np.multiply(values, slope, dtype=np.float64)
    rescaled += intercept
    return rescaled.astype(np.float32)


def _through_table(values: NDArray[Any], header: Dataset, place: str) -> NDArray[np.float32]:
    is_little = not hasattr(header, "file_meta") or header.file_meta.get("TransferSyntaxUID") != ExplicitVRBigEndian
    try:
        mapped, _ = looked_up(values, header.ModalityLUTSequence[0], little_endian=is_little)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise NotApplicableError(
            f"{place} has a ModalityLUTSequence that is not built as it says: {_consequence(header)}."
        ) from error
    return mapped.astype(np.float32)
