"""A form with files (RFC 7578), written to disk while it comes in: nothing of it stays in memory, or for long on disk.

The fields of the form come before its files, so that who may not send any is refused before the first one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from node.desk.uploaded_files import MOST_FILES, UploadedFile
from node.errors import TransientError, UsageError

MOST_BYTES = 2 * 2**30
"""Of one upload."""
FOLDER = "uploads"
"""In the data folder: what is being uploaded, for as long as that takes."""
_MOST_FIELD = 4096
_MOST_HEADERS = 8192
_AT_ONCE = 2**20
_LONGEST_NAME = 200
_AT_A_TIME = asyncio.Semaphore(1)


@dataclass
class ReceivedForm:
    """What came."""

    folder: Path
    fields: dict[str, str] = field(default_factory=dict)
    files: list[UploadedFile] = field(default_factory=list)


def check_length(request: Request) -> int:
    """The bytes that are announced; UsageError where these are too many, or not announced."""
    announced = request.headers.get("Content-Length", "")
    if not announced.isdecimal():
        raise UsageError("an upload says how long it is (Content-Length)")
    if int(announced) > MOST_BYTES:
        raise UsageError(f"an upload has at most {MOST_BYTES // 2**30} GiB: send it in parts, or with storescu")
    return int(announced)


@asynccontextmanager
async def received(
    request: Request, data: Path, check: Callable[[ReceivedForm], None], check_room: Callable[[int], None]
) -> AsyncIterator[ReceivedForm]:
    """The form, whose files are gone afterwards; `check` sees the fields before the first file is written.

    Raises UsageError, TransientError where another upload is under way, and what the checks raise.
    """
    octets = check_length(request)
    if _AT_A_TIME.locked():
        raise TransientError("another upload is under way: try again when it is done")
    async with _AT_A_TIME:
        await asyncio.to_thread(check_room, octets)
        folder = await asyncio.to_thread(_new_folder, data)
        try:
            yield await _FormReader(request, folder, check).read()
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


def _new_folder(data: Path) -> Path:
    """An empty one; what a console left that died is removed, as there is one upload at a time."""
    parent = data / FOLDER
    shutil.rmtree(parent, ignore_errors=True)
    folder = parent / secrets.token_hex(8)
    folder.mkdir(parents=True, mode=0o700)
    return folder


class _FormReader:
    """Reads one form. What the parser calls only notes what is to be done; the disk has a thread of its own."""

    def __init__(self, request: Request, folder: Path, check: Callable[[ReceivedForm], None]) -> None:
        kind, options = parse_options_header(request.headers.get("Content-Type", ""))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise UsageError("this is not a form with files")
        self._request, self._check = request, check
        self._form = ReceivedForm(folder)
        self._header: tuple[bytearray, bytearray] = bytearray(), bytearray()
        self._headers: dict[str, str] = {}
        self._name = ""
        self._field: bytearray | None = None
        self._pending: list[tuple[Path, bytes]] = []
        self._waiting = 0
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._add(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._add(1, data[start:end]),
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": lambda data, start, end: self._data(data[start:end]),
                "on_part_end": self._end,
            },
        )

    async def read(self) -> ReceivedForm:
        """All of it. UsageError for what is not such a form, or is too large."""
        octets = 0
        try:
            async for chunk in self._request.stream():
                octets += len(chunk)
                if octets > MOST_BYTES:
                    raise UsageError(f"an upload has at most {MOST_BYTES // 2**30} GiB")
                self._parser.write(chunk)
                if self._waiting > _AT_ONCE:
                    await self._write()
            self._parser.finalize()
        except MultipartParseError as error:
            raise UsageError("the form was not sent as a form") from error
        except ClientDisconnect as error:
            raise TransientError("the upload was broken off") from error
        await self._write()
        if not self._form.files:
            raise UsageError("choose at least one file")
        return self._form

    def _begin(self) -> None:
        self._headers.clear()

    def _add(self, which: int, piece: bytes) -> None:
        self._header[which].extend(piece)
        if len(self._header[which]) > _MOST_HEADERS or len(self._headers) > 20:
            raise UsageError("the form was not sent as a form")

    def _header_ends(self) -> None:
        name, value = (each.decode("utf-8", "replace") for each in self._header)
        self._headers[name.lower()] = value
        for each in self._header:
            each.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            if self._form.files:
                raise UsageError("the form was not sent as a form: its fields come before its files")
            self._field = bytearray()
            return
        self._field = None
        if not self._form.files:
            self._check(self._form)
        if len(self._form.files) >= MOST_FILES:
            raise UsageError(f"an upload has at most {MOST_FILES} files")
        name = options[b"filename"].decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
        path = self._form.folder / f"{len(self._form.files):06}"
        self._form.files.append(UploadedFile(name[-_LONGEST_NAME:] or "file", path))
        self._pending.append((path, b""))

    def _data(self, piece: bytes) -> None:
        if self._field is None:
            self._pending.append((self._form.files[-1].path, piece))
            self._waiting += len(piece)
            return
        self._field.extend(piece)
        if len(self._field) > _MOST_FIELD or len(self._form.fields) > 20:
            raise UsageError("the form was not sent as a form")

    def _end(self) -> None:
        if self._field is not None:
            self._form.fields[self._name] = self._field.decode("utf-8", "replace")

    async def _write(self) -> None:
        pending, self._pending, self._waiting = self._pending, [], 0
        await asyncio.to_thread(_append, pending)


def _append(pieces: list[tuple[Path, bytes]]) -> None:
    opened: tuple[Path, int] | None = None
    try:
        for path, piece in pieces:
            if opened is None or opened[0] != path:
                if opened is not None:
                    os.close(opened[1])
                opened = path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(opened[1], rest) :]
    finally:
        if opened is not None:
            os.close(opened[1])
