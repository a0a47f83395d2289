"""Numbers that only grow: what the names of received files and of messages begin with.

Order of arrival is decided by these names, so no clock that a person or a time server may set can give them: an image
that came last would sort first after the clock was set back. A number is the time since the machine booted, which only
grows and is the same for every process of the machine (CLOCK_BOOTTIME), plus a distance that is fixed for as long as
the machine is up. So N receivers need neither a lock nor a file for each object.

`numbers/distance.json` holds the distance and which boot it is for. It is chosen such that the first number
is above every name in the data folder, whatever the wall clock says: names of earlier boots, of earlier releases (the
wall clock in nanoseconds), and from a clock that was ahead. Where no name is above it, a number is about the wall clock
in nanoseconds, which helps a person who looks at a folder; the program reads no time from it.

A crash loses nothing: the file is whole or not there, and what is not there is chosen again by the names.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.store.durable import sync_folder, write_durably

FILE = "numbers/distance.json"
"""Its place in the data folder."""
DIGITS = 16
"""Hexadecimal digits of a number at the beginning of a name; the rest of its 32 is chance."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_END = 1 << 63
"""Names from here on are not ours: SQLite's and most others' integers end here, in the year 2262."""


class Numbers:
    """The numbers of one data folder; safe to share between threads, and one in each process."""

    def __init__(self, data: Path) -> None:
        """By the distance of this boot, which is chosen where nobody has yet. Raises OSError."""
        known = _known(data)
        self._distance = establish(data) if known is None else known
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """A number above all that were given before, by whichever process."""
        with self._lock:
            self._last = max(self._last + 1, _since_boot() + self._distance)
            return self._last


def establish(data: Path, above: int = 0) -> int:
    """Choose the distance such that numbers are above `above` and every name in the data folder, and keep it; it.

    Called when the node starts. One that was chosen in this boot only grows, so that processes which use it already
    are not overtaken by the past. Raises OSError.
    """
    with _locked(data):
        now, known = _since_boot(), _known(data)
        usual = time.time_ns() - now if known is None else known
        distance = max(usual, max(above, _highest_name(data)) + 1 - now)
        if distance != known:
            (data / FILE).parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(data)
            write_durably(data / FILE, json.dumps({"boot": _boot(), "distance": distance}).encode())
    return distance


def number_of(name: str) -> int:
    """The number that a name begins with; 0 where it is none of ours."""
    try:
        number = int(name[:DIGITS], 16) if len(name) == 2 * DIGITS else 0
    except ValueError:
        return 0
    return number if number < _END else 0


def _since_boot() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _boot() -> str:
    return _BOOT.read_text().strip()


def _known(data: Path) -> int | None:
    """The distance that was chosen in this boot; None where none was."""
    try:
        said = json.loads((data / FILE).read_text())
        return int(said["distance"]) if said["boot"] == _boot() else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none yet, or not one that this program wrote
        return None


def _highest_name(data: Path) -> int:
    """The highest number in the names of received files and of messages; 0 where there is none."""
    folders = [data / "incoming", data / "journal", *_last_of_store(data / "store")]
    return max((number_of(_stem(name)) for folder in folders for name in _names(folder)), default=0)


def _stem(name: str) -> str:
    """Without its extension, and without the process that a slot's name begins with."""
    return name.partition(".")[0].rpartition("-")[2]


def _last_of_store(store: Path) -> Iterator[Path]:
    """The newest folder that holds anything, and those of the first release, in which names are in no order."""
    names = sorted(_names(store), reverse=True)
    yield from (store / name for name in names if len(name) == 2)
    yield from ([store / name for name in names if len(name) > 2 and _names(store / name)][:1])


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """One process at a time chooses; the lock goes with the process that has it."""
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
