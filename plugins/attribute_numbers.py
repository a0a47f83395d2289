"""Numbers that attributes hold: what is not a number is refused in words, however pydicom would read it.

Needs pydicom.
"""

from __future__ import annotations

import math
from typing import Any

from pydicom import Dataset

from plugins.images import NotApplicableError


def whole_number(header: Dataset, keyword: str, place: str) -> int | None:
    """The value of an attribute that is one whole number, None where it is absent or empty; raises for any other."""
    value = number(header, keyword, place)
    if value is not None and value != int(value):
        raise NotApplicableError(f"{place} has the {keyword} {value:g}, which is not a whole number.")
    return None if value is None else int(value)


def decimal(value: Any) -> float:
    """The number that a value of DS, IS or a binary VR is; raises TypeError or ValueError where it is none.

    Python reads `1_0` as ten, the Standard as nothing (PS3.5 6.2).
    """
    if "_" in str(value):
        raise ValueError("an underscore in a number")
    return float(value)


def number(dataset: Dataset, keyword: str, place: str) -> float | None:
    """The value of an attribute that is one number, None where it is absent or empty; raises for any other."""
    try:
        value = dataset.get(keyword)
        result = None if value is None or (isinstance(value, str) and not value.strip()) else decimal(value)
    except (TypeError, ValueError, OverflowError) as error:  # several values, or no number: also while pydicom reads it
        raise NotApplicableError(f"{place} has a {keyword} that is not one number.") from error
    if result is not None and not math.isfinite(result):
        raise NotApplicableError(f"{place} has the {keyword} {result}, which is not a finite number.")
    return result
