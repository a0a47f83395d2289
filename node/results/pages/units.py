"""Units as readers of pages know them: UCUM writes mm2 and 10*3/uL (UCUM 2.1), people mm² and 10³/µL."""

from __future__ import annotations

import re

from node.reading.codes import unit_text

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_POWER = re.compile(r"(?<=[A-Za-z])(-?[1-9])(?![0-9])|\*(-?[0-9]+)|\^(-?[0-9]+)")
_MICRO = re.compile(r"(?<![A-Za-z])u(?=(?:[gLlmsN]|mol)\b)")


def shown_unit(code: str) -> str:
    """A UCUM unit as it is written on a page; empty where a number needs none."""
    text = unit_text(code)
    if "[" in text or "{" in text:  # arbitrary units and annotations are names
        return text
    return _POWER.sub(lambda found: next(filter(None, found.groups())).translate(_RAISED), _MICRO.sub("µ", text))
