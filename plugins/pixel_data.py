"""Pixel data against their header: their length, their offset tables, and what each codestream says of itself.

A decoder that is given more pixels than the header has takes the first ones, and one whose codestream has another size,
sign or depth than the header takes either's word: the numbers look like pixels and are others. Where the two contradict
each other the image is refused with both values.

Native: PS3.5 8.1.1, A.1. Encapsulated: PS3.5 8.2, A.4; ISO/IEC 10918-1 B.2.2 (JPEG), 14495-1 C.2.2 (JPEG-LS),
15444-1 A.5.1, A.6.1 (JPEG 2000).

Needs pydicom.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from os import SEEK_CUR
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEG2000MCLossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from plugins.images import NotApplicableError

_UNDEFINED = 0xFFFFFFFF
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
HEAD = 1 << 16
"""Bytes in which a codestream says what it is; a colour profile may come before that."""
_JPEG, _JPEG_2000 = b"\xff\xd8\xff", b"\xff\x4f\xff\x51"
_JP2 = b"\0\0\0\x0cjP  "
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Second bytes of SOF0 to SOF15 and of JPEG-LS's SOF55; not of DHT, JPG, DAC."""
_TRANSFORMS = frozenset({0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC9, 0xCA, 0xCD, 0xCE})
"""Of these, processes by discrete cosine transform: their depth is that of what was encoded."""
_SCAN, _JPEG_LS, _STYLE, _TILE = 0xDA, 0xF7, 0x52, 0x90
"""Second bytes of SOS and SOF55 (JPEG, JPEG-LS), and of COD and SOT (JPEG 2000)."""
_LOSSLESS = frozenset(
    {
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEG2000Lossless,
        JPEG2000MCLossless,
        HTJ2KLossless,
        HTJ2KLosslessRPCL,
    }
)
"""Transfer syntaxes that promise the very samples that were encoded."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """What a codestream says of its samples."""

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool | None
    """None: the codec knows no sign, and Pixel Representation alone says it (PS3.5 8.2.1)."""
    is_transformed: bool
    """By discrete cosine transform: `bits` are those of what was encoded."""
    is_lossy: bool
    """Its samples are not those that were encoded: by that transform, by NEAR (JPEG-LS) or by the irreversible wavelet
    transform (JPEG 2000). What has lost layers only is not known by its codestream."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """From which value on stored values are not certain, and why; below it and from 0 every reading is the same."""

    limit: int
    reason: str


def doubt_about(file: Path, place: str) -> Doubt | None:
    """What is left in doubt of a file's pixel data; None, mostly.

    Raises `NotApplicableError` where they contradict the header: `place` names the image in the reason.
    """
    with file.open("rb") as opened:
        header = pydicom.dcmread(opened, stop_before_pixels=True)
        syntax = UID(header.file_meta.get("TransferSyntaxUID", ""))
        if not syntax.is_transfer_syntax:
            return None  # nothing decodes it
        if not syntax.is_compressed or syntax == DeflatedExplicitVRLittleEndian:
            _refuse_length(header, _native_length(opened, file, syntax), place)
            return None
        opened.seek(12, SEEK_CUR)  # the pixel data element's own head: undefined length, always explicit VR
        offsets, fragments = _fragments(opened)
    _refuse_offsets(header, offsets, {offset for offset, _ in fragments}, place)
    codestreams = [found for _, head in fragments if (found := codestream(head)) is not None]
    if not codestreams:
        return None
    frames = _frames(header)
    if len(codestreams) != frames:
        raise NotApplicableError(
            f"{place} has {frames} frame{'s' if frames > 1 else ''} (NumberOfFrames) and {len(codestreams)} compressed "
            "images in its pixel data: which frame is which is not certain."
        )
    if any(each.is_lossy for each in codestreams):
        _refuse_hidden_loss(header, syntax, place)
    doubts = [doubt for each in dict.fromkeys(codestreams) if (doubt := _doubt(header, each, place)) is not None]
    return min(doubts, key=lambda doubt: doubt.limit, default=None)


def _frames(header: Dataset) -> int:
    return int(header.get("NumberOfFrames") or 1)


# --- native ----------------------------------------------------------------------------------------


def _native_length(opened: BinaryIO, file: Path, syntax: UID) -> int:
    """Bytes of the pixel data; -1 where there are none that end where they say."""
    if syntax == DeflatedExplicitVRLittleEndian:
        dataset = pydicom.dcmread(file)
        return max((len(element.value) for element in dataset if element.tag.group == 0x7FE0), default=-1)
    head = opened.read(8 if syntax.is_implicit_VR else 12)
    if len(head) < 8:
        return -1
    length: int = struct.unpack(("<" if syntax.is_little_endian else ">") + "L", head[-4:])[0]
    return -1 if length == _UNDEFINED else length


def _refuse_length(header: Dataset, length: int, place: str) -> None:
    """More than the header has by a row of pixels: of other frames, of longer rows or of larger pixels.

    What is less than a row is padding, which senders add; too few pixels are found on decoding.
    """
    sizes = [header.get(keyword) for keyword in ("Rows", "Columns", "BitsAllocated")]
    if not all(isinstance(size, int) for size in sizes) or header.get("PhotometricInterpretation") == "YBR_FULL_422":
        return
    rows, columns, allocated = sizes
    row = columns * int(header.get("SamplesPerPixel") or 1) * allocated
    wanted = (rows * row * _frames(header) + 7) // 8
    if length - wanted >= max(2, row // 8):
        raise NotApplicableError(
            f"{place} has {length} bytes of pixel data, its header {wanted} (Rows {rows}, Columns {columns}, "
            f"BitsAllocated {allocated}, NumberOfFrames {_frames(header)}): what its pixels are is not certain."
        )


# --- encapsulated ----------------------------------------------------------------------------------


def _fragments(opened: BinaryIO) -> tuple[tuple[int, ...], list[tuple[int, bytes]]]:
    """The Basic Offset Table, and of each fragment its offset and its beginning."""
    items = _items(opened)
    _, table = next(items, (0, b""))
    start = opened.tell()
    offsets = struct.unpack(f"<{len(table) // 4}L", table[: len(table) // 4 * 4])
    return offsets, [(position - start, head) for position, head in items]


def _items(opened: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The position and the beginning of each item, `opened` at the end of it."""
    while len(head := opened.read(8)) == 8:
        position = opened.tell() - 8
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) != _ITEM or length == _UNDEFINED:
            return
        content = opened.read(min(length, HEAD))
        opened.seek(length - len(content), SEEK_CUR)
        yield position, content


