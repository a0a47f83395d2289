"""Files and names that outlast a power loss."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (fsync of the directory)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power loss. Raises OSError.

    Of several that write it at the same time, in threads or processes, one is last, whole.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_native_id()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:  # a full disk should not be fuller by what cannot be used
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sha256_of(path: Path, offset: int = 0) -> str:
    """SHA-256, in hexadecimal, of a file from `offset` on."""
    with path.open("rb") as file:
        file.seek(offset)
        return hashlib.file_digest(file, "sha256").hexdigest()
