"""Attribute coercion on the way (PS3.3 C.12.1, Original Attributes Macro): what is named changes, and nothing else.

The data set is not decoded and encoded again: elements are found, cut out and put in, and every other
byte, pixel data last, is copied as it was received. What was there before goes, as it was, into
a new item of Original Attributes Sequence behind those of earlier systems; an attribute that was not there
is named in it without a value.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from struct import pack
from typing import Any, BinaryIO

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import data_element_generator
from pydicom.filewriter import write_data_element
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from node.dicom.charset import can_encode
from node.dicom.deflated import DeflatedFile, inflate
from node.errors import PermanentError
from node.store.arrival import read_arrival

_ORIGINAL_ATTRIBUTES = 0x04000561
_CHARACTER_SET = 0x00080005
_UNDEFINED = 0xFFFFFFFF
_LONGEST_KEPT = 1 << 16
"""Bytes of a value that is looked at while elements are found; longer ones are passed over."""
_COPY = 1 << 20


@dataclass(frozen=True, slots=True)
class Coercion:
    """What is overwritten, and what is said of it."""

    changes: Mapping[str, Any]
    """Keyword to value, list of values, or None to empty it."""
    at: datetime
    """When the rule decided so; the same however often the image is sent."""
    system: str
    """Modifying System (0400,0563): this node's AE title."""
    source: str
    """Source of Previous Values (0400,0564): the AE title that the image came from."""


def coerce(source: Path, target: Path, coercion: Coercion) -> None:
    """Write `target`, a received file with these attributes overwritten, in its own transfer syntax.

    Raises PermanentError where a value has no place in its character set, or it is not built as PS3.5 says.
    """
    arrival, offset = read_arrival(source)
    syntax = arrival.transfer_syntax_uid
    with source.open("rb") as file, target.open("wb") as out:
        out.write(file.read(offset))
        if syntax == DeflatedExplicitVRLittleEndian:
            with target.with_suffix(".inflated").open("w+b") as inflated:
                Path(inflated.name).unlink()
                inflate(file, inflated)
                deflated = DeflatedFile(out)
                _splice(inflated, 0, deflated, _ElementEncoding(implicit=False, little=True), coercion)
                deflated.finish()
        else:
            encoding = _ElementEncoding(implicit=syntax == ImplicitVRLittleEndian, little=syntax != ExplicitVRBigEndian)
            _splice(file, offset, out, encoding, coercion)


@dataclass(frozen=True, slots=True)
class _ElementEncoding:
    """How elements are written (PS3.5 7.1)."""

    implicit: bool
    little: bool

    def header(self, tag: int, vr: str, length: int) -> bytes:
        order = "<" if self.little else ">"
        if self.implicit:
            return pack(f"{order}HHL", tag >> 16, tag & 0xFFFF, length)
        if vr in EXPLICIT_VR_LENGTH_32:
            return pack(f"{order}HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
        return pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)

    def sequence(self, tag: int, items: bytes) -> bytes:
        return self.header(tag, "SQ", len(items)) + items

    def item(self, content: bytes) -> bytes:
        return pack(f"{'<' if self.little else '>'}HHL", 0xFFFE, 0xE000, len(content)) + content

    def element(self, tag: int, values: list[str], labels: list[str]) -> bytes:
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = self.implicit, self.little
        write_data_element(buffer, DataElement(tag, dictionary_VR(tag), values or None), labels)
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class _LocatedElement:
    """An element of the data set and where it stands."""

    tag: int
    start: int
    end: int
    value: Any
    """Bytes; of an undefined length something else, and None where it is long."""


def _elements(file: BinaryIO, offset: int, encoding: _ElementEncoding, last: int) -> Iterator[_LocatedElement]:
    """The elements of the data set, up to the tag `last`."""
    file.seek(offset)
    start = offset
    for element in data_element_generator(
        file, encoding.implicit, encoding.little, stop_when=lambda tag, *_: tag > last, defer_size=_LONGEST_KEPT
    ):
        end = file.tell()
        yield _LocatedElement(int(element.tag), start, end, element.value)
        start = end


