"""MetaImage files (`.mha`), as ITK and Grand Challenge have them: made for what is written, and distrusted otherwise.

A header of text, `Key = Value` on each line, whose last line is `ElementDataFile = LOCAL`; then the voxels, plain or
compressed with zlib (https://itk.org/Wiki/ITK/MetaIO/Documentation). Where they are is said as in DICOM, in LPS: row i
of TransformMatrix is the direction of axis i.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from node.run.nifti.headers import NiftiHead, NiftiHeaderError, checked_shape
from plugins.volume import Volume

ENDING = ".mha"
_MOST_HEADER = 2**16
_PIECE = 2**20
_TYPES = {
    "MET_CHAR": "int8",
    "MET_UCHAR": "uint8",
    "MET_SHORT": "int16",
    "MET_USHORT": "uint16",
    "MET_INT": "int32",
    "MET_UINT": "uint32",
    "MET_LONG_LONG": "int64",
    "MET_ULONG_LONG": "uint64",
    "MET_FLOAT": "float32",
    "MET_DOUBLE": "float64",
}
"""MET_LONG is not among them: how many bytes it has depends on the machine that wrote it."""
_OTHER_NAMES = {
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
    "Position": "Offset",
    "Origin": "Offset",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
"""Keys that mean the same."""
_LAST = "ElementDataFile"


def header(volume: Volume, dtype: np.dtype[Any]) -> bytes:
    """The bytes before the voxels of a volume, which follow as (slices, rows, columns) in little-endian order."""
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)
    values = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": _numbers((volume.affine[:3, :3] / lengths).T.ravel()),
        "Offset": _numbers(volume.affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _numbers(lengths),
        "DimSize": " ".join(map(str, volume.array.shape[::-1])),
        "ElementType": next(name for name, each in _TYPES.items() if each == dtype.name),
        _LAST: "LOCAL",
    }
    return "".join(f"{key} = {value}\n" for key, value in values.items()).encode("ascii")


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(repr(float(value)) for value in values)


class InflatedVoxels:
    """The voxels of a file that are compressed, unpacked as far as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        """`file`: at its first compressed byte."""
        self._file = file
        self._unpacker = zlib.decompressobj()

    def read(self, count: int, /) -> bytes:
        """At most this many bytes; none at the end. Raises zlib.error, and EOFError for a file that was cut off.

        What follows the compressed voxels comes as it is, so that a reader sees that the file is too long.
        """
        found = b""
        while not found:
            if self._unpacker.eof:
                return self._unpacker.unused_data[:1] or self._file.read(1)
            packed = self._unpacker.unconsumed_tail or self._file.read(_PIECE)
            found = self._unpacker.decompress(packed, count)  # it may hold some back, so also without further bytes
            if not (packed or found or self._unpacker.eof):
                raise EOFError("the compressed voxels are cut off")
        return found


def judged(file: BinaryIO, most_voxels: int) -> tuple[NiftiHead, bool]:
    """What the header of an open file says, which is at its first voxel then, and whether those are compressed.

    Raises NiftiHeaderError where it cannot be used, or announces more voxels than `most_voxels`; OSError.
    """
    keys, size = _keys(file.read(_MOST_HEADER))
    file.seek(size)
    _require(keys, "ObjectType", "Image")
    _require(keys, "NDims", "3")
    _require(keys, "BinaryData", "True")
    for key, value in (("ElementNumberOfChannels", "1"), ("HeaderSize", "0"), (_LAST, "LOCAL")):
        _require(keys, key, value, default=value)
    if any(_floats(keys, "CenterOfRotation", 3, "0 0 0")):
        raise NiftiHeaderError("has a CenterOfRotation that is not 0 0 0, which readers take for different places")
    head = NiftiHead(
        shape=checked_shape([_whole(each) for each in _words(keys, "DimSize", 3)], most_voxels),
        dtype=_dtype(keys),
        affine=_affine(keys),
        slope=1.0,
        intercept=0.0,
        skip=0,
    )
    return head, _is_true(keys, "CompressedData")


def _keys(block: bytes) -> tuple[Mapping[str, str], int]:
    """The keys with their values, and the bytes that they take."""
    keys: dict[str, str] = {}
    at = 0
    while _LAST not in keys:
        end = block.find(b"\n", at)
        if end < 0:
            raise NiftiHeaderError(f"has no line {_LAST} within its first {len(block)} bytes: it is no MetaImage")
        name, separator, value = block[at:end].decode("latin-1").partition("=")
        at = end + 1
        if not separator:
            raise NiftiHeaderError("has a line without = in its header: it is no MetaImage")
        key = _OTHER_NAMES.get(name.strip(), name.strip())
        if key in keys:
            raise NiftiHeaderError(f"has {key} twice in its header"[:200])
        keys[key] = value.strip()
    return keys, at


def _require(keys: Mapping[str, str], key: str, value: str, default: str = "") -> None:
    found = keys.get(key, default)
    if found.lower() != value.lower():
        raise NiftiHeaderError(f"has {key} = {found[:40] or 'nothing'}, expected {value}")


def _is_true(keys: Mapping[str, str], key: str) -> bool:
    return keys.get(key, "").lower() in ("true", "1")


def _words(keys: Mapping[str, str], key: str, count: int, default: str = "") -> list[str]:
    words = keys.get(key, default).split()
    if len(words) != count:
        raise NiftiHeaderError(f"has {len(words)} numbers in {key}, expected {count}")
    return words


def _whole(word: str) -> int:
    if not word.isascii() or not word.isdecimal() or len(word) > 10:
        raise NiftiHeaderError(f"has the length {word[:40]!r} in DimSize")
    return int(word)


def _floats(keys: Mapping[str, str], key: str, count: int, default: str = "") -> list[float]:
    try:
        found = [float(word) for word in _words(keys, key, count, default)]
    except ValueError as error:
        if isinstance(error, NiftiHeaderError):
            raise
        raise NiftiHeaderError(f"has something else than numbers in {key}") from error
    if not all(map(math.isfinite, found)):
        raise NiftiHeaderError(f"has something else than finite numbers in {key}")
    return found


def _dtype(keys: Mapping[str, str]) -> np.dtype[Any]:
    name = keys.get("ElementType", "")
    if name not in _TYPES:
        raise NiftiHeaderError(f"has ElementType = {name[:40] or 'nothing'}, expected one of {', '.join(_TYPES)}")
    is_big = _is_true(keys, "BinaryDataByteOrderMSB")
    return np.dtype(_TYPES[name]).newbyteorder(">" if is_big else "<")


def _affine(keys: Mapping[str, str]) -> NDArray[np.float64]:
    """LPS. No part of it is taken for granted: a mask that does not say where it is could lie anywhere."""
    affine = np.eye(4)
    directions = np.array(_floats(keys, "TransformMatrix", 9)).reshape(3, 3).T
    affine[:3, :3] = directions * _floats(keys, "ElementSpacing", 3)
    affine[:3, 3] = _floats(keys, "Offset", 3)
    if np.abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise NiftiHeaderError("does not say where its voxels are: TransformMatrix and ElementSpacing have no inverse")
    return affine
