"""From the bytes of elements to values that rules can ask about: `{keyword: [VR, [values]]}`.

The names of attributes are those of rules/facts.py. Bulk values, and whatever is too long to be
asked for in a rule, are left out: a header is a few kilobytes, however large the object.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from pydicom.datadict import dictionary_VR, keyword_for_tag, private_dictionary_VR

from node.dicom.charset import UndecodableTextError, decode_text
from node.dicom.elements import Elements, Items, Raw

Header: TypeAlias = "dict[str, list[Any]]"

LONGEST_TEXT = 1024
"""Bytes of a text value that is kept."""
MOST_VALUES = 256
"""Values of one attribute that are kept; an attribute with more is left out."""
MOST_ITEMS = 2048
"""Items of one sequence that are kept, and distinct values that the frames of one object may have of an attribute."""
MOST_KEPT = 100_000
"""Attributes of one header, those within items counted."""

_ASCII = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_TEXTS = frozenset({"LO", "PN", "SH", "UC"})
_ONE_TEXT = frozenset({"LT", "ST", "UT"})
_NUMBERS = {"FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
_SHARED_GROUPS, _FRAMES_GROUPS = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103


@dataclass(slots=True)
class Converter:
    """Converts one dataset; remembers which texts could not be decoded and whether all was kept."""

    little: bool
    signed: bool = False
    """Pixel Representation, which says what "US or SS" is."""
    undecodable: list[str] = field(default_factory=list)
    left_out: bool = False
    """There were more than `MOST_KEPT` attributes or `MOST_ITEMS` items."""
    _kept: int = 0

    def header(self, elements: Elements) -> Header:
        """All attributes worth keeping, in the order of the file."""
        representation = elements.get(_PIXEL_REPRESENTATION)
        if representation is not None and not isinstance(representation.value, list):
            self.signed = any(bytes(representation.value[:2]))
        header = self._item(elements, [""])
        _lift(header)
        return header

    def _item(self, elements: Elements, labels: list[str]) -> Header:
        own = elements.get(_CHARACTER_SET)
        if own is not None and not isinstance(own.value, list):
            labels = _ascii(bytes(own.value[:LONGEST_TEXT])) or [""]
        header: Header = {}
        for name, tag, vr, raw in _named(elements, labels):
            if self._kept >= MOST_KEPT:
                self.left_out = True
                break
            values = self._values(name, tag, vr, raw, labels)
            if values is not None:
                self._kept += 1
                header.setdefault(name, values)
        return header

    def _values(self, name: str, tag: int, vr: str, raw: Raw, labels: list[str]) -> list[Any] | None:
        if isinstance(raw.value, list):
            if name == _FRAMES_GROUPS:
                return ["SQ", [self._frames(raw.value, labels)]]
            self.left_out = self.left_out or len(raw.value) > MOST_ITEMS
            return ["SQ", [self._item(item, labels) for item in raw.value[:MOST_ITEMS]]]
        if len(raw.value) > LONGEST_TEXT and vr not in _NUMBERS:
            return None
        if vr == "US or SS":
            vr = "SS" if self.signed else "US"
        if vr in _NUMBERS:
            return _with(vr, _binary(raw.value, _NUMBERS[vr], self.little))
        data = bytes(raw.value)
        if vr in _ASCII:
            return _with(vr, [_READERS.get(vr, str)(part) for part in _ascii(data)])
        if vr in _TEXTS or vr in _ONE_TEXT:
            return _with(vr, self._text(name, vr, data, labels))
        if vr == "AT":
            pairs = struct.iter_unpack("<HH" if self.little else ">HH", data[: len(data) // 4 * 4])
            return _with(vr, [f"{group:04x}{element:04x}" for group, element in pairs])
        if vr == "UN" and tag >> 16 & 1 and _is_plain(data):  # a private text, its VR lost on the way
            return _with(vr, _ascii(data))
        return None

    def _frames(self, frames: Items, labels: list[str]) -> Header:
        """All frames' functional groups as those of one: an attribute has its distinct values (PS3.3 C.7.6.16)."""
        groups: dict[str, Items] = {}
        for frame in frames:
            for name, _, _, raw in _named(frame, labels):
                if isinstance(raw.value, list):
                    groups.setdefault(name, []).extend(raw.value)
        return {name: ["SQ", [self._merged(items, labels)]] for name, items in groups.items()}

    def _merged(self, items: Items, labels: list[str]) -> Header:
        """Each attribute with the distinct values of all items, one after the other; all of them or none."""
        distinct: dict[str, dict[object, tuple[int, str, Raw]]] = {}
        for item in items:
            for name, tag, vr, raw in _named(item, labels):
                seen = distinct.setdefault(name, {})
                if len(seen) <= MOST_ITEMS:
                    seen.setdefault(_content(raw), (tag, vr, raw))
        merged: Header = {}
        for name, seen in distinct.items():
            read = [self._values(name, *each, labels) for each in seen.values()]
            found = [value for each in read if each for value in each[1]]
            if len(seen) > MOST_ITEMS or self._kept + len(found) > MOST_KEPT:
                self.left_out = True
            elif all(read):
                self._kept += len(found)
                merged[name] = [read[0][0] if read[0] else "UN", found]
        return merged

    def _text(self, name: str, vr: str, data: bytes, labels: list[str]) -> list[str]:
        data = data.rstrip(b" \0")
        if not data:
            return []
        try:
            text = decode_text(data, labels)
        except UndecodableTextError:
            text = data.decode("ascii", "replace")
            if len(self.undecodable) < 10:
                self.undecodable.append(name)
        if vr in _ONE_TEXT:
            return [text.rstrip(" \0")]
        return [part.strip(" \0") for part in text.split("\\")]


