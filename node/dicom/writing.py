"""Data elements from one little endian encoding into another (PS3.5 7.1), each value's bytes as they are.

Texts are never decoded on the way: what an image says in a character set that it names wrongly, it says after
it, too. Values that implicit VR leaves without a representation get that of the dictionary, and UN where the
dictionary has none.
"""

from __future__ import annotations

from functools import lru_cache
from struct import pack

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from node.dicom.elements import Elements, EncapsulatedElement
from node.errors import PermanentError

_UNDEFINED = 0xFFFFFFFF
_LONGEST_SHORT = 0xFFFF
_PIXEL_REPRESENTATION = 0x00280103


def header(tag: int, vr: str, length: int, *, implicit: bool, little: bool = True) -> bytes:
    """Tag, representation and length."""
    order = "<" if little else ">"
    if implicit:
        return pack(f"{order}HHL", tag >> 16, tag & 0xFFFF, length)
    if vr in EXPLICIT_VR_LENGTH_32:
        return pack(f"{order}HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
    if length > _LONGEST_SHORT:  # PS3.5 6.2.2, note 6
        return pack(f"{order}HH2sHL", tag >> 16, tag & 0xFFFF, b"UN", 0, length)
    return pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)


def element(tag: int, vr: str, value: bytes) -> bytes:
    """One element in Explicit VR Little Endian, padded to an even length."""
    padding = b"\0" if vr in ("UI", "OB") else b" "
    value += padding * (len(value) % 2)
    return header(tag, vr, len(value), implicit=False) + value


def encoded(elements: Elements, *, implicit: bool, little: bool, signed: bool = False) -> bytes:
    """Elements as `node.dicom.elements` reads them, in the byte order that their values have already.

    `signed`: what Pixel Representation says where the elements do not.
    """
    if _PIXEL_REPRESENTATION in elements:
        value = elements[_PIXEL_REPRESENTATION].value
        signed = not isinstance(value, list) and any(value)
    written: list[bytes | memoryview] = []
    for tag, raw in elements.items():
        vr, value = raw
        content: bytes | memoryview
        if isinstance(value, list):
            items = (encoded(item, implicit=implicit, little=little, signed=signed) for item in value)
            content = b"".join(_item(item, little=little) for item in items)
        else:
            content = value
        length = _UNDEFINED if isinstance(raw, EncapsulatedElement) else len(content)
        written.append(header(tag, representation(tag, vr, signed=signed), length, implicit=implicit, little=little))
        written.append(content)
    return b"".join(written)


def write(dataset: Dataset, *, implicit: bool, signed: bool | None = None) -> bytes:
    """A data set as it was read, without its pixels; group lengths (retired) are left out, they would lie.

    Raises PermanentError where a sequence holds compressed pixels: they have no place in an uncompressed object.
    """
    if "PixelRepresentation" in dataset or signed is None:
        signed = dataset.get("PixelRepresentation") == 1
    written = []
    for element in dataset.elements():
        tag = int(element.tag)
        if tag & 0xFFFF == 0:
            continue
        vr = representation(tag, str(element.VR or ""), signed=signed)
        if vr == "SQ":
            items = dataset[tag].value or ()
            content = b"".join(_item(write(item, implicit=implicit, signed=signed)) for item in items)
        elif isinstance(element, RawDataElement):
            if element.length == _UNDEFINED:
                raise PermanentError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) within it is compressed, too")
            content = element.value or b""
        else:
            content = _value(element)
        written.append(header(tag, vr, len(content), implicit=implicit) + content)
    return b"".join(written)


def _value(element: DataElement) -> bytes:
    """Of one that somebody has looked at or set: numbers and codes of the image pixel module."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = buffer.is_little_endian = True
    write_data_element(buffer, element)
    return buffer.getvalue()[8:]


def _item(content: bytes, *, little: bool = True) -> bytes:
    return pack(f"{'<' if little else '>'}HHL", 0xFFFE, 0xE000, len(content)) + content


def representation(tag: int, vr: str, *, signed: bool) -> str:
    """The representation of an element: what the encoding states, else what the dictionary says, else UN."""
    return vr or _dictionary_vr(tag, signed)


@lru_cache(maxsize=20_000)
def _dictionary_vr(tag: int, signed: bool) -> str:
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    if " or " not in vr:
        return vr
    if "OW" in vr:
        return "OW"
    return "SS" if signed else "US"
