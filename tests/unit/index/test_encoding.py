"""What breaks the encoding rules of PS3.5 7 and can be read all the same: marked, kept, and given to plugins."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.index.header import HeaderReading, read
from node.store.layout import DataFolder
from rules.facts import BAD_ENCODING, UNFIT_MARKS, UNREADABLE_HEADER
from tests.support.images.receipts import arrive, ct, encoded

EXPLICIT = str(ExplicitVRLittleEndian)


def short(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def long(group: int, number: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HH2sxxL", group, number, vr, len(value) if length is None else length) + value


def item(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value) if length is None else length) + value


ITEM_END, SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0), struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
UNDEFINED = 0xFFFFFFFF
CODE = short(0x0008, 0x0100, b"SH", b"1 ")
HEAD = len(encoded(ct())) - 8192 - 12


def before_pixels(more: bytes) -> bytes:
    """A CT slice with these bytes before its Pixel Data."""
    whole = encoded(ct())
    return whole[:HEAD] + more + whole[HEAD:]


def after_pixels(more: bytes) -> bytes:
    return encoded(ct()) + more


FAULTS: dict[str, tuple[bytes, str]] = {
    "odd length": (before_pixels(short(0x4000, 0x4000, b"LT", b"odd")), "odd length 3"),
    "odd length of a private one": (before_pixels(long(0x5F01, 0x1001, b"OB", b"odd")), "odd length 3"),
    "odd length in an item": (
        before_pixels(long(0x4010, 0x1001, b"SQ", item(short(0x0008, 0x0100, b"SH", b"1")))),
        "odd length",
    ),
    "length of a number": (before_pixels(short(0x5F01, 0x1001, b"UL", bytes(6))), "length 6 is not a multiple of 4"),
    "length of a float": (before_pixels(short(0x5F01, 0x1001, b"FD", bytes(6))), "length 6 is not a multiple of 8"),
    "VR of nobody": (before_pixels(long(0x5F01, 0x1001, b"ZZ", b"ab")), "VR ZZ is not of the Standard"),
    "no VR": (before_pixels(struct.pack("<HHL", 0x5F01, 0x1001, 2) + b"\1\0"), "no VR is stated"),
    "item without its end": (
        before_pixels(long(0x5F01, 0x1001, b"SQ", item(CODE, UNDEFINED) + SEQUENCE_END, UNDEFINED)),
        "does not end",
    ),
    "sequence without its end": (
        before_pixels(long(0x5F01, 0x1001, b"SQ", item(long(0x0008, 0x0100, b"SQ", item(CODE), UNDEFINED)))),
        "a sequence of undefined length does not end",
    ),
    "item that ends early": (
        before_pixels(long(0x5F01, 0x1001, b"SQ", item(CODE + ITEM_END + item(CODE)))),
        "an item ends before",
    ),
    "bytes at the end of an item": (
        before_pixels(long(0x5F01, 0x1001, b"SQ", item(CODE + b"\0\0"))),
        "2 bytes at the end of the item",
    ),
    "bytes at the end of a sequence": (
        before_pixels(long(0x5F01, 0x1001, b"SQ", item(CODE) + b"\0\0")),
        "2 bytes at its end",
    ),
    "order": (before_pixels(short(0x0010, 0x4000, b"LT", b"ab")), "tags do not ascend"),
    "twice": (before_pixels(short(0x4000, 0x4000, b"LT", b"ab") * 2), "comes twice"),
    "command group": (short(0x0002, 0x0010, b"UI", b"1.2\0") + encoded(ct()), "must not use"),
    "garbage after the pixel data": (after_pixels(b"garbage, some"), "13 bytes after the pixel data"),
    "zeros after the pixel data": (after_pixels(bytes(64)), "64 bytes after the pixel data"),
    "odd length after the pixel data": (after_pixels(long(0xFFFC, 0xFFFC, b"OB", b"\0")), "odd length"),
}


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., HeaderReading]:
    data_folder = DataFolder(Path(tmp_path_factory.mktemp("data")))
    return lambda dataset, syntax=EXPLICIT: read(data_folder.arrived(arrive(data_folder, dataset, syntax=syntax)))


@pytest.mark.parametrize("name", FAULTS)
def test_finding_t1_what_a_strict_peer_may_choke_on_is_marked(name: str, reading: Callable[..., HeaderReading]) -> None:
    """The mark says which element and what; everything is read, and no plugin is kept from it."""
    data, why = FAULTS[name]
    found = reading(data)
    assert why in found.marks[BAD_ENCODING]
    assert UNREADABLE_HEADER not in found.marks
    assert BAD_ENCODING not in UNFIT_MARKS
    assert found.header["PatientID"] == ["LO", ["P1"]]


def test_finding_t1_pixel_data_of_odd_length_is_marked(reading: Callable[..., HeaderReading]) -> None:
    """8 bits, an odd number of pixels and no padding: common, and no archive is bound to take it."""
    dataset = ct(Rows=3, Columns=3, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=None)
    data = encoded(dataset) + long(0x7FE0, 0x0010, b"OW", bytes(9))
    assert "(7fe0,0010): odd length 9" in reading(data).marks[BAD_ENCODING]


def test_finding_t1_a_data_set_in_another_vr_than_announced_is_marked(reading: Callable[..., HeaderReading]) -> None:
    """Explicit VR sent as Implicit, and the other way."""
    assert "Explicit VR where Implicit" in reading(encoded(ct()), ImplicitVRLittleEndian).marks[BAD_ENCODING]
    implicit = encoded(ct(), syntax=ImplicitVRLittleEndian)
    assert "Implicit VR where Explicit" in reading(implicit).marks[BAD_ENCODING]


@pytest.mark.parametrize("syntax", [EXPLICIT, str(ImplicitVRLittleEndian)])
def test_finding_t1_sound_encodings_are_not_marked(syntax: str, reading: Callable[..., HeaderReading]) -> None:
    """Sequences of both kinds of length, UN, private blocks, right group lengths, trailing padding."""
    inner = Dataset()
    inner.CodeValue = "1"
    dataset = ct(ProcedureCodeSequence=Sequence([inner, inner]), ReferencedStudySequence=Sequence([]))
    dataset.private_block(0x0029, "SITE", create=True).add_new(0x01, "UN", b"ab")
    dataset["ProcedureCodeSequence"].is_undefined_length = True
    assert reading(encoded(dataset, syntax=syntax), syntax).marks == {}


@pytest.mark.parametrize("is_right", [True, False], ids=["right group length", "stale group length"])
def test_finding_t1_legal_elements_around_the_pixel_data_are_not_marked(
    is_right: bool, reading: Callable[..., HeaderReading]
) -> None:
    """A group length, right or stale (retired: nobody reads it), and Data Set Trailing Padding (PS3.10 7.2)."""
    even = short(0x4000, 0x4000, b"LT", b"even")
    length = short(0x4000, 0x0000, b"UL", struct.pack("<L", len(even) if is_right else 99))
    assert reading(before_pixels(length + even) + long(0xFFFC, 0xFFFC, b"OB", bytes(10))).marks == {}
