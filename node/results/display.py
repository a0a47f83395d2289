"""How a greyscale frame is shown: its numbers through a window, a VOI LUT or, failing these, by its own range.

Where it is not certain what the stored values mean (`plugins.stored_values`), the frame is shown by its own range and
no window is stated: a picture needs no unit, a number does. Bits that are not certain give no picture at all.

PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_voi

from node.results.geometry import functional_group
from plugins import stored_values
from plugins.contract import NotApplicableError
from plugins.stored_values import Meaning

Window = tuple[float, float]
"""Centre and width."""


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

    `asked`: the window that is wanted, in the unit of the rescaled values. Raises `NotApplicableError` where it is not
    certain which bits are the value.
    """
    stored = stored_values.stored(raw, stored_values.bits_of(header, "the image"), "the image")
    values = _numbers(raw, header, frame_number)
    if values is None:
        values = stored.astype(np.float32)
        shown, window = _windowed(values, _own_range(values)), None
    else:
        voi = functional_group(header, "FrameVOILUTSequence", frame_number)
        shown, window = _through_voi(values, voi, header, asked)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        shown = 1 - shown
    return (shown * 255).round().astype(np.uint8), window


def _numbers(raw: NDArray[Any], header: Dataset, frame_number: int) -> NDArray[np.float32] | None:
    """The rescaled values; None where what they are is not certain."""
    meaning = meaning_of(header, frame_number)
    try:
        return None if meaning is None else stored_values.applied(raw, meaning, "the image")
    except NotApplicableError:  # a table that is not built as it says
        return None


def _through_voi(
    values: NDArray[np.float32], voi: Dataset, header: Dataset, asked: Window | None
) -> tuple[NDArray[np.float32], Window | None]:
    """As asked, else as the image says, else from 1st to 99th percentile."""
    stated = _stated(voi)
    if asked is None and stated is not None and voi.get("VOILUTFunction") == "SIGMOID":
        exponent = np.clip(-4 * (values - stated[0]) / stated[1], -80, 80)
        return (1 / (1 + np.exp(exponent))).astype(np.float32), stated
    if asked is None and stated is None and voi.get("VOILUTSequence"):
        return _through_table(values, voi.VOILUTSequence[0], header), None
    if asked is None and stated is not None and stated[1] > 1 and voi.get("VOILUTFunction") != "LINEAR_EXACT":
        return _windowed(values, (stated[0] - 0.5, stated[1] - 1)), stated  # PS3.3 C.11.2.1.2.1
    window = asked or stated or _own_range(values)
    return _windowed(values, window), window


def _stated(voi: Dataset) -> Window | None:
    """The first window of the image; None where none is given that can be used."""
    found = []
    for keyword in ("WindowCenter", "WindowWidth"):
        try:
            value = voi.get(keyword)
            found.append(float(value if isinstance(value, str | int | float) else next(iter(value))))
        except (TypeError, ValueError, StopIteration):
            return None
    return (found[0], found[1]) if np.isfinite(found).all() and found[1] > 0 else None


def _windowed(values: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    shown: NDArray[np.float32] = np.clip((values - (window[0] - window[1] / 2)) / window[1], 0, 1)
    return shown


def _own_range(values: NDArray[np.float32]) -> Window:
    low, high = (float(value) for value in np.percentile(values, (1, 99)))
    return (low + high) / 2, max(high - low, 1.0)


def _through_table(values: NDArray[np.float32], item: Dataset, header: Dataset) -> NDArray[np.float32]:
    """The VOI LUT's first table: values below its first entry are shown as that, values beyond its last as that."""
    descriptor: Sequence[int] = item.LUTDescriptor
    first, bits = int(descriptor[1]), int(descriptor[2])
    entries = np.arange(first, first + (int(descriptor[0]) or 2**16))
    table = apply_voi(entries, header if header.get("VOILUTSequence") else _with_table(item, header))
    index = np.clip(np.round(values) - first, 0, len(entries) - 1).astype(np.int64)
    return np.clip(table[index] / np.float32(2**bits - 1), 0, 1).astype(np.float32)


def _with_table(item: Dataset, header: Dataset) -> Dataset:
    """A frame's table where pydicom looks for it, in the byte order of the image."""
    holder = Dataset()
    holder.VOILUTSequence = [item]
    holder.set_original_encoding(*header.original_encoding)
    return holder
