"""What files of the configuration held, to notice that they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from node.dimse.revocation import files_in
from node.store.durable import sha256_of


def files_at(path: Path) -> Iterator[Path]:
    """The path itself, and the files in it where it is a folder: a look at all of them notices every change."""
    yield path
    if path.is_dir():
        yield from files_in(path)


def digest_at(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the files in a folder; OSError."""
    if not path.is_dir():
        return sha256_of(path)
    names = "\0".join(f"{each.name}\0{sha256_of(each)}" for each in files_in(path))
    return hashlib.sha256(names.encode()).hexdigest()
