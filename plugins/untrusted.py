"""Reading what a plugin's process left in a folder, trusting nothing: no link, no pipe, no size unbounded.

The folder is opened once and everything below goes through its descriptor, so that what is put in its
place meanwhile is not read.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tokenize
from collections.abc import Container, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from plugins import limits
from plugins.encoding import EncodingError, Planes

SCHEMA = 1
"""Version of request.json and result.json; a reader refuses any other."""

_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\.npy", re.ASCII)
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\.pdf", re.ASCII)
_ARRAY_TYPES: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "labels": (("uint8", "uint16"), (2, 3)),
    "values": (("float32",), (2, 3)),
    "pixels": (("uint8",), (3,)),
}
"""Field → dtypes and numbers of dimensions that its array may have."""
_HEADER_BYTES = 10_000
"""Of a .npy file; numpy's own limit."""
_LINE = 300
"""Characters of `read_line`."""
_MOST_NAMED = 10
"""Of what is ignored."""
_UNREADABLE = (OSError, ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError)
"""What opening a file, or numpy's parsing of a malformed .npy header, ends in."""


class ExchangeError(ValueError):
    """A request or a result that is not what it should be; the message names the file and the JSON path."""

    def __init__(self, file: str, path: str, problem: str) -> None:
        super().__init__(f"{file}: {path}: {problem}" if path else f"{file}: {problem}")
        self.file = file
        self.path = path
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        return ExchangeError, (self.file, self.path, self.problem)  # it is pickled on its way out of a child process


class ArrayFiles:
    """Opens arrays by name in one folder, within a budget for all of them.

    Type, shape and length of a file are judged by its header before any of its data is read. The data is mapped, not
    read: an array takes memory only as far as it is looked at, and a file with holes costs no more than one without.
    """

    def __init__(self, descriptor: int, shown: str) -> None:
        self._shown = shown
        self._descriptor = descriptor
        self._bytes_left = limits.ARRAY_BYTES
        self._files_left = limits.ARRAY_FILES
        self.named: set[str] = set()
        """The files that were asked for."""

    def __call__(self, path: str, field_name: str, name: str, planes: Planes | None) -> NDArray[Any]:
        """The array of the file `name`, read-only, of a type that `field_name` may have and as large as what it has to
        lie on; `EncodingError` names `path`.
        """
        place = f"{path}.array"
        if not _ARRAY_NAME.fullmatch(name):
            raise EncodingError(place, f"{name[:64]!r} is not a plain name of a .npy file in {self._shown}/")
        self.named.add(name)
        self._files_left -= 1
        if self._files_left < 0:
            raise EncodingError(place, f"more than {limits.ARRAY_FILES} arrays")
        try:
            with open_file(self._descriptor, name) as file:
                return self._map(file, place, field_name, planes)
        except EncodingError:
            raise
        except _UNREADABLE as error:
            raise EncodingError(place, f"{self._shown}/{name} cannot be read: {why_unreadable(error)}") from error

    def read_content(self, path: str, name: str) -> bytes:
        """The content of the file `name`, as far as a document may have any; `EncodingError` names `path`."""
        place = f"{path}.file"
        if not _FILE_NAME.fullmatch(name):
            raise EncodingError(place, f"{name[:64]!r} is not a plain name of a .pdf file in {self._shown}/")
        self.named.add(name)
        try:
            with open_file(self._descriptor, name) as file:
                content = file.read(limits.DOCUMENT_BYTES + 1)
        except _UNREADABLE as error:
            raise EncodingError(place, f"{self._shown}/{name} cannot be read: {why_unreadable(error)}") from error
        if len(content) > limits.DOCUMENT_BYTES:
            raise EncodingError(place, f"{self._shown}/{name} has more than {limits.DOCUMENT_BYTES // 2**20} MiB")
        return content

    def _map(self, file: BinaryIO, path: str, field_name: str, planes: Planes | None) -> NDArray[Any]:
        types, dimensions = _ARRAY_TYPES[field_name]
        shape, fortran_order, dtype = _header(file, path)
        if dtype.name not in types or not dtype.isnative:
            raise EncodingError(path, f"has the type {dtype}, expected little-endian {' or '.join(types)}")
        if len(shape) not in dimensions or min(shape) < 1:
            raise EncodingError(path, f"has the shape {shape}, expected {dimensions[-1]} dimensions, none empty")
        problem = _misfit(shape, planes) if planes is not None else _picture_problem(shape)
        if problem:
            raise EncodingError(path, problem)
        size = math.prod(shape) * dtype.itemsize
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise EncodingError(path, f"the arrays of the result have more than {limits.ARRAY_BYTES // 2**20} MiB")
        there = os.fstat(file.fileno()).st_size - file.tell()
        if there != size:
            raise EncodingError(path, f"has {there} bytes behind its header, which announces {size}")
        order: Literal["F", "C"] = "F" if fortran_order else "C"
        return np.asarray(np.memmap(file, dtype, "r", file.tell(), shape, order))