def _lift(header: Header) -> None:
    """Let attributes of functional groups stand at the instance, unless it has them itself."""
    lifted: Header = {}
    for sequence in (_SHARED_GROUPS, _FRAMES_GROUPS):
        own: Header = {}
        for macro in [element for groups in items(header, sequence) for element in groups.values()]:
            for item in macro[1] if macro[0] == "SQ" else ():
                own |= {name: element for name, element in item.items() if element[1] and not name.startswith("(")}
        lifted |= {name: element for name, element in own.items() if name not in lifted}
    for name, element in lifted.items():
        if not header.get(name, ["", []])[1]:
            header[name] = element


def _content(raw: Raw) -> object:
    """What two elements have to have in common to be equal."""
    if not isinstance(raw.value, list):
        return bytes(raw.value[: LONGEST_TEXT + 1])
    return tuple((tag, _content(each)) for item in raw.value for tag, each in item.items())


def _named(elements: Elements, labels: list[str]) -> Iterator[tuple[str, int, str, Raw]]:
    """Elements with the names that rules know them by, and their VR; without group lengths and private creators."""
    for tag, raw in elements.items():
        element = tag & 0xFFFF
        if element == 0:
            continue
        if not tag >> 16 & 1:
            name, vr = _public(tag)
            yield name, tag, (vr if raw.vr in ("", "UN") else raw.vr), raw
        elif element > 0xFF:
            creator = _creator(elements, tag, labels)
            name = f"({tag >> 16:04x},{creator},{element & 0xFF:02x})" if creator else _hexadecimal(tag)
            yield name, tag, (_private_vr(tag, creator) if raw.vr in ("", "UN") else raw.vr), raw


def _creator(elements: Elements, tag: int, labels: list[str]) -> str:
    block = elements.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
    if block is None or isinstance(block.value, list):
        return ""
    data = bytes(block.value[:64])
    try:
        return decode_text(data, labels).strip(" \0")
    except UndecodableTextError:
        return data.decode("ascii", "replace").strip(" \0")


def _hexadecimal(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


@lru_cache(maxsize=20_000)
def _public(tag: int) -> tuple[str, str]:
    try:
        return keyword_for_tag(tag) or _hexadecimal(tag), dictionary_VR(tag)
    except KeyError:
        return _hexadecimal(tag), "UN"


@lru_cache(maxsize=20_000)
def _private_vr(tag: int, creator: str) -> str:
    try:
        return private_dictionary_VR(tag, creator) if creator else "UN"
    except KeyError:
        return "UN"


def _with(vr: str, values: list[Any] | None) -> list[Any] | None:
    return None if values is None or len(values) > MOST_VALUES else [vr, values]


def _binary(data: memoryview, code: str, little: bool) -> list[int | float] | None:
    size = struct.calcsize("=" + code)
    count = len(data) // size
    if count > MOST_VALUES:
        return None
    numbers = struct.unpack(("<" if little else ">") + code * count, data[: count * size])
    return [value if math.isfinite(value) else str(value) for value in numbers]  # type: ignore[misc]  # "nan" is a text: JSON has no word for it


def _ascii(data: bytes) -> list[str]:
    """Values of a VR of the default repertoire; bytes outside it are shown as replaced."""
    text = data.decode("ascii", "replace").rstrip(" \0")
    return [part.strip(" \0") for part in text.split("\\")] if text else []


def _is_plain(data: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in data.rstrip(b"\0"))


def _decimal(text: str) -> float | str:
    try:
        value = float(text.replace("_", "?"))  # Python reads 1_000 as a number, DICOM does not
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def _integer(text: str) -> int | float | str:
    try:
        return int(text.replace("_", "?"))
    except ValueError:
        value = _decimal(text)
        return int(value) if isinstance(value, float) and value.is_integer() else value


_READERS: dict[str, Callable[[str], Any]] = {"DS": _decimal, "IS": _integer}


def first(header: Mapping[str, Any], keyword: str) -> Any:
    """The first value of an attribute, or None."""
    element = header.get(keyword)
    return element[1][0] if element and element[1] else None


def first_text(header: Mapping[str, Any], keyword: str) -> str:
    """The first value of an attribute as text, or ""."""
    value = first(header, keyword)
    return "" if value is None or isinstance(value, dict) else str(value)


def items(header: Mapping[str, Any], keyword: str) -> list[Header]:
    """The items of a sequence; none where it is absent or something else."""
    element = header.get(keyword)
    return [item for item in element[1] if isinstance(item, dict)] if element else []
