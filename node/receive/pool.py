"""Files that are ready to be overwritten: names and blocks on the disk, so that one fdatasync makes an object durable.

A new file costs two commits of the file system's journal, its own and its folder's. A slot costs none: it was made,
filled with zeros and synchronised with its folder while nothing arrived. What tells a whole object from a torn one
is its seal (`node.seal`), written in the same synchronisation; the object gets its final name after the answer, and
where the power goes before that, the seal gives it its name at the next start (`Spool.sweep_parts`).

There are as many slots as the last burst needed, at most `MOST` of each size. A longer burst, or objects larger than
the largest slot, take the plain way (`node.receive.part`), which is as durable.
"""

from __future__ import annotations

import atexit
import os
import shutil
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

import structlog

from node import seal
from node.receive.part import Part
from node.spool import Spool, sync_folder

_log = structlog.get_logger(__name__)
SIZES = (32 << 10, 192 << 10, 640 << 10)
"""Bytes of a slot: small images, MR, CT. An object that does not fit its slot makes it longer, and pays for that."""
MOST = 512
"""Slots of one size: more than a CT study of usual length."""
QUIET = 0.5
"""Seconds without an object until slots are made: never at the expense of what arrives."""
_NONE = 0
_AT_ONCE = 8
_AMPLE = 4 << 30
"""Bytes that must be free beyond the high-water mark; slots are a convenience."""


class Slot(Part):
    """A file that lies ready; `sync` seals it and makes it durable, whatever its name is by then.

    What the object does not need of it stays until the indexer cuts it off (`node.spool.cut_to_length`).
    """

    is_named = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._length = 0
        self._checksum = 0

    def write(self, content: bytes | memoryview) -> None:
        """All of it, behind what was written before."""
        super().write(content)
        covered = memoryview(content)[max(0, seal.PREAMBLE - self._length) :]
        self._checksum = zlib.crc32(covered, self._checksum)
        self._length += len(content)

    def sync(self) -> None:
        """Seal it as what its name says by now, and make content and seal durable."""
        os.pwrite(self._descriptor, seal.encode(self.path.stem, self._length, self._checksum), 0)
        os.fdatasync(self._descriptor)


class Pool:
    """The slots of one receiver process; its associations share it."""

    def __init__(self, spool: Spool, reserve: int) -> None:
        """`reserve`: bytes that the node keeps free (`node.limits.free_space`)."""
        self._spool = spool
        self._reserve = reserve
        self._lock = threading.Lock()
        self._slots: dict[int, list[Path]] = {size: [] for size in SIZES}
        self._burst: Counter[int] = Counter()
        self._wanted: Counter[int] = Counter()
        self._last_object = float("-inf")
        self._recent = _NONE
        self._low = threading.Event()
        self._filler: threading.Thread | None = None
        spool.sweep_slots()
        atexit.register(self._discard)

    def has_one(self, length: int | None) -> bool:
        """Whether `take` has one to give."""
        return bool(self._slots.get(self._size(length)))

    def _size(self, length: int | None) -> int:
        return self._recent if length is None else _fitting(length)

    def take(self, length: int | None) -> Slot | None:
        """One for an object of about `length` bytes (None: as the last was); None where there is none."""
        with self._lock:
            slots = self._slots.get(self._size(length))
            path = slots.pop() if slots else None
        try:
            return Slot(path) if path is not None else None
        except OSError:
            return None  # somebody removed it; the plain way says what is wrong, if something is

    def brought(self, length: int) -> None:
        """An object of `length` bytes was received: others like it may come."""
        size, now = _fitting(length), time.monotonic()
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
                _log.warning("slots_not_made", reason=error.strerror or str(error))

    def _missing(self) -> tuple[int, int] | None:
        """Of which size slots are missing, and how many of them to make at once."""
        if shutil.disk_usage(self._spool.incoming).free < self._reserve + _AMPLE:
            return None
        with self._lock:
            for size, slots in self._slots.items():
                if len(slots) < self._wanted[size]:
                    return size, min(_AT_ONCE, self._wanted[size] - len(slots))
        return None

    def _wait_for_quiet(self) -> bool:
        """Whether it had to be waited for: look anew at what is missing then."""
        left = self._last_object + QUIET - time.monotonic()
        if left <= 0:
            return False
        time.sleep(left)
        return True

    def _make(self, size: int, count: int) -> None:
        made = [self._spool.slot() for _ in range(count)]
        for path in made:
            slot = Part(path)
            try:
                slot.write(bytes(size))  # zeros: blocks that were merely reserved would need the journal again
                slot.sync()
            finally:
                slot.close()
        sync_folder(self._spool.incoming)
        with self._lock:
            self._slots[size] += made

    def _discard(self) -> None:
        """At the end of the process; what is left behind all the same, the next one sweeps."""
        with self._lock:
            left = [path for slots in self._slots.values() for path in slots]
            self._slots = {size: [] for size in SIZES}
        for path in left:
            path.unlink(missing_ok=True)


def _fitting(length: int) -> int:
    """The smallest size into which `length` bytes go; `_NONE` where there is none so large."""
    return next((size for size in SIZES if length <= size), _NONE)
