"""Whether two files hold the same pixels, compressed however they are. Runs in a child process."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import numpy as np
from pydicom.pixels.utils import iter_pixels


def same_pixels(one: Path, other: Path) -> bool:
    """Decode both, frame by frame, and compare every value. Raises where one of them cannot be decoded."""
    for first, second in zip_longest(iter_pixels(one), iter_pixels(other)):
        if first is None or second is None or first.shape != second.shape:
            return False
        if not np.array_equal(first, second):
            return False
    return True
