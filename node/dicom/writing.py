"""Data elements from one little endian encoding into another (PS3.5 7.1), each value's bytes as they are.

Texts are never decoded on the way: what an image says in a character set that it names wrongly, it says after
it, too. Values that implicit VR leaves without a representation get that of the dictionary, and UN where the
dictionary has none.
"""

from __future__ import annotations

from struct import pack

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from node.errors import PermanentError

_UNDEFINED = 0xFFFFFFFF
_LONGEST_SHORT = 0xFFFF


def header(tag: int, vr: str, length: int, *, implicit: bool) -> bytes:
    """Tag, representation and length."""
    if implicit:
        return pack("<HHL", tag >> 16, tag & 0xFFFF, length)
    if vr in EXPLICIT_VR_LENGTH_32:
        return pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
    if length > _LONGEST_SHORT:  # PS3.5 6.2.2, note 6
        return pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"UN", 0, length)
    return pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)


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
        vr = _representation(element, signed)
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


def _item(content: bytes) -> bytes:
    return pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def _representation(element: RawDataElement | DataElement, signed: bool) -> str:
    tag = int(element.tag)
    if element.VR:
        return str(element.VR)
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
