"""Reading what a plugin's process left in a folder, trusting nothing: no link, no pipe, no size unbounded.

The folder is opened once and everything below goes through its descriptor, so that what is put in its
place meanwhile is not read.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from plugins.encoding import EncodingError

SCHEMA = 1
"""Version of request.json and result.json; a reader refuses any other."""

JSON_BYTES = 16 * 2**20
"""The most that request.json or result.json may have."""
ARRAY_BYTES = 4 * 2**30
"""The most that all arrays of one result may have together."""
ARRAY_FILES = 256
"""The most array files of one result."""

_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\.npy", re.ASCII)
_ARRAY_TYPES: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "labels": (("uint8", "uint16"), (2, 3)),
    "values": (("float32",), (2, 3)),
    "pixels": (("uint8",), (3,)),
}
"""Field → dtypes and numbers of dimensions that its array may have."""
_UNREADABLE = (OSError, ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError)
"""What opening a file, or numpy's parsing of a malformed .npy header, ends in."""


class ExchangeError(ValueError):
    """A request or a result that is not what it should be; the message names the file and the JSON path."""

    def __init__(self, file: str, path: str, problem: str) -> None:
        super().__init__(f"{file}: {path}: {problem}" if path else f"{file}: {problem}")
        self.file = file
        self.path = path
        self.problem = problem


class ArrayFiles:
    """Reads arrays by name from one folder, within a budget for all of them."""

    def __init__(self, descriptor: int, shown: str) -> None:
        self._shown = shown
        self._descriptor = descriptor
        self._bytes_left = ARRAY_BYTES
        self._files_left = ARRAY_FILES

    def __call__(self, path: str, field_name: str, name: str) -> NDArray[Any]:
        """The array of the file `name`, of a type and shape `field_name` may have; `EncodingError` names `path`."""
        place = f"{path}.array"
        if not _ARRAY_NAME.fullmatch(name):
            raise EncodingError(place, f"{name[:64]!r} is no plain name of a .npy file in {self._shown}/")
        self._files_left -= 1
        if self._files_left < 0:
            raise EncodingError(place, f"more than {ARRAY_FILES} arrays")
        try:
            with _open_file(self._descriptor, name) as file:
                return self._read(file, place, *_ARRAY_TYPES[field_name])
        except EncodingError:
            raise
        except _UNREADABLE as error:
            raise EncodingError(place, f"{self._shown}/{name} cannot be read: {error}") from error

    def _read(self, file: BinaryIO, path: str, types: tuple[str, ...], dimensions: tuple[int, ...]) -> NDArray[Any]:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise EncodingError(path, f"has version {version} of the .npy format, expected 1.0 or 2.0")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
        if dtype.name not in types or not dtype.isnative:
            raise EncodingError(path, f"has the type {dtype}, expected little-endian {' or '.join(types)}")
        if len(shape) not in dimensions or min(shape) < 1:
            raise EncodingError(path, f"has the shape {shape}, expected {dimensions[-1]} dimensions, none empty")
        size = math.prod(shape) * dtype.itemsize
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise EncodingError(path, f"the arrays of the result have more than {ARRAY_BYTES // 2**20} MiB")
        there = os.fstat(file.fileno()).st_size - file.tell()
        if there != size:
            raise EncodingError(path, f"has {there} bytes behind its header, which announces {size}")
        flat = np.fromfile(file, dtype=dtype, count=math.prod(shape))
        return flat.reshape(shape, order="F" if fortran_order else "C")


@contextmanager
def open_folder(folder: Path, name: str) -> Iterator[int]:
    """Descriptor of a folder that is no link; `ExchangeError` calls it `name`."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise ExchangeError(name, "", f"is no folder that can be read ({error.strerror})") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _open_file(folder: int, name: str) -> Iterator[BinaryIO]:
    """Open a regular file of a folder, never a link, a pipe or a device; raises OSError or ValueError."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_nlink > 1:
            raise ValueError("it is a hard link to another file")
        yield file


def read_json(folder: int, name: str, shown: str) -> dict[str, Any]:
    """The object in a file of the folder, its version checked and taken out; `ExchangeError` calls the file `shown`."""
    try:
        with _open_file(folder, name) as file:
            raw = file.read(JSON_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise ExchangeError(shown, "", reason) from error
    if len(raw) > JSON_BYTES:
        raise ExchangeError(shown, "", f"has more than {JSON_BYTES // 2**20} MiB")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except RecursionError as error:
        raise ExchangeError(shown, "", "is nested too deeply") from error
    except ValueError as error:  # also JSONDecodeError and UnicodeDecodeError
        raise ExchangeError(shown, "", f"is not valid JSON in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise ExchangeError(shown, "$", "expected an object")
    version = document.pop("schema", None)
    if version != SCHEMA or isinstance(version, bool):
        raise ExchangeError(shown, "$.schema", f"expected {SCHEMA}, which is the version this program understands")
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")
