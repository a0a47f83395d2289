"""A dataset's elements as they lie in the bytes (PS3.5 7), read so that no file can hurt the reader.

pydicom reads well-formed files; here come files as modalities and attackers send them, 300 at a time.
So this reader walks the structure itself and leaves the meaning of values to others: nesting and the
number of elements are bounded, lengths are checked against the bytes that are there, values are views
that copy nothing, and what was read before a defect is kept together with the defect's description.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from node.dicom.encoding import fault_of, is_sequence, place_fault
from node.dicom.vr import LONG_LENGTH, SHORT_LENGTH

DEEPEST = 32
"""Sequences within sequences that are kept; real objects need about ten."""
MOST_ELEMENTS = 400_000
"""Elements that are kept; an enhanced object of 10,000 frames has about as many."""

PIXEL_DATA = 0x7FE00010
PIXELS = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})
"""Pixel Data, Float Pixel Data, Double Float Pixel Data: the dataset is read up to the first of them."""
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MOST_FAULTS = 3

_LONG = frozenset(vr.encode() for vr in LONG_LENGTH)
_SHORT = frozenset(vr.encode() for vr in SHORT_LENGTH)
"""VRs as they are in the bytes."""

Items: TypeAlias = "list[Elements]"
Elements: TypeAlias = "dict[int, RawElement]"
"""Elements of a dataset or item by tag, in the order of the file."""


class RawElement(NamedTuple):
    """One element: its VR ("" where the encoding does not state it) and its bytes, or the items of a sequence."""

    vr: str
    value: memoryview | Items


class EncapsulatedElement(RawElement):
    """An element of undefined length that is not a sequence (PS3.5 A.4), such as compressed pixels in an item.

    The pixel data of the data set itself is none. The value is the fragments as items, with what delimits them.
    """

    __slots__ = ()


@dataclass(slots=True)
class Fragments:
    """Encapsulated pixel data (PS3.5 A.4): the offset table, and the fragments that follow it."""

    offsets: int = 0
    """Entries of the Basic Offset Table."""
    fragments: list[memoryview] = field(default_factory=list)


@dataclass(slots=True)
class Contents:
    """What was read of a dataset, and what is wrong with it."""

    elements: Elements = field(default_factory=dict)
    little: bool = True
    implicit: bool = False
    """As it is, whatever was announced."""
    pixels: memoryview = field(default_factory=lambda: memoryview(b""))
    """The element of the pixel data, encapsulated or native, with its tag and length."""
    fragments: Fragments | None = None
    """Pixel data that is encapsulated; native pixel data is an element."""
    defects: list[str] = field(default_factory=list)
    """Why the dataset could not be read completely, or not all of it was kept; empty where it is whole."""
    cut_pixels: str = ""
    """Why the pixel data ends too early."""
    repeated: str = ""
    """The first element that a data set or item has twice: the first one is kept, and other readers take the last."""
    loose: int = 0
    """Bytes after the pixel data that are no elements to this reader, and may be some to another."""
    faults: list[str] = field(default_factory=list)
    """What breaks the encoding rules (PS3.5 7) although it could be read; the first ones."""


class _BrokenError(Exception):
    """The structure cannot be followed any further."""


def parse(data: memoryview, *, implicit: bool, little: bool) -> Contents:
    """Read the dataset in `data` up to its pixel data. Never raises for what the bytes hold."""
    contents = Contents(little=little)
    reader = _ElementReader(data, little, contents)
    if len(data) >= 6:
        announced, implicit = implicit, not _looks_explicit(bytes(data[4:6]), implicit)
        if announced != implicit:  # some senders announce the other one
            found, said = ("Implicit", "Explicit") if implicit else ("Explicit", "Implicit")
            contents.faults.append(f"the data set is in {found} VR where {said} VR was announced")
    contents.implicit = implicit
    try:
        reader.dataset(0, len(data), contents.elements, implicit, 0)
    except _BrokenError as error:
        contents.defects.append(str(error))
    return contents


def _looks_explicit(vr: bytes, announced_implicit: bool) -> bool:
    """Whether the first element states its VR; a VR that nobody knows is believed only where it is announced."""
    return vr in _LONG or vr in _SHORT or (not announced_implicit and vr.isalpha() and vr.isupper())


def name_of(tag: int) -> str:
    """`(gggg,eeee)` in lower-case hexadecimal digits."""
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


class _ElementReader:
    def __init__(self, data: memoryview, little: bool, contents: Contents) -> None:
        self._data = data
        order = "<" if little else ">"
        self._tag_length = struct.Struct(order + "HHL").unpack_from
        self._tag = struct.Struct(order + "HH").unpack_from
        self._long = struct.Struct(order + "L").unpack_from
        self._short = struct.Struct(order + "H").unpack_from
        self._contents = contents
        self._kept = 0

    def dataset(self, at: int, end: int, into: Elements, implicit: bool, depth: int, *, delimited: bool = False) -> int:
        """Read elements from `at` until `end` or the end of the item; returns where it stopped.

        `delimited`: of undefined length, so that a delimiter has to end it.
        """
        previous = -1
        while at + 8 <= end:
            tag, vr, length, start = self._head(at, implicit, end)
            if tag in (_ITEM_END, _SEQUENCE_END):
                if depth == 0:
                    raise _BrokenError(f"{name_of(tag)}: stands outside of any sequence")
                if tag == _ITEM_END:
                    return start
                self._fault(tag, "ends a sequence whose last item does not end")  # as some writers leave it
                return at
            self._fault(tag, place_fault(tag, previous))
            previous = tag
            known = None if length == _UNDEFINED else length
            self._fault(tag, fault_of(tag, vr, known, explicit=not implicit))
            if depth == 0 and tag in PIXELS:
                behind = self._pixels(tag, vr, start, length, end, into)
                self._contents.pixels = self._data[at:behind]
                self._tail(tag, behind, end, implicit)
                return end
            at = self._element(tag, vr, length, start, end, into, implicit, depth)
        return self._ended(at, end, depth, delimited=delimited)

    def _ended(self, at: int, end: int, depth: int, *, delimited: bool) -> int:
        """The bytes of a data set or item are over without a delimiter; returns where they end."""
        if at < end and depth == 0 and any(self._data[at:end]):
            raise _BrokenError(f"{end - at} bytes at the end are not an element")
        if at < end:
            self._fault(0, f"{end - at} bytes at the end of the {'item' if depth else 'data set'} are not an element")
        if delimited:
            self._fault(_ITEM, "an item of undefined length does not end")
        return end

    def _tail(self, previous: int, at: int, end: int, implicit: bool) -> None:
        """What follows the pixel data: its elements are not kept, but they have to be elements."""
        try:
            while at + 8 <= end:
                tag, vr, length, start = self._head(at, implicit, end)
                known = None if length == _UNDEFINED else length
                if tag <= previous or (known is not None and start + known > end):
                    break
                self._fault(tag, fault_of(tag, vr, known, explicit=not implicit))
                at = start + known if known is not None else self._skip(start, end, implicit or vr == "UN")
                previous = tag
        except _BrokenError:
            pass  # where `at` is, it is not an element any more
        self._contents.loose = end - at if at + 8 <= end else 0
        if at < end:
            self._fault(PIXEL_DATA, f"{end - at} bytes after the pixel data are not an element")

    def _head(self, at: int, implicit: bool, end: int) -> tuple[int, str, int, int]:
        """Tag, VR, length, and where the value begins."""
        group, element, length = self._tag_length(self._data, at)
        tag = group << 16 | element
        if implicit or group == 0xFFFE:
            return tag, "", length, at + 8
        vr = bytes(self._data[at + 4 : at + 6])
        if vr in _SHORT:
            return tag, vr.decode(), self._short(self._data, at + 6)[0], at + 8
        if vr in _LONG or (vr.isalpha() and vr.isupper()):  # a VR of the future has a long length (PS3.5 7.1.2)
            if at + 12 > end:
                raise _BrokenError(f"{name_of(tag)}: the dataset ends within the element's length")
            return tag, vr.decode(), self._long(self._data, at + 8)[0], at + 12
        return tag, "", length, at + 8  # an element of implicit VR among explicit ones

    def _element(
        self, tag: int, vr: str, length: int, start: int, end: int, into: Elements, implicit: bool, depth: int
    ) -> int:
        """Keep one element; returns where the next begins."""
        if length == _UNDEFINED and vr in ("OB", "OW"):
            behind = self._fragments(start, end, Fragments())
            self._keep(tag, EncapsulatedElement(vr, self._data[start:behind]), into)
            return behind
        if length != _UNDEFINED and start + length > end:
            raise _BrokenError(f"{name_of(tag)}: {length} bytes are announced, {end - start} are there")
        # UN of undefined length is a sequence in implicit VR (PS3.5 6.2.2 note 2); so is a known one of known length.
        if not (vr == "SQ" or length == _UNDEFINED or (vr in ("", "UN") and is_sequence(tag))):
            self._keep(tag, RawElement(vr, self._data[start : start + length]), into)
            return start + length
        if self._kept > MOST_ELEMENTS or depth >= DEEPEST:
            self._note(f"{name_of(tag)}: sequences nested over {DEEPEST} deep, or over {MOST_ELEMENTS} elements")
            return start + length if length != _UNDEFINED else self._skip(start, end, implicit or vr == "UN")
        items: Items = []
        self._keep(tag, RawElement("SQ", items), into)
        if length == _UNDEFINED:
            return self._items(start, end, items, implicit or vr == "UN", depth + 1, of=tag, delimited=True)
        try:
            self._items(start, start + length, items, implicit or vr == "UN", depth + 1, of=tag)
        except _BrokenError as error:  # its length says where to go on
            self._note(str(error))
        return start + length

    def _keep(self, tag: int, raw: RawElement, into: Elements) -> None:
        self._kept += 1
        if self._kept > MOST_ELEMENTS:
            self._note(f"{name_of(tag)}: more than {MOST_ELEMENTS} elements")
        elif into.setdefault(tag, raw) is not raw:
            self._contents.repeated = self._contents.repeated or name_of(tag)

    def _fault(self, tag: int, fault: str) -> None:
        """Note what is wrong with an element; `fault` is "" for nearly every one."""
        if fault and len(self._contents.faults) < _MOST_FAULTS:
            self._contents.faults.append(f"{name_of(tag)}: {fault}" if tag else fault)

    def _note(self, defect: str) -> None:
        if len(self._contents.defects) < 3:
            self._contents.defects.append(defect)

    def _items(
        self, at: int, end: int, items: Items, implicit: bool, depth: int, *, of: int, delimited: bool = False
    ) -> int:
        """Read the items of the sequence `of`; returns where it ends. `delimited`: it is of undefined length."""
        while at + 8 <= end:
            group, element, length = self._tag_length(self._data, at)
            tag = group << 16 | element
            at += 8
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM:
                raise _BrokenError(f"{name_of(tag)}: is where an item of a sequence should begin")
            open_ended = length == _UNDEFINED
            stop = end if open_ended else at + length
            if stop > end:
                raise _BrokenError(f"an item of {length} bytes is announced where {end - at} are left")
            item: Elements = {}
            items.append(item)
            at = self.dataset(at, stop, item, implicit, depth, delimited=open_ended)
            if not open_ended and at != stop:
                self._fault(of, "an item ends before its length does")
            if not open_ended and length % 2:
                self._fault(of, f"an item of odd length {length}")
        if delimited:
            self._fault(of, "a sequence of undefined length does not end")
        elif at < end:
            self._fault(of, f"{end - at} bytes at its end are not an item")
        return end

    def _skip(self, at: int, end: int, implicit: bool) -> int:
        """Pass over a sequence of undefined length without keeping or recursing; returns where it ends."""
        depth = 1
        while at + 8 <= end:
            tag, vr, length, start = self._head(at, implicit, end)
            at = start
            if tag == _SEQUENCE_END:
                depth -= 1
                if depth == 0:
                    return at
            elif length == _UNDEFINED and tag != _ITEM:
                depth += 1
                implicit = implicit or vr == "UN"
            elif length != _UNDEFINED and tag != _ITEM_END:
                at += length
        raise _BrokenError("a sequence of undefined length does not end")

    def _pixels(self, tag: int, vr: str, start: int, length: int, end: int, into: Elements) -> int:
        """Keep the pixel data; returns where it ends."""
        if length == _UNDEFINED:
            self._contents.fragments = Fragments()
            return self._fragments(start, end, self._contents.fragments, whole=False)
        if start + length > end:
            self._contents.cut_pixels = f"{length} bytes are announced, {end - start} are there"
        stop = min(start + length, end)
        into[tag] = RawElement(vr, self._data[start:stop])
        return stop

    def _fragments(self, at: int, end: int, into: Fragments, *, whole: bool = True) -> int:
        """Read items of encapsulated data; `whole`: it is not pixel data, so its end is needed to go on."""
        first = True
        while at + 8 <= end:
            group, element, length = self._tag_length(self._data, at)
            at += 8
            tag = group << 16 | element
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM or at + length > end:
                break
            if length % 2:
                self._fault(PIXEL_DATA, f"a fragment of odd length {length}")
            if first:
                into.offsets = length // 4
            else:
                into.fragments.append(self._data[at : at + length])
            first = False
            at += length
        if whole:
            raise _BrokenError("encapsulated data does not end")
        self._contents.cut_pixels = f"fragment {len(into.fragments) + 1} of the pixel data is not whole"
        return end


def text_of(elements: Mapping[int, RawElement], tag: int) -> str:
    """An ASCII value, without padding; "" where it is absent."""
    raw = elements.get(tag)
    if raw is None or isinstance(raw.value, list):
        return ""
    return bytes(raw.value[:1024]).decode("ascii", "replace").strip(" \0")
