"""Which bits of a stored pixel are its value, and what the others may be.

Nothing is guessed: where header and pixels contradict each other, the image is refused with both.

PS3.5 8.1.1 (bits and sign), 8.1.2 (overlays in the pixels, retired), PS3.3 C.7.6.3.1, C.7.5.1.1.2 (Pixel Padding).

Needs pydicom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from plugins.attribute_numbers import whole_number
from plugins.images import NotApplicableError

_ALL_BITS = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
    }
)
"""Transfer syntaxes that keep all allocated bits of a pixel, the unused ones too."""
_MOST_BITS = 64
"""Of any pixel: an overlay beyond is in none."""
_MOSTLY = 0.9
"""Share of neighbours that have to say so."""


@dataclass(frozen=True, slots=True)
class Bits:
    """Which bits of a stored pixel are its value (PS3.5 8.1.1)."""

    stored: int
    signed: bool
    is_compressed: bool
    """A codec wrote the pixels: bits above `stored` are not leftovers then, they are values."""
    padding: tuple[int, ...]
    """Pixel Padding Values that do not fit into the stored bits."""
    overlays: int
    """The bits above `stored` that hold an overlay, as a mask (retired, PS3.5 8.1.2)."""


def bits_of(header: Dataset, place: str) -> Bits | None:
    """Which bits of the image's pixels are their value; None for float pixel data.

    Raises `NotApplicableError` where that is not certain.
    """
    keywords = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    allocated, stored, high, representation = (whole_number(header, keyword, place) for keyword in keywords)
    if allocated in (32, 64) and stored is None and high is None and representation is None:
        return None
    for keyword, value in zip(keywords, (allocated, stored, high, representation), strict=True):
        if value is None and not (keyword == "HighBit" and stored == allocated):  # no other bit could be the highest
            raise NotApplicableError(f"{place} has no {keyword}, so what its pixels mean is not certain.")
    assert allocated is not None
    assert stored is not None
    if not 1 <= stored <= allocated:
        raise NotApplicableError(f"{place} has BitsStored {stored} and BitsAllocated {allocated}, which is impossible.")
    if high is not None and high != stored - 1:
        raise NotApplicableError(
            f"{place} has HighBit {high}, which contradicts BitsStored {stored} (it has to be {stored - 1}): which of "
            f"the {allocated} bits of a pixel are its value is not certain."
        )
    if representation not in (0, 1):
        raise NotApplicableError(f"{place} has PixelRepresentation {representation}, which is neither 0 nor 1.")
    overlays = _overlay_bits(header, stored, place)
    syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    is_compressed = syntax is not None and syntax not in _ALL_BITS
    signed = representation == 1
    return Bits(stored, signed, is_compressed, _unfit_padding(header, allocated, stored, signed=signed), overlays)


def _overlay_bits(header: Dataset, stored: int, place: str) -> int:
    """The bits that hold an overlay, as a mask; raises where one of them is a bit of the value."""
    found = 0
    for group in range(0x6000, 0x6020, 2):
        position = header.get((group, 0x0102))
        if position is None or (group, 0x3000) in header or header.get((group, 0x0100)) is None:
            continue
        if header[group, 0x0100].value == 1 or not isinstance(position.value, int):
            continue
        if position.value < stored:
            raise NotApplicableError(
                f"{place} has an overlay in bit {position.value} of its pixels (OverlayBitPosition), which is one of "
                f"the {stored} bits of the value (BitsStored)."
            )
        found |= 1 << min(position.value, _MOST_BITS)
    return found


def _unfit_padding(header: Dataset, allocated: int, stored: int, *, signed: bool) -> tuple[int, ...]:
    """Pixel Padding Values that no stored bits can be: pixels that have them decode to ordinary values.

    They are the bits of a pixel: 63488 of VR US is −2048 where the pixels are signed, and −2000 of VR SS is 63536 where
    they are not. Senders confuse the two.
    """
    lowest, of_pixel = (-(1 << size - 1) if signed else 0 for size in (stored, allocated))
    values = (header.get(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    as_pixels = ((value - of_pixel) % (1 << allocated) + of_pixel for value in values if isinstance(value, int))
    return tuple(value for value in as_pixels if not lowest <= value < lowest + (1 << stored))


def stored(raw: NDArray[Any], bits: Bits | None, place: str) -> NDArray[Any]:
    """The bits of decoded pixels that are their value, with their sign; what is above means nothing (PS3.5 8.1.1).

    What is above is nothing, the sign, the same in all pixels, or an overlay that was drawn over the image. Where the
    pixels go on in their neighbours only with those bits, the values are greater than the header says.

    Raises `NotApplicableError` where the pixels contradict what the header says of them.
    """
    if bits is None or bits.stored >= raw.dtype.itemsize * 8:
        return raw
    unused = raw.dtype.itemsize * 8 - bits.stored
    if bits.is_compressed:
        lowest, highest = int(raw.min()), int(raw.max())
        if highest >= 1 << bits.stored or lowest < -(1 << bits.stored - 1):
            raise NotApplicableError(
                f"{place} has pixels from {lowest} to {highest}, which are more than its BitsStored {bits.stored} can "
                "hold: what its pixels mean is not certain."
            )
    for padding in bits.padding:
        if (raw == np.array(padding & (1 << raw.dtype.itemsize * 8) - 1).astype(raw.dtype)).any():
            raise NotApplicableError(
                f"{place} has pixels of the PixelPaddingValue {padding}, which does not fit into its BitsStored "
                f"{bits.stored}: they cannot be distinguished from values."
            )
    value: NDArray[Any] = np.right_shift(np.left_shift(raw, unused), unused)
    if not bits.is_compressed and not np.array_equal(raw, value):
        _refuse_greater(raw, value, bits, place)
    return value


def _refuse_greater(raw: NDArray[Any], value: NDArray[Any], bits: Bits, place: str) -> None:
    """Raise where bits above those of the value look like a part of it."""
    unsigned = np.dtype(f"u{raw.dtype.itemsize}")
    above = unsigned.type(((1 << raw.dtype.itemsize * 8) - 1) & ~((1 << bits.stored) - 1) & ~bits.overlays)
    of_raw, of_value = raw.astype(unsigned) & above, value.astype(unsigned) & above
    if (of_raw == of_raw.flat[0]).all() and not (bits.signed and of_raw.flat[0] == above):
        return  # leftovers; of signed pixels, ones alone would be the sign
    is_extended = bits.signed and bool(((of_raw == of_value) & (value < 0)).any())
    odd = of_raw != of_value if is_extended else of_raw != 0
    if odd.any() and not _is_drawn_over(raw, value, odd):
        raise NotApplicableError(
            f"{place} has pixels such as {int(raw[odd].flat[0])}, which its BitsStored {bits.stored} cannot hold: "
            "what its pixels mean is not certain."
        )


def _is_drawn_over(raw: NDArray[Any], value: NDArray[Any], odd: NDArray[np.bool_]) -> bool:
    """Whether something is drawn over the image in these pixels: their values go on in their neighbours without it."""
    pairs = without = 0
    for axis in range(min(2, raw.ndim)):
        for step in (1, -1):
            one, other = (slice(None, -1), slice(1, None))[::step]
            there, beside = (one,) if not axis else (slice(None), one), (other,) if not axis else (slice(None), other)
            edge = odd[there] & ~odd[beside]
            next_to = value[beside][edge].astype(np.int64)
            pairs += len(next_to)
            without += int((np.abs(value[there][edge] - next_to) < np.abs(raw[there][edge] - next_to)).sum())
    return pairs > 0 and without > _MOSTLY * pairs
