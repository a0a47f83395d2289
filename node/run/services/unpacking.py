"""In a child: the body of a service's answer becomes files in `out/`, as if a program had left them there.

What comes is distrusted: names are plain ones below `out/`, nothing is a link, and what is unpacked is counted while it
is written, so that an archive that says it is small is no more than one that says it is large.
"""

from __future__ import annotations

import mmap
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from node.processes.pool import ChildError, ChildPool
from node.run.answer import AnswerToCheck
from plugins import exchange, limits, object_files
from plugins.contract import Result, ResultStatus, ReturnedObject
from plugins.exchanges import ExchangeForm
from plugins.untrusted import ExchangeError

ANSWER = "answer"
"""In the folder of an attempt: the body."""
_PIECE = 2**20
_MEMORY = 2**30
_SECONDS = 60.0
_BYTES_A_SECOND = 20 * 2**20
"""Unpacked and written, on a machine that is busy."""
_BYTES_A_WEIGHT = 100 * 2**20
_MOST_FILES = limits.FILES + limits.OBJECTS
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}/){0,8}[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_LONGEST_HEAD = 16 * 2**10
_MULTIPART = ("multipart/related", "multipart/mixed")
_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class UnpackingTask:
    """What is asked of a body."""

    folder: Path
    """The attempt's: `answer` is in it, and `out/` comes."""
    content_type: str
    form: ExchangeForm
    most: int
    """Bytes that may come of it, in all."""


@dataclass(frozen=True, slots=True)
class UnpackedAnswer:
    """What was in it."""

    is_result: bool
    """Whether there is a `result.json`; else files that the manifest gives a meaning."""


def unpacked(pool: ChildPool, order: AnswerToCheck, content_type: str, most: int) -> AnswerToCheck:
    """Have the body unpacked in a child process; how what came of it is to be read. `most`: bytes, see above.

    Raises ExchangeError, OSError, CallCancelledError.
    """
    task = UnpackingTask(order.folder, content_type, order.manifest.runtime.exchange, most)
    size = (order.folder / ANSWER).stat().st_size
    for name in (exchange.IN, exchange.OUT):  # what was submitted, and what an earlier try left
        shutil.rmtree(order.folder / name, ignore_errors=True)
    (order.folder / exchange.OUT).mkdir(mode=0o700)
    try:
        found = pool.call(
            unpack,
            task,
            deadline=_SECONDS + most / _BYTES_A_SECOND,
            memory=_MEMORY,
            weight=size / _BYTES_A_WEIGHT,
        )
    except ChildError as error:
        raise _error("", f"cannot be unpacked: {error}") from error
    return replace(order, nifti=None) if found.is_result else order


def unpack(task: UnpackingTask) -> UnpackedAnswer:
    """Fill `out/`; ExchangeError, which says what is wrong with the body, OSError."""
    out = task.folder / exchange.OUT
    writer = _UnpackedFiles(out, task.most)
    kind = _header(task.content_type)
    body = task.folder / ANSWER
    match kind.get_content_type():
        case "application/json":
            writer.write(exchange.RESULT, _pieces(body))
        case "application/dicom":
            writer.write(_object_name(1), _pieces(body))
        case "application/zip":
            _unzip(body, writer)
        case name if name in _MULTIPART:
            _part(body, str(kind.get_param("boundary", "")), writer)
        case _:
            raise _error("", "its Content-Type is none of JSON, zip, DICOM and multipart/related")
    if exchange.RESULT in writer.names:
        return UnpackedAnswer(is_result=True)
    if task.form is ExchangeForm.NIFTI:
        return UnpackedAnswer(is_result=False)
    _write_result(task.folder, writer.names)
    return UnpackedAnswer(is_result=True)


class _UnpackedFiles:
    """Writes files below `out/`."""

    def __init__(self, out: Path, most: int) -> None:
        self._out, self._left, self._most = out, most, most
        self.names: dict[str, None] = {}

    def write(self, name: str, pieces: Iterator[bytes]) -> None:
        """One file; ExchangeError where it may not be, or is too much."""
        if not _NAME.fullmatch(name):
            raise _error("", f"{name[:64]!a} is not a plain file name")
        if name in self.names:
            raise _error(name, "is there twice")
        if len(self.names) >= _MOST_FILES:
            raise _error("", f"has more than {_MOST_FILES} files")
        self.names[name] = None
        path = self._out / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("xb") as file:
                for piece in pieces:
                    self._left -= len(piece)
                    if self._left < 0:
                        raise _error(name, f"with it the answer has more than {self._most >> 20} MiB")
                    file.write(piece)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise _error(name, "is a folder, too") from error


def _unzip(body: Path, writer: _UnpackedFiles) -> None:
    try:
        with zipfile.ZipFile(body) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                if member.flag_bits & 1:
                    raise _error(_shown(member.filename), "is encrypted")
                if member.compress_type not in _DEFLATED:
                    raise _error(_shown(member.filename), "is compressed in another way than deflate")
                with archive.open(member) as file:
                    writer.write(member.filename.removeprefix(f"{exchange.OUT}/"), iter(lambda: file.read(_PIECE), b""))
    except ExchangeError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        raise _error("", "is not an archive that can be read (zip)") from error


def _part(body: Path, boundary: str, writer: _UnpackedFiles) -> None:
    """multipart/related (RFC 2046 5.1), as STOW-RS and WADO-RS have it: a part is JSON, or a DICOM object."""
    if not boundary or len(boundary) > 70 or not boundary.isascii():
        raise _error("", "its Content-Type names no boundary")
    if not body.stat().st_size:
        raise _error("", "is empty")
    with body.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        objects = 0
        for start, end in _spans(whole, boundary.encode("ascii")):
            head_end = whole.find(b"\r\n\r\n", start, min(end, start + _LONGEST_HEAD))
            if head_end < 0:
                raise _error("", "a part of it has no head")
            head = BytesParser().parsebytes(whole[start : head_end + 4], headersonly=True)
            match head.get_content_type():
                case "application/json":
                    name = exchange.RESULT
                case "application/dicom":
                    objects += 1
                    name = _object_name(objects)
                case _:
                    raise _error("", "a part of it is neither JSON nor DICOM")
            writer.write(name, _slices(whole, head_end + 4, end))


def _spans(whole: mmap.mmap, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each part, its head included."""
    delimiter = b"\r\n--" + boundary
    begun = 0 if whole[: len(delimiter) - 2] == delimiter[2:] else whole.find(delimiter)
    if begun < 0:
        raise _error("", "does not have the boundary that its Content-Type names")
    after = begun + len(delimiter) - (2 if begun == 0 else 0)
    while whole[after : after + 2] != b"--":
        start = whole.find(b"\r\n", after)
        end = whole.find(delimiter, start) if start >= 0 else -1
        if end < 0:
            raise _error("", "ends in the midst of a part")
        yield start + 2, end
        after = end + len(delimiter)


def _slices(whole: mmap.mmap, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _PIECE):
        yield whole[at : min(at + _PIECE, end)]


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _write_result(folder: Path, names: dict[str, None]) -> None:
    """A result of the DICOM objects that are there, where the service wrote none."""
    objects = [name for name in names if name.endswith(".dcm")]
    if not objects or len(objects) != len(names):
        raise _error("", f"has neither {exchange.RESULT} nor DICOM objects alone")
    count = f"{len(objects)} DICOM object{'' if len(objects) == 1 else 's'}"
    summary = f"The service returned {count}."
    files = tuple(ReturnedObject(folder.resolve() / exchange.OUT / name) for name in objects)
    exchange.write_result(folder, Result(ResultStatus.FINDINGS, summary, objects=files))


def _object_name(number: int) -> str:
    return f"{object_files.FOLDER}/{number:06}.dcm"


def _header(content_type: str) -> Message:
    found = Message()
    found["Content-Type"] = content_type if content_type.isascii() and content_type.isprintable() else ""
    return found


def _shown(name: str) -> str:
    return ascii(name[:64])[1:-1]


def _error(name: str, problem: str) -> ExchangeError:
    return ExchangeError(f"{ANSWER}{'/' if name else ''}{name}", "", problem)
