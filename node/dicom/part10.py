"""What a C-STORE request says of a DICOM file: the SOP class and SOP instance of its data set, and its transfer syntax.

The data set counts: what it says is what the peer stores, and many peers, this node among them, refuse an object whose
command says something else. The file meta information may be incomplete, or another object's (PS3.10 7.1).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import filereader
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from node.errors import PermanentError

_IMPLICIT, _DEFLATED, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_SOP_INSTANCE_UID = 0x00080018
_PIXELS = 0x7FE0
_HEAD_INFLATED = 1 << 20
"""Bytes of a deflated data set that are looked at."""
_LONGEST_UID = 64


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object in a Part 10 file."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int
    """Bytes of the file before the data set."""

    @property
    def kind(self) -> tuple[str, str]:
        """SOP class and transfer syntax: what a presentation context is for."""
        return self.sop_class_uid, self.transfer_syntax_uid


def kind_of(path: Path) -> tuple[str, str]:
    """SOP class and transfer syntax of a Part 10 file. PermanentError where it is none, or does not say them."""
    return read_object(path).kind


def read_object(path: Path) -> StoredObject:
    """What can be sent of this file. PermanentError, which names the file, where it cannot."""
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except PermanentError:
        raise
    except OSError as error:
        raise PermanentError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # pydicom and zlib fail in many ways on what is not a DICOM file
        raise PermanentError(f"{path}: no DICOM file with SOP class and transfer syntax in its header") from error


def _read(path: Path, file: BinaryIO) -> StoredObject:
    filereader.read_preamble(file, force=False)
    meta = filereader.read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    offset = file.tell()
    syntax = _uid(meta, "TransferSyntaxUID")
    if not syntax:
        raise PermanentError(f"{path}: no DICOM file with SOP class and transfer syntax in its header")
    head = _head(file, syntax)
    found = StoredObject(
        path,
        _uid(head, "SOPClassUID") or _uid(meta, "MediaStorageSOPClassUID"),
        _uid(head, "SOPInstanceUID") or _uid(meta, "MediaStorageSOPInstanceUID"),
        syntax,
        offset,
    )
    for name, uid in (
        ("SOP Class UID (0008,0016)", found.sop_class_uid),
        ("SOP Instance UID (0008,0018)", found.sop_instance_uid),
    ):
        if not uid:
            raise PermanentError(f"{path}: has no {name}")
        if len(uid) > _LONGEST_UID or not (uid.isascii() and uid.isprintable()):
            raise PermanentError(f"{path}: its {name} is not a UID")
    return found


def _uid(elements: Dataset, keyword: str) -> str:
    value = elements.get(keyword)
    return str(value).rstrip("\0 ") if value else ""


def _head(file: BinaryIO, syntax: str) -> Dataset:
    """The data set up to its SOP Instance UID; up to its pixel data where the elements are out of order."""
    if syntax == _DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return _elements(
            BytesIO(inflater.decompress(file.read(_HEAD_INFLATED), _HEAD_INFLATED)), syntax, _SOP_INSTANCE_UID
        )
    start = file.tell()
    head = _elements(file, syntax, _SOP_INSTANCE_UID)
    if "SOPClassUID" in head and "SOPInstanceUID" in head:
        return head
    file.seek(start)
    return _elements(file, syntax, _PIXELS << 16)


def _elements(file: BinaryIO, syntax: str, last: int) -> Dataset:
    def is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) > last

    implicit, little = syntax == _IMPLICIT, syntax != _BIG_ENDIAN
    wanted: list[BaseTag | int] = [BaseTag(0x00080016), BaseTag(_SOP_INSTANCE_UID)]
    return filereader.read_dataset(file, implicit, little, stop_when=is_behind, specific_tags=wanted)
