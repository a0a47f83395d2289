"""Digests of the files that a plugin reads beyond its own folder: `readable` of its manifest.

A file counts by its SHA-256. Of a folder count all files below it, in the order of their names: by SHA-256 as far as
they have `MOST_READ` bytes together, and beyond that by inode, size and times. After `MOST_FILES` files the look ends:
what comes then does not count, since all of it would have to be looked at before each job.

What the node cannot read counts as that: a plugin is another user perhaps, and a folder of others has such files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from node.run.file_digests import status_of

MOST_READ = 8 * 2**30
"""Bytes of one folder whose content counts."""
MOST_FILES = 100_000
"""Of one folder."""
_NOT_THERE, _NOT_READABLE, _NOT_A_FILE = "not there", "not readable", "not a file"


def digests(paths: Iterable[Path], read: Callable[[Path], str]) -> Iterator[tuple[str, str]]:
    """Name and digest of each file that counts; `read` gives the SHA-256 of a file, or raises OSError."""
    for path in paths:
        if path.is_dir():
            yield from _below(path, read)
        else:
            yield f"readable {path}", _digest(path, read)


def _below(folder: Path, read: Callable[[Path], str]) -> Iterator[tuple[str, str]]:
    left = MOST_READ
    for number, path in enumerate(_all_in(folder)):
        if number == MOST_FILES:
            yield f"readable {folder}", f"more than {MOST_FILES} files"
            return
        size = _size(path)
        left -= size
        yield f"readable {path}", _digest(path, read if left >= 0 or not size else _status)


def _all_in(folder: Path) -> Iterator[Path]:
    """Files and links below a folder, in an order that only their names decide."""
    for here, folders, files in os.walk(folder):
        folders.sort()
        linked = [name for name in folders if os.path.islink(os.path.join(here, name))]
        yield from (Path(here, name) for name in sorted([*files, *linked]))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _digest(path: Path, read: Callable[[Path], str]) -> str:
    try:
        if path.is_dir():  # a link: what it leads to is not followed
            return f"link to {os.readlink(path)}"
        return read(path) if path.is_file() else _NOT_A_FILE
    except FileNotFoundError:
        return _NOT_THERE
    except PermissionError:
        return _NOT_READABLE


def _status(path: Path) -> str:
    return f"status {status_of(os.stat(path))}"
