"""From the bytes of elements to values that rules can ask about: `{keyword: [VR, [values]]}`.

The names of attributes are those of rules/facts.py. Of bulk values, and of whatever is too long to be asked for in a
rule, `[VR, [values that are kept], NOT_KEPT]` says that it is there: a header is a few kilobytes, however large the
object.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

from pydicom.datadict import dictionary_VR, keyword_for_tag, private_dictionary_VR
from pydicom.multival import MultiValue

from node.dicom.charset import UndecodableTextError, decode_text
from node.dicom.elements import Elements, Items, RawElement
from node.dicom.vr import ASCII, LONG_TEXTS, NUMBERS, TEXTS

Header: TypeAlias = "dict[str, list[Any]]"

NOT_KEPT = 1
"""The third part of an element of which not all is kept."""
LONGEST_TEXT = 1024
"""Bytes of a text value that is kept."""
MOST_VALUES = 256
"""Values of one attribute that are kept; of an attribute with more none is."""
MOST_ITEMS = 2048
"""Items of one sequence that are kept, and distinct values that the frames of one object may have of an attribute."""
MOST_KEPT = 100_000
"""Attributes of one header, those within items counted."""

_SHARED_GROUPS, _FRAMES_GROUPS = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_REPEATING_GROUPS = (0x50, 0x60)
"""The first byte of the group: curves and overlays."""
_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103


@dataclass(slots=True)
class Converter:
    """Converts one dataset; remembers which texts could not be decoded and whether all was kept."""

    little: bool
    assumed: str = ""
    """Specific Character Set of texts whose own is missing or does not fit."""
    signed: bool = False
    """Pixel Representation, which says what "US or SS" is."""
    undecodable: list[str] = field(default_factory=list)
    left_out: bool = False
    """There were more than `MOST_KEPT` attributes or `MOST_ITEMS` items."""
    _kept: int = 0

    def header(self, elements: Elements, labels: Sequence[str] = ("",)) -> Header:
        """All attributes worth keeping, in the order of the file; `labels`: the character set where none is stated."""
        representation = elements.get(_PIXEL_REPRESENTATION)
        if representation is not None and not isinstance(representation.value, list):
            self.signed = any(bytes(representation.value[:2]))
        header = self._item(elements, list(labels))
        _lift(header)
        return header

    def labels_of(self, elements: Elements, outer: list[str]) -> list[str]:
        """Specific Character Set of a dataset or item: its own, else that of what it is in."""
        own = elements.get(_CHARACTER_SET)
        if own is None or isinstance(own.value, list):
            return outer
        return _ascii(bytes(own.value[:LONGEST_TEXT])) or [""]

    def decoded(self, elements: Elements, labels: list[str]) -> Iterator[tuple[int, str, RawElement, list[Any] | None]]:
        """The public elements by tag, with their VR and values; None where these are a sequence, bulk or too long."""
        for name, tag, vr, raw in sorted(_named(elements, labels), key=itemgetter(1)):
            if not tag >> 16 & 1:
                found = None if isinstance(raw.value, list) else self._values(name, tag, vr, raw, labels)
                yield tag, vr, raw, None if found is None or found[2:] else found[1]

    def _item(self, elements: Elements, labels: list[str]) -> Header:
        labels = self.labels_of(elements, labels)
        header: Header = {}
        for name, tag, vr, raw in _named(elements, labels):
            if self._kept >= MOST_KEPT:
                self.left_out = True
                header.setdefault(name, [vr, [], NOT_KEPT])
                continue
            values = self._values(name, tag, vr, raw, labels)
            self._kept += 1
            if name in header:  # a second private block of one creator
                values = [header[name][0], header[name][1] + values[1], *(header[name][2:] or values[2:])]
            header[name] = values
        return header

    def _values(self, name: str, tag: int, vr: str, raw: RawElement, labels: list[str]) -> list[Any]:
        if isinstance(raw.value, list):
            return self._items(name, raw.value, labels)
        if not raw.value:
            return [vr, []]
        if len(raw.value) > LONGEST_TEXT and vr not in NUMBERS:
            is_text = vr in ASCII or vr in TEXTS or vr in LONG_TEXTS
            return [vr, [], NOT_KEPT] if not is_text or bytes(raw.value).strip(b" \0") else [vr, []]
        if vr == "US or SS":
            vr = "SS" if self.signed else "US"
        if vr in NUMBERS:
            return _with(vr, _binary(raw.value, NUMBERS[vr], self.little))
        data = bytes(raw.value)
        if vr in ASCII:
            return _with(vr, [_READERS.get(vr, str)(part) for part in _ascii(data)])
        if vr in TEXTS or vr in LONG_TEXTS:
            return _with(vr, self._text(name, vr, data, labels))
        if vr == "AT":
            pairs = struct.iter_unpack("<HH" if self.little else ">HH", data[: len(data) // 4 * 4])
            return _with(vr, [f"{group:04x}{element:04x}" for group, element in pairs])
        if vr == "UN" and tag >> 16 & 1 and _is_plain(data):  # a private text, its VR lost on the way
            return _with(vr, _ascii(data))
        return [vr, [], NOT_KEPT]

    def _items(self, name: str, items: Items, labels: list[str]) -> list[Any]:
        before, self.left_out = self.left_out, len(items) > MOST_ITEMS
        if name == _FRAMES_GROUPS:
            self.left_out = False
            kept: list[Any] = ["SQ", [self._frames(items, labels)]]
        else:
            kept = ["SQ", [self._item(item, labels) for item in items[:MOST_ITEMS]]]
        cut, self.left_out = self.left_out, self.left_out or before
        return [*kept, NOT_KEPT] if cut else kept

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
        distinct: dict[str, dict[object, tuple[int, str, RawElement]]] = {}
        for item in items:
            for name, tag, vr, raw in _named(item, labels):
                seen = distinct.setdefault(name, {})
                if len(seen) <= MOST_ITEMS:
                    seen.setdefault(_content(raw), (tag, vr, raw))
        merged: Header = {}
        for name, seen in distinct.items():
            read = [self._values(name, *each, labels) for each in seen.values()]
            found = [value for each in read for value in each[1]]
            if len(seen) > MOST_ITEMS or self._kept + len(found) > MOST_KEPT:
                self.left_out = True
                merged[name] = [read[0][0], [], NOT_KEPT]
            else:
                self._kept += len(found)
                merged[name] = [read[0][0], found, *([NOT_KEPT] if any(each[2:] for each in read) else ())]
        return merged

    def _text(self, name: str, vr: str, data: bytes, labels: list[str]) -> list[str]:
        data = data.rstrip(b" \0")
        if not data:
            return []
        try:
            text = decode_text(data, labels, self.assumed)
        except UndecodableTextError:
            text = data.decode("ascii", "replace")
            if len(self.undecodable) < 10:
                self.undecodable.append(name)
        if vr in LONG_TEXTS:
            return [text.rstrip(" \0")]
        return [part.strip(" \0") for part in text.split("\\")]


def _lift(header: Header) -> None:
    """Let attributes of functional groups stand at the instance, unless it has them itself."""
    lifted: Header = {}
    for sequence in (_SHARED_GROUPS, _FRAMES_GROUPS):
        own: Header = {}
        for macro in [element for groups in items(header, sequence) for element in groups.values()]:
            for item in macro[1] if macro[0] == "SQ" else ():
                there = ((name, element) for name, element in item.items() if element[1] or element[2:])
                own |= {name: element for name, element in there if not name.startswith("(")}
        lifted |= {name: element for name, element in own.items() if name not in lifted}
    for name, element in lifted.items():
        if not any(header.get(name, ["", []])[1:]):
            header[name] = element


def _content(raw: RawElement) -> object:
    """What two elements have to have in common to be equal."""
    if not isinstance(raw.value, list):
        return bytes(raw.value[: LONGEST_TEXT + 1])
    return tuple((tag, _content(each)) for item in raw.value for tag, each in item.items())


def _named(elements: Elements, labels: list[str]) -> Iterator[tuple[str, int, str, RawElement]]:
    """Elements with the names that rules know them by, and their VR; without group lengths and private creators.

    An element of a repeating group (overlays, curves; PS3.5 7.6) is named by its tag: all groups share one keyword.
    """
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
        repeating = tag >> 24 in _REPEATING_GROUPS
        return ("" if repeating else keyword_for_tag(tag)) or _hexadecimal(tag), dictionary_VR(tag)
    except KeyError:
        return _hexadecimal(tag), "UN"


@lru_cache(maxsize=20_000)
def _private_vr(tag: int, creator: str) -> str:
    try:
        return private_dictionary_VR(tag, creator) if creator else "UN"
    except KeyError:
        return "UN"


def _with(vr: str, values: list[Any] | None) -> list[Any]:
    return [vr, [], NOT_KEPT] if values is None or len(values) > MOST_VALUES else [vr, values]


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
    found = header.get(keyword)
    return found[1][0] if found and found[1] else None


def first_text(header: Mapping[str, Any], keyword: str) -> str:
    """The first value of an attribute as text, or ""."""
    value = first(header, keyword)
    return "" if value is None or isinstance(value, dict) else str(value)


def items(header: Mapping[str, Any], keyword: str) -> list[Header]:
    """The items of a sequence; none where it is absent or something else."""
    found = header.get(keyword)
    return [item for item in found[1] if isinstance(item, dict)] if found else []


def value_text(value: object) -> str:
    """A value as text: several are joined by backslashes, as they are encoded (PS3.5 6.4); "" where there is none."""
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value)
