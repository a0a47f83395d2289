"""What of an element's encoding breaks PS3.5 7 although it can be read: a peer that is strict may choke on it.

Pure functions of tag, VR and length. What cannot be read at all is for `node.dicom.elements` to say.
"""

from __future__ import annotations

from functools import lru_cache

from pydicom.datadict import dictionary_VR

LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
"""VRs with a length of four bytes (PS3.5 7.1.2)."""
SHORT = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
"""VRs with a length of two bytes."""
_STATED = frozenset(vr.decode() for vr in SHORT | LONG)
_SIZES = {
    "AT": 4,
    "FD": 8,
    "FL": 4,
    "OD": 8,
    "OF": 4,
    "OL": 4,
    "OV": 8,
    "SL": 4,
    "SS": 2,
    "SV": 8,
    "UL": 4,
    "US": 2,
    "UV": 8,
    "US or SS": 2,
}
"""Bytes of one value (PS3.5 6.2)."""
_NOT_OF_DATA_SETS = frozenset({0x0000, 0x0001, 0x0002, 0x0003, 0x0005, 0x0007, 0xFFFF})
"""Groups of commands and file meta information, and those that private elements must not use (PS3.5 7.8)."""


def fault_of(tag: int, vr: str, length: int | None, *, explicit: bool) -> str:
    """What is wrong with one element by itself, "" where nothing is; `length`: None where it is undefined.

    `vr` is "" where the encoding does not state it; `explicit`: it should have.
    """
    if explicit and vr not in _STATED:
        return f"VR {vr} is not of the Standard" if vr else "no VR is stated"
    if length is None:
        return ""
    if length % 2:
        return f"odd length {length}"
    size = _SIZES.get(vr or _dictionary_vr(tag), 1)
    return f"length {length} is not a multiple of {size}" if length % size else ""


def place_fault(tag: int, previous: int) -> str:
    """What is wrong with an element's being here, after the tag `previous`; "" where nothing is."""
    if tag <= previous:
        return "comes twice" if tag == previous else "tags do not ascend"
    return "a group that data sets must not use" if tag >> 16 in _NOT_OF_DATA_SETS else ""


@lru_cache(maxsize=20_000)
def _dictionary_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def is_sequence(tag: int) -> bool:
    """Whether the dictionary says SQ (PS3.6)."""
    return _dictionary_vr(tag) == "SQ"
