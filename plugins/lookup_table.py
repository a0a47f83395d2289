"""A lookup table of the Standard (Modality LUT, VOI LUT), applied: entries of 8 or 16 bits however they are packed.

PS3.3 C.11.1.1.1, C.11.2.1.1: number of entries (0 is 65,536), the value that the first entry is for, bits of an entry.
Data of 8 bits come packed or in 16 bits each; which it is, their length says.

Needs pydicom.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue


def looked_up(values: NDArray[Any], item: Dataset, *, little_endian: bool = True) -> tuple[NDArray[np.int64], int]:
    """What whole numbers become by the table in an item of a LUT sequence, and the bits of its entries.

    Values below and above the table become its first and its last entry. Raises ValueError, TypeError, AttributeError
    or IndexError where the table is not built as its descriptor says.
    """
    count, first, bits = (int(each) for each in item.LUTDescriptor)
    count = (count & 0xFFFF) or 2**16  # pydicom reads a signed descriptor of more than 32,767 entries as negative
    data = item.LUTData
    if isinstance(data, bytes):
        width = 2 if len(data) >= 2 * count else 1
        if width == 1 and bits > 8:
            raise ValueError(f"{len(data)} bytes for {count} entries of {bits} bits")
        entries = np.frombuffer(data, f"{'<' if little_endian else '>'}u{width}").astype(np.int64)[:count]
    else:
        entries = np.asarray(list(data) if isinstance(data, MultiValue | list) else [data], dtype=np.int64)
    if len(entries) != count or not 1 <= bits <= 16 or entries.max() >= 1 << bits or entries.min() < 0:
        raise ValueError(f"{len(entries)} entries of up to {entries.max()}, announced are {count} of {bits} bits")
    places = np.clip(np.asarray(np.round(values), dtype=np.int64) - first, 0, count - 1)
    return entries[places], bits
