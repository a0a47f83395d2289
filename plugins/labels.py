"""How often each label occurs on a plane, without a copy of the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STRIP = 2**20
"""Pixels that are counted at a time: numpy makes eight bytes of each."""


def label_counts(plane: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int64]:
    """Pixels of each label: the count of label n is at index n. Labels are at most 65,535."""
    flat = plane.reshape(-1)
    counts = np.zeros(2**16, dtype=np.int64)
    for start in range(0, len(flat), _STRIP):
        found = np.bincount(flat[start : start + _STRIP])
        counts[: len(found)] += found
    return counts
