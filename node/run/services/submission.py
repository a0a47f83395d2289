"""What a web service gets: the files of an attempt, as one body in the form that the manifest says.

Equal attempts have equal bodies, so that a service may hold what is submitted again against what it has.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from plugins import exchange
from plugins.services import SubmittedForm

_PIECE = 2**20
_ARCHIVE = "submission.zip"
_BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The earliest that an archive can say."""
_TYPES = {".json": "application/json", ".dcm": "application/dicom", ".gz": "application/gzip"}
_OTHER = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class SubmissionBody:
    """The body of a request."""

    content_type: str
    parts: tuple[bytes | Path, ...]
    """One after the other: bytes, and files."""

    @property
    def length(self) -> int:
        """In bytes; OSError."""
        return sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in self.parts)

    def pieces(self) -> Iterator[bytes]:
        """Its bytes; OSError."""
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
                continue
            with part.open("rb") as file:
                while piece := file.read(_PIECE):
                    yield piece


def made(folder: Path, form: SubmittedForm, key: str) -> SubmissionBody:
    """The body for the files that were laid out in a folder; OSError. `key`: the idempotency key."""
    files = _files(folder)
    if form is SubmittedForm.ZIP:
        return SubmissionBody("application/zip", (_archived(folder, files),))
    boundary = f"pacsnode-{key}"
    parts: list[bytes | Path] = []
    for name, path in files.items():
        kind = _TYPES.get(path.suffix, _OTHER)
        head = f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Location: {name}\r\n\r\n"
        parts += [head.encode("ascii"), path, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode("ascii"))
    root = next(iter(files.values()))
    content_type = f'multipart/related; type="{_TYPES.get(root.suffix, _OTHER)}"; boundary="{boundary}"'
    return SubmissionBody(content_type, tuple(parts))


def _files(folder: Path) -> Mapping[str, Path]:
    """What it gets by its name: what says what is asked (`request.json`, `pacsnode.json`) comes first."""
    given = folder / exchange.IN
    found = [path for path in [folder / exchange.REQUEST, *given.rglob("*")] if path.is_file()]
    found.sort(key=lambda path: (path.suffix != ".json", path.relative_to(folder).parts))
    return {path.relative_to(folder).as_posix(): path for path in found}


def _archived(folder: Path, files: Mapping[str, Path]) -> Path:
    target = folder / _ARCHIVE
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files.items():
            with archive.open(zipfile.ZipInfo(name, _BEGINNING), "w", force_zip64=True) as out, path.open("rb") as file:
                while piece := file.read(_PIECE):
                    out.write(piece)
    return target
