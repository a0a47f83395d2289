"""How a greyscale frame is shown: its numbers through a window, a VOI LUT or, failing these, by its own range.

Where it is not certain what the stored values mean (`plugins.stored_values`), the frame is shown by its own range and
no window is stated: a picture needs no unit, a number does. Bits that are not certain give no picture at all.

PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_voi

from node.results.source.geometry import functional_group
from plugins import attribute_numbers, stored_bits, stored_values
from plugins.contract import NotApplicableError
from plugins.stored_values import Meaning

Window = tuple[float, float]
"""Centre and width."""
_Show = Callable[[NDArray[Any]], NDArray[np.float32]]
_STRIP = 256
"""Rows that are windowed at a time."""
_MOST_SAMPLES = 2**22
"""Pixels from which a window is taken where nobody states one; of a larger frame every second, third … of each side."""


def meaning_of(header: Dataset, frame_number: int) -> Meaning | None:
    """What the stored values of a frame mean; None where that is not certain."""
    per_frame, shared = header.get("PerFrameFunctionalGroupsSequence"), header.get("SharedFunctionalGroupsSequence")
    groups = [*per_frame[frame_number - 1 : frame_number], *(shared or [])[:1]] if per_frame else []
    try:
        return stored_values.meaning(header, groups, "the image")
    except NotApplicableError:
        return None


def grey(
    raw: NDArray[Any], header: Dataset, frame_number: int, asked: Window | None
) -> tuple[NDArray[np.uint8], Window | None]:
    """A decoded frame, bits above Bits Stored as they came, as 0 … 255, and the window that made it, where one did.

    In strips, so that no second frame of floats is in memory. `asked`: the window that is wanted, in the unit of the
    rescaled values. Raises `NotApplicableError` where it is not certain which bits are the value.
    """
    step = max(1, math.isqrt(raw.size // _MOST_SAMPLES))
    show, window = _way_of_showing(raw[::step, ::step], header, frame_number, asked)
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
    pixels = np.empty(raw.shape, dtype=np.uint8)
    for start in range(0, len(raw), _STRIP):
        shown = show(raw[start : start + _STRIP])
        pixels[start : start + _STRIP] = ((1 - shown if inverted else shown) * 255).round()
    return pixels, window


def _way_of_showing(
    sample: NDArray[Any], header: Dataset, frame_number: int, asked: Window | None
) -> tuple[_Show, Window | None]:
    """How the raw values of this frame become 0 … 1, found from a sample of them."""
    bits = stored_bits.bits_of(header, "the image")
    stored_bits.stored(sample, bits, "the image")
    meaning = meaning_of(header, frame_number)
    try:
        values = None if meaning is None else stored_values.applied(sample, meaning, "the image")
    except NotApplicableError:  # a table that is not built as it says
        values = None
    if meaning is None or values is None:
        own = _own_range(stored_bits.stored(sample, bits, "the image").astype(np.float32))
        return lambda raw: _windowed(stored_bits.stored(raw, bits, "the image").astype(np.float32), own), None
    voi = functional_group(header, "FrameVOILUTSequence", frame_number)
    through, window = _through_voi(values, voi, header, asked)
    return lambda raw: through(stored_values.applied(raw, meaning, "the image")), window


def _through_voi(
    values: NDArray[np.float32], voi: Dataset, header: Dataset, asked: Window | None
) -> tuple[_Show, Window | None]:
    """As asked, else as the image says, else from 1st to 99th percentile of these values."""
    stated = _stated(voi)
    if asked is None and stated is not None and voi.get("VOILUTFunction") == "SIGMOID":
        return partial(_sigmoid, window=stated), stated
    if asked is None and stated is None and voi.get("VOILUTSequence"):
        return partial(_through_table, item=_signed(voi.VOILUTSequence[0], values), header=header), None
    if asked is None and stated is not None and stated[1] > 1 and voi.get("VOILUTFunction") != "LINEAR_EXACT":
        return partial(_windowed, window=(stated[0] - 0.5, stated[1] - 1)), stated  # PS3.3 C.11.2.1.2.1
    window = asked or stated or _own_range(values)
    return partial(_windowed, window=window), window


def _sigmoid(values: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    exponent = np.clip(-4 * (values - window[0]) / window[1], -80, 80)
    shown: NDArray[np.float32] = (1 / (1 + np.exp(exponent))).astype(np.float32)
    return shown


def _stated(voi: Dataset) -> Window | None:
    """The first window of the image; None where none is given that can be used."""
    found = []
    for keyword in ("WindowCenter", "WindowWidth"):
        try:
            value = voi.get(keyword)
            found.append(
                attribute_numbers.decimal(value if isinstance(value, str | int | float) else next(iter(value)))
            )
        except (TypeError, ValueError, StopIteration):
            return None
    return (found[0], found[1]) if np.isfinite(found).all() and found[1] > 0 else None


def _windowed(values: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    shown: NDArray[np.float32] = np.clip((values - (window[0] - window[1] / 2)) / window[1], 0, 1)
    return shown


def _own_range(values: NDArray[np.float32]) -> Window:
    low, high = (float(value) for value in np.percentile(values, (1, 99)))
    return (low + high) / 2, max(high - low, 1.0)


def _signed(item: Dataset, values: NDArray[np.float32]) -> Dataset:
    """The table with its first value below 0, where it is written as unsigned and beyond all values (C.11.2.1.1)."""
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    if first < 2**15 or float(values.max()) >= first:
        return item
    signed = Dataset()
    signed.add(item["LUTData"])
    signed.add_new("LUTDescriptor", "SS", [entries, first - 2**16, bits])
    return signed


def _through_table(values: NDArray[np.float32], item: Dataset, header: Dataset) -> NDArray[np.float32]:
    """The VOI LUT's first table: values below its first entry are shown as that, values beyond its last as that."""
    descriptor: Sequence[int] = item.LUTDescriptor
    first, bits = int(descriptor[1]), int(descriptor[2])
    entries = np.arange(first, first + (int(descriptor[0]) or 2**16))
    table = apply_voi(entries, _with_table(item, header))
    index = np.clip(np.round(values) - first, 0, len(entries) - 1).astype(np.int64)
    return np.clip(table[index] / np.float32(2**bits - 1), 0, 1).astype(np.float32)


def _with_table(item: Dataset, header: Dataset) -> Dataset:
    """A frame's table where pydicom looks for it, in the byte order of the image."""
    holder = Dataset()
    holder.VOILUTSequence = [item]
    holder.set_original_encoding(*header.original_encoding)
    return holder
