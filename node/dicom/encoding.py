"""What of an element's encoding breaks PS3.5 7 although it can be read: a peer that is strict may choke on it.

Pure functions of tag, VR and length. What cannot be read at all is for `node.dicom.elements` to say.
"""

from __future__ import annotations

from functools import lru_cache

from pydicom.datadict import dictionary_VR

from node.dicom.vr import KNOWN, SIZES

_NOT_OF_DATA_SETS = frozenset({0x0000, 0x0001, 0x0002, 0x0003, 0x0005, 0x0007, 0xFFFF})
"""Groups of commands and file meta information, and those that private elements must not use (PS3.5 7.8)."""


def fault_of(tag: int, vr: str, length: int | None, *, explicit: bool) -> str:
    """What is wrong with one element by itself, "" where nothing is; `length`: None where it is undefined.

    `vr` is "" where the encoding does not state it; `explicit`: it should have.
    """
    if explicit and vr not in KNOWN:
        return f"VR {vr} is not of the Standard" if vr else "no VR is stated"
    if length is None:
        return ""
    if length % 2:
        return f"odd length {length}"
    size = SIZES.get(vr or _dictionary_vr(tag), 1)
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
