"""Numbers that cannot be, whatever was analysed: a likelihood of 97 under unit 1, a diameter of -12 mm.

Only what is certain: a plugin may measure anything, and what may be right is never refused here.
"""

from __future__ import annotations

import re

_SHARES = {"1": 1.0, "%": 100.0}
"""Units in which a likelihood is a share: from 0 to this."""
_LIKELIHOODS = frozenset({("111012", "DCM"), ("111047", "DCM")})
"""Certainty of Finding, Probability of Cancer."""
_LIKELY = re.compile(r"\b(likelihood|probability|certainty|confidence)\b", re.IGNORECASE)
_OTHER_SCALE = re.compile(r"\b(ratio|odds|log|logit|interval|index|score|category)\b", re.IGNORECASE)
"""Beside such a word the number is none of these."""
_EXTENTS = frozenset(
    (code, "SCT")
    for code in (
        *("410668003", "103339001", "103340004", "81827009", "118565006", "42798000", "103355008", "131191004"),
        *("410669006", "121207005"),
    )
)
"""Length, long and short axis, diameter, volume, area, width, perimeter, depth, height."""
_EXTENT = re.compile(
    r"\b(length|diameter|axis|area|volume|thickness|width|height|perimeter|circumference|radius)\b", re.IGNORECASE
)
_SIGNED = re.compile(
    r"\b(change|difference|growth|shift|offset|displacement|deviation|delta|relative|z-?score|versus|vs|error"
    r"|position|descent|location|loss|gain|log|attenuation|density|angle|shear|strain)\b",
    re.IGNORECASE,
)
"""Beside such a word a size may be negative."""
_SIZES = re.compile(r"([kcdmun]?m|\[(in|ft|yd)_i\])[23]?|[kcdmun]?[lL]")
"""UCUM units of length, area and volume."""


def likelihood_problem(value: float, unit: str, meaning: str, concept: tuple[str, str] | None) -> str:
    """Why a likelihood cannot have this value; empty where it can, or where it is no likelihood."""
    is_one = concept in _LIKELIHOODS or bool(_LIKELY.search(meaning) and not _OTHER_SCALE.search(meaning))
    highest = _SHARES.get(unit)
    if not is_one or highest is None or 0 <= value <= highest:
        return ""
    hint = '; is the unit "%" meant?' if unit == "1" and 1 < value <= 100 else ""
    return f"{value:g} is not within 0 to {highest:g}, where {meaning!r} in unit {unit!r} lies{hint}"


def size_problem(value: float, unit: str, meaning: str, concept: tuple[str, str]) -> str:
    """Why a size cannot have this value; empty where it can, or where it is no size."""
    is_size = concept in _EXTENTS or bool(_EXTENT.search(meaning))
    if value >= 0 or not is_size or not _SIZES.fullmatch(unit) or _SIGNED.search(meaning):
        return ""
    return f"{value:g} {unit} is below 0, which {meaning!r} cannot be"
