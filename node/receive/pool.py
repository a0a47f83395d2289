"""Prepared files: made while nothing arrives, so that a modality does not wait for it.

With `durability: fsync` they are slots, to be overwritten: names and blocks on the disk, so that one fdatasync makes an
object durable. A new file costs two commits of the file system's journal, its own and its folder's. A slot costs none:
it was made, filled with zeros and synchronised with its folder before. What tells a whole object from a torn one is its
seal (`store.seal`), written in the same synchronisation; the object gets its final name after the answer, and where the
power goes before that, the seal gives it its name at the next start (`DataFolder.sweep_parts`).

With `durability: os` they are empty: looking for a free inode is what takes longest of making a file.

There are as many as the last burst needed, at most `MOST` of each size. A longer burst, or objects larger than the
largest slot, take the plain way (`node.store.part`), which is as durable.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import structlog
from isal.isal_zlib import crc32  # zlib's own, a tenth of the time: the thread that receives has none to spare

from node.store import seal
from node.store.durable import sync_folder
from node.store.layout import DataFolder
from node.store.part import PartFile

log = structlog.get_logger(__name__)
SIZES = (32 << 10, 192 << 10, 640 << 10)
"""Bytes of a slot: small images, MR, CT. An object that does not fit its slot makes it longer, and pays for that."""
_ANY = sys.maxsize
"""Of an empty file: it holds whatever comes."""
MOST = 512
"""Files of one size: more than a CT study of usual length."""
QUIET = 0.5
"""Seconds without an object until files are made: never at the expense of what arrives."""
_NONE = 0
_AT_ONCE = 8
_AMPLE = 4 << 30
"""Bytes that must be free beyond the high-water mark; prepared files are a convenience."""


class Slot(PartFile):
    """A prepared file; `sync` seals it and makes it durable, whatever its name is by then.

    What the object does not need of it stays until the indexer cuts it off (`node.store.layout.cut_to_length`).
    """

    is_named = True

    def __init__(self, path: Path) -> None:
        super().__init__(path, lies_ready=True)
        self._length = 0
        self._checksum = 0

    def write(self, content: bytes | memoryview) -> None:
        """All of it, behind what was written before."""
        super().write(content)
        covered = memoryview(content)[max(0, seal.PREAMBLE - self._length) :]
        self._checksum = crc32(covered, self._checksum)
        self._length += len(content)

    def sync(self) -> None:
        """Seal it as what its name says by now, and make content and seal durable."""
        os.pwrite(self._descriptor, seal.encode(self.path.stem, self._length, self._checksum), 0)
        os.fdatasync(self._descriptor)


class FilePool:
    """The prepared files of one receiver process; its associations share it."""

    def __init__(self, data_folder: DataFolder, reserve: int, *, durable: bool) -> None:
        """`reserve`: bytes that the node keeps free (`node.limits.free_space`); `durable`: slots, else empty files."""
        self._data_folder = data_folder
        self._reserve = reserve
        self._durable = durable
        self._lock = threading.Lock()
        self._ready: dict[int, list[Path]] = {size: [] for size in (SIZES if durable else (_ANY,))}
        self._burst: Counter[int] = Counter()
        self._wanted: Counter[int] = Counter()
        self._last_object = float("-inf")
        self._recent = _NONE
        self._low = threading.Event()
        self._filler: threading.Thread | None = None
        data_folder.sweep_slots()
        atexit.register(self._discard)

    def has_one(self, length: int | None) -> bool:
        """Whether `take` has one to give."""
        return bool(self._ready.get(self._size(length)))

    def _size(self, length: int | None) -> int:
        """The smallest that holds `length` bytes (None: as many as the last had); `_NONE` where nothing does."""
        if length is None:
            return self._recent
        return next((size for size in self._ready if length <= size), _NONE)

    def take(self, length: int | None) -> PartFile | None:
        """One for an object of about `length` bytes (None: as the last was); None where there is none."""
        with self._lock:
            ready = self._ready.get(self._size(length))
            path = ready.pop() if ready else None
        if path is None:
            return None
        try:
            return Slot(path) if self._durable else PartFile(path, lies_ready=True)
        except OSError:
            return None  # somebody removed it; the plain way says what is wrong, if something is

    def brought(self, length: int) -> None:
        """An object of `length` bytes was received: others like it may come."""
        size, now = self._size(length), time.monotonic()
        with self._lock:
            if now - self._last_object >= QUIET:
                self._burst.clear()
            self._last_object, self._recent = now, size
            if size == _NONE:
                return
            self._burst[size] += 1
            self._wanted[size] = max(self._wanted[size], min(self._burst[size], MOST))
            if self._filler is None:
                self._filler = threading.Thread(target=self._fill, name="slots", daemon=True)
                self._filler.start()
        self._low.set()

    def _fill(self) -> None:
        """The thread that makes what is missing, as soon as nothing arrives."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)  # Linux: of this thread alone
        while True:
            self._low.wait()
            self._low.clear()
            try:
                while (missing := self._missing()) is not None:
                    if not self._wait_for_quiet():
                        self._make(*missing)
            except OSError as error:
                log.warning("receive.slots-not-made", reason=error.strerror or str(error))

    def _missing(self) -> tuple[int, int] | None:
        """Of which size files are missing, and how many of them to make at once."""
        if shutil.disk_usage(self._data_folder.incoming).free < self._reserve + _AMPLE:
            return None
        with self._lock:
            for size, ready in self._ready.items():
                if len(ready) < self._wanted[size]:
                    return size, min(_AT_ONCE, self._wanted[size] - len(ready))
        return None

    def _wait_for_quiet(self) -> bool:
        """Whether it had to be waited for: check again what is missing then."""
        left = self._last_object + QUIET - time.monotonic()
        if left <= 0:
            return False
        time.sleep(left)
        return True

    def _make(self, size: int, count: int) -> None:
        made = [self._data_folder.slot() for _ in range(count)]
        for path in made:
            part = PartFile(path)
            try:
                if self._durable:
                    part.write(bytes(size))  # zeros: blocks that were merely reserved would need the journal again
                    part.sync()
            finally:
                part.close()
        if self._durable:
            sync_folder(self._data_folder.incoming)
        with self._lock:
            self._ready[size] += made

    def _discard(self) -> None:
        """At the end of the process; what is left behind anyway, the next one sweeps."""
        with self._lock:
            left = [path for ready in self._ready.values() for path in ready]
            self._ready = {size: [] for size in self._ready}
        for path in left:
            path.unlink(missing_ok=True)
