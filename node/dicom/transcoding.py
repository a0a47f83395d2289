"""Another transfer syntax without loss, where a destination refuses an object's own: the pixels are the same, decoded.

From what is compressed without loss, deflated or plain into one of the two uncompressed little endian syntaxes,
the one of which (implicit VR) every storage SCP takes (PS3.5 10.1). Not from lossy compression: decoders differ, so
nobody could say that nothing is lost. Not from big endian, where words within sequences and private elements would
have to be turned round. And not of private SOP classes, whose bytes only their maker can read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import SEEK_CUR
from itertools import chain
from pathlib import Path
from struct import unpack
from typing import BinaryIO

from pydicom import dcmread
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.filewriter import write_file_meta_info
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from node.dicom import writing
from node.dicom.deflated import inflate
from node.dicom.part10 import read_object
from node.errors import PermanentError

TARGETS = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
_PLAIN = frozenset({*TARGETS, str(DeflatedExplicitVRLittleEndian)})
_COMPRESSED = frozenset(
    map(
        str,
        (
            RLELossless,
            JPEGLossless,
            JPEGLosslessSV1,
            JPEGLSLossless,
            JPEG2000Lossless,
            HTJ2KLossless,
            HTJ2KLosslessRPCL,
        ),
    )
)
_PIXEL_DATA = 0x7FE00010
_OFFSET_TABLES = (0x7FE00001, 0x7FE00002)
_FLOATS = {0x7FE00008: "OF", 0x7FE00009: "OD"}
"""VR of pixels that are floating point numbers."""
_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage, which pydicom 3.0.2 does not know yet."""
_PIECE = 1 << 20
_LONGEST_VALUE = 0xFFFFFFFE
_UNDEFINED = 0xFFFFFFFF


def fallbacks(sop_class: str, transfer_syntax: str) -> tuple[str, ...]:
    """The transfer syntaxes that an object of this kind can be brought into without loss, best first."""
    known = sop_class in UID_dictionary or sop_class == _LABEL_MAP
    if not known or transfer_syntax not in _PLAIN | _COMPRESSED:
        return ()
    return tuple(target for target in TARGETS if target != transfer_syntax)


def with_fallbacks(kind: tuple[str, str]) -> set[tuple[str, str]]:
    """This kind of object, and the same class in the transfer syntaxes that it could be brought into without loss."""
    sop_class, own = kind
    return {(sop_class, syntax) for syntax in (own, *fallbacks(sop_class, own))}


def acceptable(accepts: Callable[[str, str], bool], kind: tuple[str, str]) -> str | None:
    """Its own transfer syntax, else the first one that it can be brought into and that a peer takes; None if none is.

    `accepts`: whether it takes a SOP class in a transfer syntax.
    """
    sop_class, own = kind
    return next((each for each in (own, *fallbacks(sop_class, own)) if accepts(sop_class, each)), None)


def transcode(source: Path, target: Path, transfer_syntax: str) -> None:
    """Write `target`, the object of `source` in this transfer syntax (one of `fallbacks`).

    Raises PermanentError where it is not built as its own transfer syntax says.
    """
    if read_file_meta_info(source).TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        plain = target.with_suffix(".inflated")
        try:
            _inflate(source, plain)
            _transcode(plain, target, transfer_syntax)
        finally:
            plain.unlink(missing_ok=True)
    else:
        _transcode(source, target, transfer_syntax)


def _inflate(source: Path, plain: Path) -> None:
    with source.open("rb") as file, plain.open("wb") as out:
        meta = dcmread(file, specific_tags=[], stop_before_pixels=True).file_meta
        file.seek(read_object(source).offset)
        _begin(out, meta, ExplicitVRLittleEndian)
        inflate(file, out)


def _begin(out: BinaryIO, meta: FileMetaDataset, transfer_syntax: str) -> None:
    """Preamble and file meta information, as much of it as a sender reads."""
    new = FileMetaDataset()
    new.MediaStorageSOPClassUID = meta.MediaStorageSOPClassUID
    new.MediaStorageSOPInstanceUID = meta.MediaStorageSOPInstanceUID
    new.TransferSyntaxUID = UID(transfer_syntax)
    out.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(DicomIO(out), new)


