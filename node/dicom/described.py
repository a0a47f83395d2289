"""An instance that somebody describes, as the indexer would have read it: tests beside rules see what the node sees.

Its attributes are encoded (PS3.5 7) and read by the code that reads what is received; only its pixels are missing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.datadict import tag_for_keyword

from node.dicom.as_facts import element
from node.dicom.elements import Elements, RawElement
from node.dicom.marks import of_header
from node.dicom.values import Converter, Header, first, first_text
from rules.facts import MISSING_PATIENT_ID, Element, IndexedInstance, Item

_IMPLEMENTED = "1.2.840.10008.5.1.4.1.1."
_EXPLICIT = "1.2.840.10008.1.2.1"
_USUAL_CLASS = {
    "CR": "1",
    "CT": "2",
    "DOC": "104.1",
    "DX": "1.1",
    "ECG": "9.1.1",
    "IO": "1.3",
    "KO": "88.59",
    "MG": "1.2",
    "MR": "4",
    "NM": "20",
    "OT": "7",
    "PR": "11.1",
    "PT": "128",
    "REG": "66.1",
    "RF": "12.2",
    "RTDOSE": "481.2",
    "RTPLAN": "481.5",
    "RTSTRUCT": "481.3",
    "SEG": "66.4",
    "SR": "88.22",
    "US": "6.1",
    "XA": "12.1",
}
"""The storage SOP class that images of a modality usually have (PS3.4 B.5), after the common root."""
_WITHOUT_PIXELS = re.compile(re.escape(_IMPLEMENTED) + r"(?:(?:88|11|104|9)\..*|66\.[1235]|481\.[3-9])")
"""Reports, presentation states, documents, waveforms, registrations, plans."""
_PACKED = {"FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
_BULK = ("OB", "OD", "OF", "OL", "OV", "OW")
_UTF8 = "ISO_IR 192"
_PRIVATE = re.compile(r"\(([0-9a-f]{4}),(.+),([0-9a-f]{2})\)", re.IGNORECASE)
_TAG = re.compile(r"\(([0-9a-f]{4}),([0-9a-f]{4})\)", re.IGNORECASE)


def indexed(attributes: Mapping[str, Element]) -> IndexedInstance:
    """What rules see of an instance with these attributes, texts as a person writes them."""
    converter = Converter(little=True)
    described = {name: each for name, each in attributes.items() if name != "SpecificCharacterSet"}
    header = converter.header(_elements(described), [_UTF8])
    if "SpecificCharacterSet" in attributes:
        header["SpecificCharacterSet"] = ["CS", [str(each) for each in attributes["SpecificCharacterSet"].values]]
    modality = first_text(header, "Modality").strip().upper()
    sop_class = first_text(header, "SOPClassUID") or _IMPLEMENTED + _USUAL_CLASS.get(modality, "2")
    syntax = first_text(header, "TransferSyntaxUID") or _EXPLICIT
    marks = of_header(header, converter, syntax)
    if "PatientID" not in attributes:  # a test names no patient unless it is about that
        marks.pop(MISSING_PATIENT_ID, None)
    frames = 0 if _WITHOUT_PIXELS.fullmatch(sop_class) else _frames(header)
    if frames:
        header.setdefault("PixelData", ["OW", [], 1])
    read = {name: element(*each) for name, each in header.items()}
    return IndexedInstance(read, sop_class, syntax, frames, frozenset(marks))


def _frames(header: Header) -> int:
    number = first(header, "NumberOfFrames")
    return number if isinstance(number, int) and number > 0 else 1


def _elements(attributes: Item) -> Elements:
    made: Elements = {}
    blocks: dict[tuple[int, str], int] = {}
    for name, each in attributes.items():
        if private := _PRIVATE.fullmatch(name):
            group, creator = int(private[1], 16), private[2]
            block = blocks.setdefault((group, creator), 0x10 + len(blocks))
            made[group << 16 | block] = RawElement("LO", memoryview(creator.encode()))
            made[group << 16 | block << 8 | int(private[3], 16)] = _raw(each)
        elif tag := _TAG.fullmatch(name):
            made[int(tag[1], 16) << 16 | int(tag[2], 16)] = _raw(each)
        else:
            made[tag_for_keyword(name) or 0] = _raw(each)
    return made


def _raw(described: Element) -> RawElement:
    """An attribute as it is encoded."""
    if not described.kept:
        return RawElement("OB", memoryview(b"\0\0"))
    items = [each for each in described.values if isinstance(each, Mapping)]
    if items or described.vr == "SQ":
        return RawElement("SQ", [_elements(item) for item in items])
    values = [each for each in described.values if not isinstance(each, Mapping)]
    vr = _representation(described.vr, values)
    if vr in _PACKED:
        return RawElement(vr, memoryview(b"".join(struct.pack("<" + _PACKED[vr], each) for each in values)))
    if vr == "AT":
        tags = (str(each).strip("()").replace(",", "") for each in values)
        return RawElement(
            vr, memoryview(b"".join(struct.pack("<HH", int(each[:4], 16), int(each[4:], 16)) for each in tags))
        )
    text = "\\".join(f"{each:.16g}" if isinstance(each, float) else str(each) for each in values)
    return RawElement(vr, memoryview(text.encode("utf-8", "replace")))


def _representation(vr: str, values: Sequence[Any]) -> str:
    """The VR to encode with: of what no dictionary knows the one that suits the values."""
    if vr == "US or SS":
        vr = "SS" if any(isinstance(each, int | float) and each < 0 for each in values) else "US"
    if " or " in vr:
        vr = vr.split(" or ")[0]
    if vr in _PACKED and not _fits(vr, values):
        return "LO"
    if vr == "AT" and not all(re.fullmatch(r"\(?[0-9A-Fa-f]{4},?[0-9A-Fa-f]{4}\)?", str(each)) for each in values):
        return "LO"
    if vr != "UN" or not values:
        return vr
    if all(isinstance(each, int) for each in values):
        return "IS"
    return "DS" if all(isinstance(each, int | float) for each in values) else "LO"


def _fits(vr: str, values: Sequence[Any]) -> bool:
    try:
        for each in values:
            struct.pack("<" + _PACKED[vr], each)
    except (struct.error, OverflowError):
        return False
    return True
