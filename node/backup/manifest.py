"""What is in one backup: a header, and a line for each file.

    manifest.json    what the backup is of (`BackupHeader`), with the SHA-256 of the two files beside it
    files.txt        SHA-256, bytes, time of change and path of each file, sorted by path
    ledger.db        the ledger at one moment

The header is written last. A folder of a backup whose header is missing is half a backup, and is never restored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from node.clock import from_text, to_text
from node.errors import PermanentError
from node.store.durable import sha256_of, write_durably

HEADER, FILES, LEDGER = "manifest.json", "files.txt", "ledger.db"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One line of `files.txt`."""

    path: str
    """Relative to the data folder that it is restored to."""
    sha256: str
    size: int
    changed_ns: int
    """When the file was last changed, as the file system had it: the same path, size and time are the same content."""

    @property
    def order(self) -> tuple[str, ...]:
        """What lines are sorted by."""
        return order_of(self.path)


@dataclass(frozen=True, slots=True)
class BackupHeader:
    """The header of a backup."""

    name: str
    made_at: datetime
    """The moment that it shows: what was answered with success before is in it."""
    release: str
    device: str
    """Serial number of the node."""
    data: str
    """The data folder that it was made of."""
    ledger: str
    generation: int
    schema: tuple[str, ...]
    last_event: int
    files: int
    bytes: int
    copied: int
    """How many of the files were not in the backup folder before."""
    missing: tuple[str, ...]
    """Files that the ledger names and that were not in the data folder: the first of them."""
    missing_count: int
    files_sha256: str
    ledger_sha256: str


def order_of(path: str) -> tuple[str, ...]:
    """Paths are sorted folder by folder."""
    return tuple(path.split("/"))


def write_line(out: TextIO, entry: BackupFile) -> None:
    """Append a file."""
    if "\n" in entry.path:
        raise PermanentError(f"{entry.path!r} cannot be backed up: its name has a line end")
    out.write(f"{entry.sha256} {entry.size} {entry.changed_ns} {entry.path}\n")


def lines(folder: Path) -> Iterator[BackupFile]:
    """The files of the backup in `folder`, sorted; PermanentError where a line cannot be read."""
    with (folder / FILES).open(encoding="utf-8", newline="\n", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            try:
                sha256, size, changed_ns, path = line.removesuffix("\n").split(" ", 3)
                yield BackupFile(path, sha256, int(size), int(changed_ns))
            except ValueError as error:
                raise PermanentError(f"{folder / FILES}, line {number}: damaged") from error


def write(folder: Path, manifest: BackupHeader) -> None:
    """The last file of a backup; durable when this returns."""
    content = {"format": FORMAT, **asdict(manifest), "made_at": to_text(manifest.made_at)}
    write_durably(folder / HEADER, json.dumps(content, indent=2, ensure_ascii=False).encode())


def read(folder: Path) -> BackupHeader:
    """The header of the backup in `folder`; PermanentError where there is none that this program can read."""
    try:
        said: dict[str, Any] = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        if said.pop("format") != FORMAT:
            raise PermanentError(f"{folder}: a backup of a newer pacsnode; use that one to restore it")
        said |= {"made_at": from_text(said["made_at"]), "schema": tuple(said["schema"])}
        return BackupHeader(**{**said, "missing": tuple(said["missing"])})
    except FileNotFoundError as error:
        raise PermanentError(f"{folder}: half a backup, which was never finished: it has no {HEADER}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentError(f"{folder / HEADER}: damaged") from error


def check(folder: Path, manifest: BackupHeader, *, ledger: bool = True) -> list[str]:
    """What is wrong with the list of files and, with `ledger`, the ledger beside the header; nothing if as written."""
    found = []
    expected_of = {FILES: manifest.files_sha256} | ({LEDGER: manifest.ledger_sha256} if ledger else {})
    for name, expected in expected_of.items():
        path = folder / name
        try:
            if sha256_of(path) != expected:
                found.append(f"{path}: damaged (its SHA-256 is another)")
        except OSError as error:
            found.append(f"{path}: {error.strerror}")
    return found
