"""The seal of a received file: tells a whole one from a torn one, also after a power loss.

A receipt that is written into a file whose name and blocks are on the disk already (`node.receive.pool`) is durable
by one fdatasync, if afterwards it is known whether that was reached. So the seal is written with the content
and made durable with it: it holds only where every byte is as it was received. It is in the preamble, which
PS3.10 7.1 leaves to whoever writes the file:

    0   16 bytes   b"PACSNODE SEAL 1\\0"
    16   8 bytes   length of the file in bytes, little endian
    24  32 bytes   the receipt's name
    56   4 bytes   CRC-32 (ISO 3309) of the file from byte 128 on and then of the 56 bytes above, little endian
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

PREAMBLE = 128
"""Bytes before the prefix of a DICOM file; the seal does not cover them but for its own."""
_MARK = b"PACSNODE SEAL 1\0"
_LAYOUT = struct.Struct("<16sQ32s")
_SUM = struct.Struct("<L")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Seal:
    """What a file says of itself; whether it is true, `holds` finds out."""

    receipt: str
    length: int
    checksum: int


def encode(receipt: str, length: int, content: int) -> bytes:
    """The seal of a file of `length` bytes; `content` is the CRC-32 of its bytes from `PREAMBLE` on."""
    said = _LAYOUT.pack(_MARK, length, receipt.encode("ascii"))
    return said + _SUM.pack(zlib.crc32(said, content))


def read(path: Path) -> Seal | None:
    """The file's seal; None where it has none, or is gone."""
    try:
        with path.open("rb") as file:
            head = file.read(_LAYOUT.size + _SUM.size)
    except OSError:
        return None
    if not head.startswith(_MARK) or len(head) < _LAYOUT.size + _SUM.size:
        return None
    _, length, receipt = _LAYOUT.unpack_from(head)
    (checksum,) = _SUM.unpack_from(head, _LAYOUT.size)
    text = receipt.decode("latin-1")
    is_receipt = all(character in "0123456789abcdef" for character in text)
    return Seal(text, length, checksum) if is_receipt else None


def holds(path: Path, seal: Seal) -> bool:
    """Whether the file is as it was when it was sealed, whatever comes behind its length. False where it is gone."""
    try:
        with path.open("rb") as file:
            file.seek(PREAMBLE)
            left, content = seal.length - PREAMBLE, 0
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                content = zlib.crc32(chunk, content)
                left -= len(chunk)
    except OSError:
        return False
    return left == 0 and _SUM.unpack_from(encode(seal.receipt, seal.length, content), _LAYOUT.size) == (seal.checksum,)


def cut_to_length(path: Path) -> None:
    """Cut off what a sealed file did not need of its slot; any other stays as it is. Raises OSError."""
    found = read(path)
    if found is not None and found.length < path.stat().st_size:
        os.truncate(path, found.length)