def _refuse_offsets(header: Dataset, basic: tuple[int, ...], starts: set[int], place: str) -> None:
    """Offset tables that are not those of as many frames, one behind the other, each where a fragment starts."""
    extended = header.get("ExtendedOffsetTable") or b""
    tables = {
        "Basic Offset Table": basic,
        "ExtendedOffsetTable": struct.unpack(f"<{len(extended) // 8}Q", extended[: len(extended) // 8 * 8]),
    }
    for name, offsets in tables.items():
        if not offsets:
            continue
        if len(offsets) != _frames(header):
            raise NotApplicableError(
                f"{place} has NumberOfFrames {_frames(header)} and {len(offsets)} frames in its {name}: which frame is "
                "which is not certain."
            )
        if offsets[0] != 0 or list(offsets) != sorted(starts.intersection(offsets)):
            raise NotApplicableError(
                f"{place} has offsets in its {name} that are not those of its frames in their order: which frame is "
                "which is not certain."
            )


def _refuse_hidden_loss(header: Dataset, syntax: UID, place: str) -> None:
    """Lossy pixels that say of themselves that they are not."""
    says = f"transfer syntax {syntax.name}" if syntax in _LOSSLESS else ""
    if header.get("LossyImageCompression") == "00":
        says = says or "LossyImageCompression 00"
    if says:
        raise NotApplicableError(
            f"{place} has {says}, and was compressed with loss: by how much its values differ from those that were "
            "acquired is not known."
        )


def _doubt(header: Dataset, found: Codestream, place: str) -> Doubt | None:
    """What a codestream leaves open; raises where it contradicts the header."""
    for keyword, says in (("Rows", found.rows), ("Columns", found.columns), ("SamplesPerPixel", found.samples)):
        if header.get(keyword, 1) != says:
            raise NotApplicableError(
                f"{place} has {keyword} {header.get(keyword)} in its header and {says} in its compressed pixel data."
            )
    stored, signed = header.get("BitsStored"), header.get("PixelRepresentation") == 1
    depths = f"{found.bits} bits a sample in its compressed pixel data and BitsStored {stored}"
    if not isinstance(stored, int):
        return None
    if found.is_transformed and found.bits < stored:
        raise NotApplicableError(f"{place} has {depths}: its values were scaled before they were compressed.")
    limit = 1 << found.bits - 1
    if found.signed is not None and found.signed != signed:
        sign = "signed" if found.signed else "unsigned"
        reason = f"{place} is {sign} in its compressed pixel data and has PixelRepresentation {int(signed)}"
        return Doubt(limit, f"{reason}: the sign of its values is not certain.")
    if signed and not found.signed and found.bits < stored:
        return Doubt(limit, f"{place} has {depths}: the sign of its values is not certain.")
    return None


def codestream(head: bytes) -> Codestream | None:
    """What the beginning of a codestream says; None where no codestream of JPEG, JPEG-LS or JPEG 2000 begins here."""
    try:
        if head.startswith((_JPEG_2000, _JP2)) and _JPEG_2000 in head:
            return _jpeg_2000(head[head.index(_JPEG_2000) :])
        return _jpeg(head) if head.startswith(_JPEG) else None
    except (IndexError, struct.error):  # cut within its header: the decoder says so
        return None


def _jpeg(head: bytes) -> Codestream:
    at = _marker(head, 2, _FRAME_HEADERS)
    bits, rows, columns, samples = struct.unpack_from(">BHHB", head, at + 4)
    is_transformed = head[at + 1] in _TRANSFORMS
    return Codestream(rows, columns, samples, bits, None, is_transformed, is_transformed or _near(head, at) > 0)


def _near(head: bytes, at: int) -> int:
    """By how much the samples of JPEG-LS may differ from those that were encoded (14495-1 C.2.3); 0 of other codecs.

    0 also where its first scan begins beyond what is known of it, behind long comments.
    """
    if head[at + 1] != _JPEG_LS:
        return 0
    try:
        scan = _marker(head, at, {_SCAN})
        return head[scan + 5 + 2 * head[scan + 4]]
    except (IndexError, struct.error):
        return 0


def _marker(head: bytes, at: int, wanted: Collection[int]) -> int:
    """Where the first segment from `at` on begins that has one of these markers; IndexError, struct.error."""
    while head[at + 1] not in wanted:
        at += 1 if head[at + 1] == 0xFF else 2 + struct.unpack_from(">H", head, at + 2)[0]
    return at


def _jpeg_2000(head: bytes) -> Codestream:
    right, bottom, left, top = struct.unpack_from(">4L", head, 8)
    samples, depth = struct.unpack_from(">HB", head, 40)
    at = _marker(head, 2, {_STYLE, _TILE})
    is_lossy = head[at + 1] == _STYLE and head[at + 13] == 0  # the transformation with real numbers (A.6.1)
    return Codestream(bottom - top, right - left, samples, (depth & 0x7F) + 1, bool(depth & 0x80), False, is_lossy)
