"""Source images whose attributes are broken in every way that senders break them, written byte by byte.

The attributes are those that the Standard lists for patient, study, series, equipment, frame of reference and SOP
common, and those of all other modules of a kind of image, sequences with all that may be in their items; `FORMS` are
the ways.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

from tests.support.results import reports

MODULES = (
    "patient",
    "general-study",
    "patient-study",
    "clinical-trial-subject",
    "clinical-trial-study",
    "clinical-trial-series",
    "general-series",
    "general-equipment",
    "enhanced-general-equipment",
    "frame-of-reference",
    "sop-common",
    "general-reference",
)
IDENTIFYING = frozenset(
    {
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPClassUID",
        "PatientID",
        "PatientName",
        "IssuerOfPatientID",
        "AccessionNumber",
        "OtherPatientIDsSequence",
        "IssuerOfAccessionNumberSequence",
        "SpecificCharacterSet",
    }
)
"""For whose sake a result may be held, and the character set, without which they cannot be read."""
IN_WORDS = IDENTIFYING | {"LocalNamespaceEntityID", "UniversalEntityID"}
"""What the reason may name: an attribute of these, or one of their items."""

_VALID = {
    "PN": b"Kim^Doctor",
    "LO": b"Some text",
    "SH": b"TEXT",
    "ST": b"Some text",
    "LT": b"Some text",
    "UT": b"Some text",
    "UC": b"Some text",
    "CS": b"YES",
    "DA": b"20240101",
    "TM": b"101500",
    "DT": b"20240101101500",
    "AS": b"063Y",
    "DS": b"1.5",
    "IS": b"1",
    "UI": b"1.2.840.99999.7",
    "UR": b"urn:oid:1.2.3",
    "US": b"\1\0",
    "SS": b"\1\0",
    "UL": b"\1\0\0\0",
    "SL": b"\1\0\0\0",
    "FL": struct.pack("<f", 1.5),
    "FD": struct.pack("<d", 1.5),
    "AT": b"\x10\0\x20\0",
    "AE": b"SCANNER",
    "OB": b"\1\2",
    "OW": b"\1\2",
    "UN": b"\1\2",
    "OF": bytes(4),
    "OL": bytes(4),
    "OD": bytes(8),
    "OV": bytes(8),
    "UV": bytes(8),
    "SV": bytes(8),
}
_BINARY = frozenset({"US", "SS", "UL", "SL", "FL", "FD", "AT", "OB", "OW", "OF", "OL", "OD", "UN", "OV", "UV", "SV"})
_LONG_HEAD = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_TEXTS = {
    "spaces": b"    ",
    "too long": b"LONG " * 3000,
    "a little too long": b"X" * 66,
    "latin-1 as utf-8": "M\u00fcller".encode("latin-1"),
    "euc-kr as utf-8": "\uae40\ub3d9\uae38".encode("euc_kr"),
    "cut utf-8": "\ud751\ubd80 CT".encode() + "\ud751".encode()[:2],
    "nothing but bytes": bytes(range(128, 160)),
    "replacement character": "M\ufffdller".encode(),
    "two values": b"One\\Two",
    "three values, one empty": b"One\\\\Three",
    "a backslash": b"\\",
    "control characters": b"One\x07Two\x1b[31m\r\nThree",
    "a NUL inside": b"One\0Two",
    "impossible": b"99999999",
    "comma": b"1,5",
    "bad uid": b"1..02.ABC",
    "five names": b"A^B^C^D^E^F=G=H=I",
    "lower case": b"yes, perhaps",
}
FORMS = (
    "valid",
    "absent",
    "empty",
    *_TEXTS,
    "valid as UN",
    "text as OB",
    "number as US",
    "sequence instead",
    "text instead of a sequence",
    "no items",
    "empty item",
    "empty items within",
    "two items, one empty",
    "codes without meaning",
    "codes without value",
    "codes without scheme",
    "undefined lengths",
)


@dataclass
class Attribute:
    """One attribute of a module, with what its items may hold."""

    keyword: str
    within: dict[str, Attribute] = field(default_factory=dict)

    @property
    def tag(self) -> int:
        return int(tag_for_keyword(self.keyword) or 0)

    @property
    def vr(self) -> str:
        return dictionary_VR(self.tag).split(" or ")[0]


@lru_cache(maxsize=1)
def attributes() -> Mapping[str, Attribute]:
    """Every attribute of what all images have, by keyword; those in items under their sequences."""
    return _of_modules(MODULES)


@lru_cache
def image_attributes(sop_class_uid: str) -> Mapping[str, Attribute]:
    """Every attribute that only the other modules of an IOD have, those of the image itself."""
    modules = (each["key"] for each in get_iod_module_map()[get_sop_class_iod_map()[sop_class_uid]])
    found = _of_modules(tuple(module for module in modules if module not in MODULES))
    return {keyword: attribute for keyword, attribute in found.items() if keyword not in attributes()}


def _of_modules(modules: Iterable[str]) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for module in modules:
        for each in get_module_attribute_map()[module]:
            if tag_for_keyword(each["keyword"]) is None or each["keyword"] == "SOPInstanceUID":
                continue  # not SOP Instance UID: the images need one each
            place = found
            for keyword in each["path"]:
                place = place.setdefault(keyword, Attribute(keyword)).within
            place.setdefault(each["keyword"], Attribute(each["keyword"]))
    return found


def element(tag: int, vr: str, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian."""
    value += (b"\0" if vr in _BINARY | {"UI"} else b" ") * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in _LONG_HEAD:
        return head + struct.pack("<HL", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def _sequence(tag: int, items: Iterable[bytes], *, undefined: bool = False) -> bytes:
    head = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"SQ", 0)
    if undefined:
        end_of_item, end = struct.pack("<HHL", 0xFFFE, 0xE00D, 0), struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        content = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + item + end_of_item for item in items)
        return head + b"\xff\xff\xff\xff" + content + end
    content = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return head + struct.pack("<L", len(content)) + content


