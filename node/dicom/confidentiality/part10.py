"""A DICOM file (PS3.10) from a data set as it was received, without the patient's identity, piece by piece."""

from __future__ import annotations

import struct
from io import BytesIO

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from node.dicom import writing
from node.dicom.confidentiality.dataset import Actions, confidential
from node.dicom.confidentiality.key import Key
from node.dicom.confidentiality.profile import Profile
from node.dicom.deflated import DeflatedFile, inflate
from node.dicom.elements import PIXELS, Contents, parse, text_of
from node.errors import PermanentError
from node.ourselves import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PIXEL_DATA = {True: b"\xe0\x7f\x10\x00", False: b"\x7f\xe0\x00\x10"}
"""Its tag as it is encoded, by whether that is Little Endian."""
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018


def pieces(data: memoryview, syntax: str, profile: Profile, key: Key) -> tuple[list[bytes | memoryview], Actions]:
    """The file that takes the place of the data set `data`, in the same transfer syntax, and what was done.

    What cannot be followed in the structure of the data set is left out, and so is what comes after the pixels.
    Raises PermanentError where it cannot be inflated, or its pixels cannot be found.
    """
    if syntax == DeflatedExplicitVRLittleEndian:
        inflated = BytesIO()
        inflate(BytesIO(data), inflated)
        data = inflated.getbuffer()
    contents = parse(data, implicit=syntax == ImplicitVRLittleEndian, little=syntax != ExplicitVRBigEndian)
    if contents.defects and not contents.pixels and _PIXEL_DATA[contents.little] in bytes(data):
        raise PermanentError("its structure cannot be followed as far as its Pixel Data")
    elements, actions = confidential(contents.elements, profile, key)
    for tag in PIXELS:
        elements.pop(tag, None)
    head = writing.encoded(elements, implicit=contents.implicit, little=contents.little)
    meta = meta_information(text_of(elements, _SOP_CLASS), text_of(elements, _SOP_INSTANCE), syntax)
    if syntax == DeflatedExplicitVRLittleEndian:
        return [meta, _deflated(head, contents.pixels)], actions
    return [meta, head, pixels_as_written(contents)], actions


def pixels_as_written(contents: Contents) -> memoryview:
    """The element of the pixel data, without what follows it."""
    return contents.pixels if contents.fragments is None else _without_tail(contents.pixels)


def _without_tail(pixels: memoryview) -> memoryview:
    """Encapsulated Pixel Data as far as their fragments go (PS3.5 A.4): anything may follow where no mark ends them."""
    at = 12  # behind tag, VR and length
    while at + 8 <= len(pixels):
        group, element, length = struct.unpack_from("<HHL", pixels, at)
        if (group, element) == (0xFFFE, 0xE0DD):
            return pixels[: at + 8]
        if (group, element) != (0xFFFE, 0xE000):
            return pixels[:at]
        at += 8 + length
    return pixels


def _deflated(head: bytes, pixels: memoryview) -> bytes:
    out = BytesIO()
    deflating = DeflatedFile(out)
    for each in (head, pixels):
        deflating.write(each)
    deflating.finish()
    return out.getvalue()


def meta_information(sop_class: str, sop_instance: str, syntax: str) -> bytes:
    """Preamble and file meta information: nothing of how the object arrived, and of whom."""
    elements = (
        writing.element(0x00020001, "OB", b"\0\1"),
        writing.element(0x00020002, "UI", sop_class.encode()),
        writing.element(0x00020003, "UI", sop_instance.encode()),
        writing.element(0x00020010, "UI", syntax.encode()),
        writing.element(0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode()),
        writing.element(0x00020013, "SH", IMPLEMENTATION_VERSION_NAME.encode()),
    )
    meta = b"".join(elements)
    return b"\0" * 128 + b"DICM" + writing.element(0x00020000, "UL", len(meta).to_bytes(4, "little")) + meta