def _splice(
    file: BinaryIO, offset: int, out: BinaryIO | DeflatedFile, encoding: _ElementEncoding, coercion: Coercion
) -> None:
    changes = {_tag(keyword): _texts(value) for keyword, value in coercion.changes.items()}
    last = max(_ORIGINAL_ATTRIBUTES, *changes)
    found = {each.tag: each for each in _elements(file, offset, encoding, last)}
    labels = _labels(found)
    for texts in changes.values():
        if not all(can_encode(text, labels) for text in texts):
            charset = "\\".join(labels) or "(none)"
            raise PermanentError(f"coerce: {texts[0]!r} cannot be written in the image's character set {charset}")

    def as_it_was(each: _LocatedElement) -> bytes:
        file.seek(each.start)
        return file.read(each.end - each.start)

    before = b"".join(
        as_it_was(found[tag]) if tag in found else encoding.element(tag, [], []) for tag in sorted(changes)
    )
    new = {tag: encoding.element(tag, texts, labels) for tag, texts in changes.items()}
    earlier = _items(as_it_was(found[_ORIGINAL_ATTRIBUTES]), encoding) if _ORIGINAL_ATTRIBUTES in found else b""
    new[_ORIGINAL_ATTRIBUTES] = encoding.sequence(_ORIGINAL_ATTRIBUTES, earlier + _item(before, encoding, coercion))
    groups = {tag >> 16 for tag in new}
    for each in sorted(found.values(), key=lambda one: one.start):
        for tag in sorted(tag for tag in new if tag <= each.tag):
            out.write(new.pop(tag))
        lies = each.tag & 0xFFFF == 0 and each.tag >> 16 in groups  # a group length (retired) that counts no longer
        if each.tag not in changes and each.tag != _ORIGINAL_ATTRIBUTES and not lies:
            out.write(as_it_was(each))
    for tag in sorted(new):
        out.write(new[tag])
    file.seek(max((each.end for each in found.values()), default=offset))
    shutil.copyfileobj(file, out, _COPY)


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise PermanentError(f"coerce: {keyword!r} is not a keyword of a DICOM attribute")
    return tag


def _texts(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _labels(found: Mapping[int, _LocatedElement]) -> list[str]:
    """The values of Specific Character Set (PS3.3 C.12.1.1.2)."""
    element = found.get(_CHARACTER_SET)
    raw = element.value if element is not None and isinstance(element.value, bytes) else b""
    text = raw.decode("ascii", "replace").strip(" \0")
    return [label.strip() for label in text.split("\\")] if text else []


def _items(element: bytes, encoding: _ElementEncoding) -> bytes:
    """The items of a sequence element, without what is around them."""
    head = 8 if encoding.implicit else 12
    if not encoding.implicit and element[4:6] != b"SQ":
        raise PermanentError("coerce: its Original Attributes Sequence is not encoded as a sequence")
    length = int.from_bytes(element[head - 4 : head], "little" if encoding.little else "big")
    return element[head:-8] if length == _UNDEFINED else element[head:]


def _item(before: bytes, encoding: _ElementEncoding, coercion: Coercion) -> bytes:
    """One item: the value before, when it was changed, by whom, where it came from, and why."""
    at = coercion.at.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
    told = {
        "AttributeModificationDateTime": at,
        "ModifyingSystem": coercion.system,
        "SourceOfPreviousValues": coercion.source,
        "ReasonForTheAttributeModification": "COERCE",
    }
    texts = {_tag(keyword): text.strip() for keyword, text in told.items()}
    elements = {tag: encoding.element(tag, [text] if text else [], []) for tag, text in texts.items()}
    elements[_tag("ModifiedAttributesSequence")] = encoding.sequence(
        _tag("ModifiedAttributesSequence"), encoding.item(before)
    )
    return encoding.item(b"".join(elements[tag] for tag in sorted(elements)))
