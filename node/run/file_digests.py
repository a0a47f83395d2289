"""SHA-256 of files that are looked at again and again: a file is read only where its status has changed.

A status is inode, size, time of modification and time of change. The last cannot be set by a program, so a file that
was rewritten in place and given its old times back is read again. A file that changed within the last two seconds is
read each time: a further change might leave the same times.

Digests of files that take long to read outlive the process, in a file of the data folder. Whoever loses that file loses
time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from node.store.durable import write_durably

FILE = "digests.json"
"""In the data folder."""
DEAR = 4 * 2**20
"""Bytes from which on a digest is kept over a restart."""
MOST_SEEN = 100_000
"""Files that are looked at before a job, at most."""
QUICK_BYTES = 8 * 2**20
"""What is read within some milliseconds, on a slow disk too."""
_TICK = 2_000_000_000
"""Nanoseconds by which the times of a file may be coarse: those of some network file systems are."""
log = structlog.get_logger(__name__)

Status = tuple[int, int, int, int]


class FileDigests:
    """Digests of files, for all threads of a process."""

    def __init__(self, data: Path | None = None) -> None:
        """With a data folder it begins with what was kept there, and `keep` keeps what is new."""
        self._file = None if data is None else data / FILE
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Status, str]] = self._kept()
        self._new = False

    def known(self, path: Path) -> str | None:
        """SHA-256 of a file that need not be read for it, in hexadecimal; None where it has to be. Raises OSError."""
        status, digest = self._known.get(str(path), (None, ""))
        return digest if status == status_of(os.stat(path)) else None

    def of(self, path: Path) -> str:
        """SHA-256 of what a regular file holds, in hexadecimal; raises OSError."""
        name = str(path)
        status = status_of(os.stat(path))
        known = self._known.get(name)
        if known and known[0] == status:
            return known[1]
        before = time.time_ns()
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            begun = status_of(os.fstat(file.fileno()))
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            ended = status_of(os.fstat(file.fileno()))
        with self._lock:
            self._known.pop(name, None)
            if status == begun == ended and max(status[2:]) < before - _TICK:
                self._known[name] = (status, digest)
                self._new = self._new or status[1] >= DEAR
        return digest

    def keep(self) -> None:
        """Keep what took long to find out, where there is something new; what cannot be kept is found out again."""
        with self._lock:
            if self._file is None or not self._new:
                return
            self._new = False
            dear = {name: [*each[0], each[1]] for name, each in self._known.items() if each[0][1] >= DEAR}
            kept = {name: each for name, each in dear.items() if os.path.exists(name)}
            part = self._file.with_name(f"{FILE}.{os.getpid()}")
            try:
                write_durably(part, json.dumps(kept).encode())
                part.rename(self._file)
            except OSError as error:
                log.warning("run.digests-not-kept", error=str(error))
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)

    def _kept(self) -> dict[str, tuple[Status, str]]:
        if self._file is None:
            return {}
        try:
            kept = json.loads(self._file.read_bytes())
            return {
                str(name): ((int(inode), int(size), int(modified), int(changed)), str(digest))
                for name, (inode, size, modified, changed, digest) in kept.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("run.digests-unreadable", error=type(error).__name__)
            return {}


class LongReadError(Exception):
    """A digest takes too long for whoever wants it at once."""


@dataclass
class QuickDigests:
    """Digests for somebody who cannot wait: of files that are known, and of a few that are read at once."""

    files: FileDigests
    left: int = QUICK_BYTES
    """Bytes that may still be read."""

    def of(self, path: Path) -> str:
        """See `FileDigests.of`; raises LongReadError where more is to be read."""
        if (known := self.files.known(path)) is not None:
            return known
        self.left -= os.stat(path).st_size
        if self.left < 0:
            raise LongReadError(str(path))
        return self.files.of(path)


def status_below(paths: Iterable[Path]) -> str:
    """The status of these files, and of all in these folders; another text each time where they are very many.

    What is there is not read: a data set may be larger than what can be read before each job.
    """
    seen = []
    for path in paths:
        for here, folders, files in os.walk(path) if path.is_dir() else [(str(path.parent), [], [path.name])]:
            for name in sorted([*folders, *files]):
                with contextlib.suppress(OSError):  # gone, or a link to nothing
                    seen.append(f"{here}/{name}\0{status_of(os.stat(os.path.join(here, name)))}")
            if len(seen) > MOST_SEEN:
                return uuid.uuid4().hex
    return "\n".join(seen)


def status_of(found: os.stat_result) -> Status:
    """What tells a file that was changed from one that was not."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
