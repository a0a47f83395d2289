"""The files of the audit trail: append-only, a line for each entry, each line chained to the one before it.

    <SHA-256 of the rest of the line> {"n":124,"previous":"<SHA-256 of entry 123>","at":"…","kind":"message",…}

A line's digest covers its text, and its text has the digest of the line before: whoever changes, removes, inserts or
moves one breaks the chain there (`node.audit.checking`). Numbers only grow, over all files; a file is named by the
number of its first entry and by the day on which it was begun.

An entry is durable when `append` returns. A crash in between can leave a torn line at the end, which was promised to
nobody: it stays where it is, as the file is append-only, and an entry after it says what it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from node.clock import to_text
from node.store.durable import sync_folder

PROGRAM = "pacsnode"
"""The name of what is audited, in messages and at syslog."""
FOLDER = "audit"
"""In the data folder."""
BEGINNING = "0" * 64
"""What the first entry of all has for the digest of the one before it."""
_LARGEST = 64 << 20
"""Bytes after which a file is followed by another one, also within a day."""
_NAME = re.compile(r"([0-9]{12})-[0-9]{4}-[0-9]{2}-[0-9]{2}\.jsonl")
_LINE = re.compile(rb'([0-9a-f]{64}) (\{"n":([0-9]{1,15}),"previous":"([0-9a-f]{64})",.*\})')


class EntryKind(StrEnum):
    """What a line is."""

    MESSAGE = "message"
    """An audit message, of one event."""
    TORN = "torn"
    """The line before was begun, and never finished: the machine or the node went down."""
    MISSING = "missing"
    """Entries that the ledger knows were not there any more when the node opened the trail."""
    REMOVED = "removed"
    """Files that were older than `audit.keep` were removed."""


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """One line that is whole."""

    number: int
    digest: str
    previous: str
    text: bytes
    """Without its digest."""

    @property
    def fields(self) -> dict[str, Any]:
        """All that it says; ValueError where it is no JSON object."""
        found = json.loads(self.text)
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - to a caller a line that cannot be read is one thing
        return found


@dataclass(frozen=True, slots=True)
class EntryDigest:
    """Where the chain ends: what the next entry follows."""

    number: int = 0
    digest: str = BEGINNING


BEFORE_ALL = EntryDigest()
"""Of a trail without entries."""


@dataclass(frozen=True, slots=True)
class Tail:
    """How the trail ends: its last whole entry, and what is after it."""

    last: EntryDigest
    file: Path | None
    """The newest file."""
    torn: bytes = b""
    is_open: bool = False
    """The last line is whole, and only its end of line is missing."""


def folder_of(data: Path) -> Path:
    """Where the trail of a data folder is."""
    return data / FOLDER


def files_in(folder: Path) -> list[Path]:
    """Its files, the oldest first."""
    try:
        names = sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))
    except FileNotFoundError:
        return []
    return [folder / name for name in names]


def first_number(file: Path) -> int:
    """The number of the first entry of a file, by its name."""
    found = _NAME.fullmatch(file.name)
    assert found is not None, file
    return int(found[1])


def parse(line: bytes) -> TrailEntry | None:
    """The entry that a line is, without its end of line; None where it is none, whether or not its digest is right."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    return TrailEntry(int(found[3]), found[1].decode(), found[4].decode(), found[2])


def is_right(entry: TrailEntry) -> bool:
    """Whether its text is what its digest was made of."""
    return hashlib.sha256(entry.text).hexdigest() == entry.digest


def lines_of(file: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its number in the file, without its end; the last one also where its end is missing."""
    with file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            yield number, line.removesuffix(b"\n")


def tail_of(folder: Path) -> Tail:
    """How the trail ends. Raises OSError."""
    newest, torn = None, b""
    for file in reversed(files_in(folder)):
        *lines, rest = file.read_bytes().split(b"\n")
        if newest is None:
            newest, torn = file, rest
            if (entry := parse(rest)) is not None and is_right(entry):
                return Tail(EntryDigest(entry.number, entry.digest), file, is_open=True)
        for line in reversed(lines):
            if (entry := parse(line)) is not None:
                return Tail(EntryDigest(entry.number, entry.digest), newest, torn)
    return Tail(BEFORE_ALL, newest, torn)


def entries_after(folder: Path, number: int) -> Iterator[TrailEntry]:
    """Whole entries with a higher number, in order; a file that may have them is read from its beginning."""
    files = files_in(folder)
    for position, file in enumerate(files):
        if position + 1 < len(files) and first_number(files[position + 1]) <= number + 1:
            continue
        for _, line in lines_of(file):
            entry = parse(line)
            if entry is not None and entry.number > number:
                yield entry


class TrailWriter:
    """Appends entries; there is one in a node. After an error it is made again, and looks at the files again."""

    def __init__(self, folder: Path, now: datetime) -> None:
        """Open the trail, making its folder, and say what is torn; raises OSError."""
        if not folder.exists():
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
        self._folder = folder
        tail = tail_of(folder)
        self._file, self.last = tail.file, tail.last
        if tail.is_open:
            self._write(b"\n")
        elif tail.torn:
            self._write(b"\n")
            digest = hashlib.sha256(tail.torn).hexdigest()
            self.append(now, [{"kind": EntryKind.TORN, "bytes": len(tail.torn), "sha256": digest}])

    def append(self, now: datetime, those: Sequence[Mapping[str, Any]]) -> EntryDigest:
        """Append entries with these fields, all of them durable when this returns; the last one. Raises OSError."""
        lines = []
        for fields in those:
            number = self.last.number + 1
            head = {"n": number, "previous": self.last.digest, "at": to_text(now)}
            text = json.dumps({**head, **fields}, ensure_ascii=False, separators=(",", ":")).encode()
            digest = hashlib.sha256(text).hexdigest()
            lines.append(digest.encode() + b" " + text + b"\n")
            self.last = EntryDigest(number, digest)
        self._next_file(now, self.last.number - len(lines) + 1)
        self._write(b"".join(lines))
        return self.last

    def missing(self, now: datetime, known: EntryDigest) -> None:
        """The ledger knows entries up to `known`, and they are not there: say so, and go on after their numbers."""
        fields = {"kind": EntryKind.MISSING, "from": self.last.number + 1, "to": known.number, "sha256": known.digest}
        self.last = EntryDigest(known.number, self.last.digest)
        self.append(now, [fields])

    def remove(self, now: datetime, files: Sequence[Path]) -> None:
        """Remove the oldest files, of which there is a newer one; the chain says which. Raises OSError."""
        kept = next(each for each in files_in(self._folder) if each not in files)
        _, line = next(lines_of(kept))
        first = parse(line)
        fields = {
            "kind": EntryKind.REMOVED,
            "files": [each.name for each in files],
            "from": first_number(files[0]),
            "to": first_number(kept) - 1,
            "sha256": first.previous if first else "",
        }
        self.append(now, [fields])
        for each in files:
            each.unlink()
        sync_folder(self._folder)

    def _next_file(self, now: datetime, number: int) -> None:
        day = f"{now:%Y-%m-%d}"
        if self._file is not None and day in self._file.name and self._file.stat().st_size < _LARGEST:
            return
        self._file = self._folder / f"{number:012}-{day}.jsonl"

    def _write(self, content: bytes) -> None:
        assert self._file is not None, "there is a file by now"
        is_new = not self._file.exists()
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with memoryview(content) as rest:
                done = 0
                while done < len(content):
                    done += os.write(descriptor, rest[done:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(self._folder)