def _transcode(source: Path, target: Path, transfer_syntax: str) -> None:
    implicit = transfer_syntax == ImplicitVRLittleEndian
    with source.open("rb") as file, target.open("wb") as out:
        dataset = dcmread(file, stop_before_pixels=True)
        own = dataset.file_meta.TransferSyntaxUID
        pixels = _PixelElement.at(file, implicit=own.is_implicit_VR)
        _begin(out, dataset.file_meta, transfer_syntax)
        if pixels is None:
            out.write(writing.write(dataset, implicit=implicit))
            return
        if str(own) in _COMPRESSED:
            _decompress(file, out, dataset, pixels, implicit=implicit)
        else:
            out.write(writing.write(dataset, implicit=implicit))
            _copy(file, out, dataset, pixels, implicit=implicit)
        rest = read_dataset(file, own.is_implicit_VR, own.is_little_endian)
        out.write(writing.write(rest, implicit=implicit))


@dataclass(frozen=True, slots=True)
class _PixelElement:
    """The element that holds the pixels, its value coming next in the file."""

    tag: int
    vr: str
    length: int
    start: int

    @classmethod
    def at(cls, file: BinaryIO, *, implicit: bool) -> _PixelElement | None:
        """Read its header; None at the end of the data set, which has no pixels then."""
        head = file.read(8 if implicit else 12)
        if not head:
            return None
        group, element = unpack("<HH", head[:4])
        return cls(
            group << 16 | element, "" if implicit else head[4:6].decode(), unpack("<L", head[-4:])[0], file.tell()
        )


def _copy(file: BinaryIO, out: BinaryIO, dataset: Dataset, pixels: _PixelElement, *, implicit: bool) -> None:
    """The pixels as they are: only their header is written in another way."""
    if pixels.length == _UNDEFINED:
        raise PermanentError("its pixel data are encapsulated, which its transfer syntax does not say")
    integers = "OB" if dataset.get("BitsAllocated", 16) <= 8 and pixels.tag == _PIXEL_DATA else "OW"
    vr = pixels.vr or _FLOATS.get(pixels.tag, integers)
    out.write(writing.header(pixels.tag, vr, pixels.length, implicit=implicit))
    left = pixels.length
    while left:
        piece = file.read(min(left, _PIECE))
        if not piece:
            raise PermanentError("its pixel data end early")
        out.write(piece)
        left -= len(piece)


def _decompress(file: BinaryIO, out: BinaryIO, dataset: Dataset, pixels: _PixelElement, *, implicit: bool) -> None:
    """Header, then frame after frame; `file` is left behind the last fragment."""
    options = as_pixel_options(dataset, pixel_keyword="PixelData", pixel_vr=pixels.vr)
    frames = get_decoder(dataset.file_meta.TransferSyntaxUID).iter_array(file, raw=True, **options)
    first, described = next(frames)
    dataset.PhotometricInterpretation = str(described["photometric_interpretation"])
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = 0
    for tag in _OFFSET_TABLES:
        dataset.pop(tag, None)
    size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    count = int(dataset.get("NumberOfFrames") or 1)
    length = size * count + size * count % 2
    if length > _LONGEST_VALUE:
        raise PermanentError(f"uncompressed it has {size * count} bytes of pixel data, more than an element can hold")
    out.write(writing.write(dataset, implicit=implicit))
    out.write(writing.header(_PIXEL_DATA, "OB" if dataset.BitsAllocated <= 8 else "OW", length, implicit=implicit))
    written = 0
    for frame, _ in chain([(first, described)], frames):
        content = frame.tobytes()
        if len(content) != size:
            raise PermanentError(f"a frame has {len(content)} bytes where the header says {size}")
        out.write(content)
        written += 1
    if written != count:
        raise PermanentError(f"it has {written} frames where the header says {count}")
    out.write(b"\0" * (length - size * count))
    _skip_fragments(file, pixels.start)


def _skip_fragments(file: BinaryIO, start: int) -> None:
    """To behind the Sequence Delimitation Item of encapsulated pixel data (PS3.5 A.4)."""
    file.seek(start)
    while len(head := file.read(8)) == 8:
        group, element, length = unpack("<HHL", head)
        if (group, element) == (0xFFFE, 0xE0DD):
            return
        file.seek(length, SEEK_CUR)
