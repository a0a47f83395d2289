"""A file in `incoming/` that is being written, or that is prepared for the object that comes next."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class PartFile:
    """A file open to be written, new or a prepared one; in the end it is renamed or discarded.

    Every method but `discard` raises OSError where the disk refuses.
    """

    is_named = False
    """Whether a durable name leads to it before it is renamed: then `sync` is all that it needs."""

    def __init__(self, path: Path, *, lies_ready: bool = False) -> None:
        self.path = path
        new = 0 if lies_ready else os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | new, 0o600)

    def write(self, content: bytes | memoryview) -> None:
        """All of it, at the end of the file."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def rename(self, path: Path) -> None:
        """From now on under this name."""
        self.path.rename(path)
        self.path = path

    def sync(self) -> None:
        """Make what was written durable; the name is the folder's matter."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Once; further calls do nothing."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def discard(self) -> None:
        """Leave nothing behind; where the disk refuses, the sweep at the next start finds it."""
        try:
            try:
                self.close()
            finally:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            log.error("store.part-left-behind", part=self.path.name, reason=str(error))