def _header(file: BinaryIO, path: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type, as the header of a .npy file says; the file is then at its data."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise EncodingError(path, f"has version {version} of the .npy format, expected 1.0 or 2.0")
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(file.read(width), "little")
    if length > _HEADER_BYTES:  # numpy reads all of it before it looks
        raise EncodingError(path, f"has a header of {length} bytes, at most {_HEADER_BYTES}")
    file.seek(-width, os.SEEK_CUR)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(file)
    return shape, fortran_order, dtype


def _misfit(shape: tuple[int, ...], planes: Planes) -> str | None:
    """Why an array does not lie on its images, in words."""
    if planes.flat and len(shape) != 2:
        return f"expected (rows, columns), got shape {shape}"
    slices, size = (shape[0] if len(shape) == 3 else 1), shape[-2:]
    if slices != len(planes.sizes):
        return f"{len(planes.sizes)} references for {slices} slices"
    other = next((each for each in planes.sizes if each is not None and each != size), None)
    return f"has {shown_size(size)} pixels a slice, its images have {shown_size(other)}" if other else None


def _picture_problem(shape: tuple[int, ...]) -> str | None:
    if shape[2] != 3:
        return f"expected (rows, columns, 3), got shape {shape}"
    most = limits.PICTURE_SIDE
    return f"{shown_size(shape[:2])} pixels, at most {most} a side" if max(shape) > most else None


def shown_size(size: tuple[int, ...]) -> str:
    """Rows × columns, for people."""
    return " × ".join(map(str, size))


def strays(folder: int, shown: str, named: Container[str]) -> tuple[str, ...]:
    """What lies in a folder beside what is `named`, the first few of it in printable form: nobody opens it.

    Programs leave caches, pictures and links behind, which must not cost a result. `ExchangeError`, which says `shown`,
    for what no honest program leaves: a pipe, a socket, a device, or a second name of a file that may lie elsewhere.
    """
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in islice(entries, limits.FILES):
            status = entry.stat(follow_symlinks=False)
            is_file = stat.S_ISREG(status.st_mode)
            if not is_file and not stat.S_ISDIR(status.st_mode) and not stat.S_ISLNK(status.st_mode):
                raise ExchangeError(f"{shown}/{printable(entry.name)}", "", "is a pipe, a socket or a device")
            if is_file and status.st_nlink > 1:
                raise ExchangeError(f"{shown}/{printable(entry.name)}", "", "is a hard link to another file")
            if entry.name not in named and len(found) < _MOST_NAMED:
                found.append(printable(entry.name))
    return tuple(found)


def why_unreadable(error: Exception) -> str:
    """Why a file cannot be opened or read, in words."""
    match error:
        case OSError(errno=errno.ELOOP):
            return "it is a link"
        case OSError(errno=errno.ENXIO | errno.EISDIR):
            return "it is not a regular file"
        case OSError():
            return error.strerror or "it cannot be read"
    return str(error)


def printable(name: str) -> str:
    """A name that a program chose, for a log or an error."""
    return ascii(name[:64])[1:-1]


@contextmanager
def open_folder(folder: Path, name: str) -> Iterator[int]:
    """Descriptor of a folder that is not a link; `ExchangeError` calls it `name`."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise ExchangeError(name, "", f"is not a folder that can be read ({error.strerror})") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_file(folder: int, name: str) -> Iterator[BinaryIO]:
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
        with open_file(folder, name) as file:
            raw = file.read(limits.JSON_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {why_unreadable(error)}"
        raise ExchangeError(shown, "", reason) from error
    if len(raw) > limits.JSON_BYTES:
        raise ExchangeError(shown, "", f"has more than {limits.JSON_BYTES // 2**20} MiB")
    document = parsed_json(raw, shown)
    if not isinstance(document, dict):
        raise ExchangeError(shown, "$", "expected an object")
    version = document.pop("schema", None)
    if version != SCHEMA or isinstance(version, bool):
        raise ExchangeError(shown, "$.schema", f"expected {SCHEMA}, which is the version this program understands")
    return document


def parsed_json(raw: bytes, shown: str) -> Any:
    """What JSON says; `ExchangeError` calls the file `shown`."""
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except RecursionError as error:
        raise ExchangeError(shown, "", "is nested too deeply") from error
    except ValueError as error:  # also JSONDecodeError and UnicodeDecodeError
        raise ExchangeError(shown, "", f"is not valid JSON in UTF-8: {error}") from error


def read_line(folder: int, name: str) -> str:
    """The first line of a file of the folder, its beginning in printable form; "" where there is nothing to read."""
    try:
        with open_file(folder, name) as file:
            line = file.read(4 * _LINE).split(b"\n", 1)[0]
    except (OSError, ValueError):
        return ""
    text = line.decode("utf-8", errors="replace").strip()[:_LINE]
    return "".join(each if each.isprintable() else " " for each in text)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")
