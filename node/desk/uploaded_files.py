"""Files that a person has sent, with those of ZIP archives taken out: for a child process, as all of it may be hostile.

No name becomes a path: what is taken out is written under numbers. An archive is counted while it is written, so one
that says it is small is no more than one that says it is large.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MOST_FILES = 20_000
"""Of one upload, those in archives included."""
MOST_BYTES = 4 * 2**30
"""Of one upload, when all is unpacked."""
_MOST_RATIO = 200
_ANY_RATIO = 64 * 2**20
"""Bytes that an archive may become whatever its ratio: images of nothing become a thousandth."""
_PIECE = 2**20
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
"""Of the general purpose flags (APPNOTE 4.4.4)."""
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file."""

    name: str
    """As the person's machine calls it; in an archive, with that in front."""
    path: Path


@dataclass
class UnpackedUpload:
    """All files, and those that are left out."""

    files: list[UploadedFile] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Name and reason."""


class UploadTooLargeError(ValueError):
    """The rest is not looked at; the text says which limit it is."""


def unpacked(sent: Sequence[UploadedFile], folder: Path, keep_free: int) -> UnpackedUpload:
    """The files, those of archives written to `folder`, of whose disk this many bytes stay free.

    Raises UploadTooLargeError, OSError.
    """
    found = UnpackedUpload()
    budget = _Budget(folder, keep_free)
    for each in sent:
        if not _is_zip(each.path):
            budget.take(each.path.stat().st_size, 1)
            found.files.append(each)
            continue
        try:
            _unzip(each, folder, found, budget)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, UnicodeError) as error:
            found.left_out.append((each.name, f"cannot be unpacked: {error}"))
    return found


class _Budget:
    """What is left of the limits."""

    def __init__(self, folder: Path, keep_free: int) -> None:
        self._folder, self._keep_free = folder, keep_free
        self._files, self._bytes = 0, 0

    def take(self, octets: int, files: int = 0) -> None:
        """Count it; UploadTooLargeError."""
        self._files += files
        self._bytes += octets
        if self._files > MOST_FILES:
            raise UploadTooLargeError(f"there are more than {MOST_FILES} files")
        if self._bytes > MOST_BYTES:
            raise UploadTooLargeError(f"unpacked it is larger than {MOST_BYTES // 2**30} GiB")
        if shutil.disk_usage(self._folder).free < self._keep_free:
            raise UploadTooLargeError("the disk of this node has too little space for it")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def _unzip(archive: UploadedFile, folder: Path, found: UnpackedUpload, budget: _Budget) -> None:
    most = max(_ANY_RATIO, archive.path.stat().st_size * _MOST_RATIO)
    with zipfile.ZipFile(archive.path) as opened:
        for entry in opened.infolist():
            budget.take(0, 1)
            name = f"{archive.name}: {entry.filename}"
            if entry.is_dir() or PurePosixPath(entry.filename).name.upper() == "DICOMDIR":
                continue
            if entry.flag_bits & _ENCRYPTED:
                found.left_out.append((name, "is encrypted"))
            elif entry.compress_type not in _PLAIN:
                found.left_out.append((name, "is compressed in a way that is not read here"))
            else:
                path = folder / f"{len(found.files):06}-{archive.path.name}"
                most -= _write(opened, entry, path, budget, most)
                if _is_zip(path):
                    path.unlink()
                    found.left_out.append((name, "is a ZIP inside a ZIP"))
                else:
                    found.files.append(UploadedFile(name, path))


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, budget: _Budget, most: int) -> int:
    """Bytes that came of it; UploadTooLargeError beyond `most`."""
    written = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        for piece in _pieces(opened, entry):
            budget.take(len(piece))
            written += len(piece)
            if written > most:
                raise UploadTooLargeError(f"{entry.filename[-60:]} and its archive unpack to far more than they are")
            target.write(piece)
    return written


def _pieces(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with opened.open(entry) as source:
        while piece := source.read(_PIECE):
            yield piece
