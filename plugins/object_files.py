"""The files of the DICOM objects of a result: put into `out/`, and found there without trust."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from plugins import limits
from plugins.contract import ContractError
from plugins.encoding import EncodingError
from plugins.untrusted import open_file, why_unreadable

FOLDER = "dicom"
"""In `out/`: where this module puts them. A program may put them anywhere in `out/`."""


class ObjectWriter:
    """Puts files into `out/`, one after the other, and says under which name."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._count = 0

    def __call__(self, path: Path) -> str:
        """Copy the file, durably; one that is in `out/` already stays where it is."""
        if path.is_absolute() and path.is_relative_to(self._out) and ".." not in path.parts:
            return path.relative_to(self._out).as_posix()
        self._count += 1
        name = f"{FOLDER}/{self._count:06d}.dcm"
        (self._out / FOLDER).mkdir(exist_ok=True)
        try:
            source = path.open("rb")
        except OSError as error:
            raise ContractError(f"ReturnedObject.file: {path} cannot be read: {error.strerror}") from error
        with source, (self._out / name).open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
            target.flush()
            os.fsync(target.fileno())
        return name


class ObjectFiles:
    """Finds files by their names in `out/`: regular ones, each named once, within a budget for all of them."""

    def __init__(self, descriptor: int, out: Path) -> None:
        self._descriptor = descriptor
        self._out = out
        self._bytes_left = limits.OBJECTS_BYTES
        self._names: set[PurePosixPath] = set()
        self.named: set[str] = set()
        """What `out/` itself has of them: files, and folders that hold some."""

    def __call__(self, path: str, name: str) -> Path:
        """The file; `EncodingError` names `path`, the place in the JSON."""
        relative = _relative(path, name)
        if relative in self._names:
            raise EncodingError(path, f"{name[:64]!r} is named twice")
        self._names.add(relative)
        self.named.add(relative.parts[0])
        try:
            with _opened(self._descriptor, relative) as file:
                size = os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise EncodingError(path, f"{name[:64]!r} cannot be read: {why_unreadable(error)}") from error
        if size > limits.OBJECT_BYTES:
            raise EncodingError(path, f"has {size} bytes, at most {limits.OBJECT_BYTES}")
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise EncodingError(path, f"the objects have more than {limits.OBJECTS_BYTES // 2**20} MiB together")
        return self._out / relative


@contextmanager
def open_object(out: Path, file: Path) -> Iterator[BinaryIO]:
    """Open the file of an object that `ObjectFiles` found in the folder `out`; no part of its path may be a link.

    OSError or ValueError where it is not what it was when it was found.
    """
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with _opened(descriptor, PurePosixPath(file.relative_to(out))) as opened:
            yield opened
    finally:
        os.close(descriptor)


def _relative(path: str, name: str) -> PurePosixPath:
    """The name as a path below `out/`."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise EncodingError(path, f"{name[:64]!r} is not the path of a file in out/")
    if len(parts) > limits.OBJECT_FOLDERS + 1:
        raise EncodingError(path, f"{len(parts) - 1} folders, at most {limits.OBJECT_FOLDERS}")
    return PurePosixPath(*parts)


@contextmanager
def _opened(folder: int, relative: PurePosixPath) -> Iterator[BinaryIO]:
    """Open a regular file below a folder, each part of the path without following a link."""
    here = os.dup(folder)
    try:
        for part in relative.parts[:-1]:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        with open_file(here, relative.parts[-1]) as file:
            yield file
    finally:
        os.close(here)