def encoded(attribute: Attribute, form: str) -> bytes:
    """The attribute in this form; nothing where it is absent."""
    if form == "absent":
        return b""
    if attribute.vr == "SQ":
        return _encoded_sequence(attribute, form)
    tag, vr = attribute.tag, attribute.vr
    odd = {
        "empty": (vr, b""),
        "valid as UN": ("UN", _VALID[vr]),
        "text as OB": ("OB", b"\0\xff\1Kim"),
        "number as US": ("US", b"\1\2"),
    }
    if form in odd:
        return element(tag, *odd[form])
    if form == "sequence instead":
        return _sequence(tag, [element(0x00080100, "SH", b"CODE")])
    return element(tag, vr, _VALID[vr] if vr in _BINARY else _TEXTS.get(form, _VALID[vr]))


def _encoded_sequence(attribute: Attribute, form: str) -> bytes:
    tag = attribute.tag
    items = {
        "empty": [],
        "no items": [],
        "empty item": [b""],
        "empty items within": [_item(attribute, "empty item")],
        "two items, one empty": [_item(attribute, "valid"), b""],
    }
    without = {"codes without meaning": "CodeMeaning", "codes without value": "CodeValue"}
    if form == "text instead of a sequence":
        return element(tag, "LO", b"Some text")
    if form == "sequence instead":
        return element(tag, "US", b"\1\2")
    if form == "codes without scheme":
        without[form] = "CodingSchemeDesignator"
    if form in without:
        return _sequence(tag, [_item(attribute, form, without[form])])
    return _sequence(tag, items.get(form, [_item(attribute, form)]), undefined=form == "undefined lengths")


def _item(attribute: Attribute, form: str, without: str = "") -> bytes:
    inside = sorted(attribute.within.values(), key=lambda each: each.tag)
    return b"".join(encoded(each, form) for each in inside if each.keyword != without)


def write(image: Dataset, forms: Mapping[str, str], path: Path) -> Path:
    """Write an image as Part 10 file, with these attributes in these forms."""
    reports.write(image, path)
    content = path.read_bytes()
    parts = {int(each.tag): _as_written(each) for each in image if each.tag.group > 2}
    start = content.index(parts[min(parts)][:8])
    known = {**image_attributes(image.SOPClassUID), **attributes()} if forms.keys() - attributes() else attributes()
    for keyword, form in forms.items():
        attribute = known[keyword]
        parts[attribute.tag] = encoded(attribute, form)
    path.write_bytes(content[:start] + b"".join(parts[tag] for tag in sorted(parts)))
    return path


def _as_written(each: object) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, each, ["utf-8"])  # type: ignore[arg-type] # an element of the image
    return BytesIO(buffer.getvalue()).read()
