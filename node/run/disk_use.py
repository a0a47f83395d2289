"""What a plugin has written to the disk of the data folder, on which studies are received.

Two limits, the nearer one counts: a size, and the free space. For the second no process has to know of another: an
attempt may hold at most four times what is left above the space that is kept for reception. So of several attempts the
one that wrote most is ended first, while the others still have room, and its space comes back at once.

A file that was deleted and is still open or mapped takes as much room as one with a name, and counts.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from node.run.open_files import open_files

SHARE = 4
"""How many times what is left one attempt may hold: four fifths of what there was."""
SMALL_BYTES, SMALL_FILES = 16 * 2**20, 1_000
"""An attempt that wrote no more is never ended for the free space: somebody else took it."""
LOOK_SECONDS = 1.0
_PATIENCE = 20
"""How many times as long as a look took until the next, where nothing presses: many files take long to be counted."""


@dataclass(frozen=True, slots=True)
class Room:
    """How far an attempt may go."""

    size: int
    """Bytes."""
    files: int
    keep_free: int
    """Bytes on the disk that stay free for reception."""


class DiskUse:
    """What one attempt holds on the disk, looked at as often as need be."""

    def __init__(self, folders: Sequence[str], room: Room) -> None:
        """`folders` are those it writes into."""
        self._folders, self._room = folders, room
        self._disk = folders[0]
        self._free = self._slack = 0
        self._next_look = self._not_before = time.monotonic()
        self._judge(0, 0, os.statvfs(self._disk))

    def is_due(self) -> bool:
        """Whether to look again: at times, and as soon as so much of the disk was taken that it may be too much."""
        now = time.monotonic()
        if now >= self._next_look:
            return True
        try:
            free = _free(os.statvfs(self._disk))
        except OSError:  # a plugin in no sandbox may remove it, which `too_much` says
            return True
        return now >= self._not_before and self._free - free > self._slack

    def too_much(self, processes: Collection[int]) -> str | None:
        """What is wrong with what these processes have written, in words."""
        began = time.monotonic()
        size = files = 0
        for folder in self._folders:
            if not os.path.isdir(folder):
                return f"it removed or replaced its folder {os.path.basename(folder)}/"
            try:
                for written in _walk(folder):
                    files += 1
                    size += written
                    if files > self._room.files:
                        return f"wrote more than {self._room.files} files"
            except OSError as error:
                return f"a folder of {os.path.basename(folder)}/ cannot be measured: {error.strerror}"
        size += _without_name(processes, os.stat(self._disk).st_dev)
        now = time.monotonic()
        self._not_before = now + (now - began)
        self._next_look = now + max(LOOK_SECONDS, _PATIENCE * (now - began))
        return self._judge(size, files, os.statvfs(self._disk))

    def _judge(self, size: int, files: int, disk: os.statvfs_result) -> str | None:
        room, self._free = self._room, _free(disk)
        if size > room.size:
            return f"wrote more than {_mebibytes(room.size)}: {_mebibytes(size)}"
        left = max(0, self._free - room.keep_free)
        if size > max(SMALL_BYTES, SHARE * left):
            return (
                f"wrote more than the data disk has room for: {_mebibytes(size)}, while {_mebibytes(self._free)} "
                f"are free and {_mebibytes(room.keep_free)} are kept for receiving"
            )
        if disk.f_files and files > max(SMALL_FILES, SHARE * disk.f_favail):
            return f"wrote more files than the data disk has room for: {files}, while {disk.f_favail} are left"
        self._slack = min(room.size - size, max(SMALL_BYTES - size, (SHARE * left - size) // (SHARE + 1)))
        return None


def _free(disk: os.statvfs_result) -> int:
    return disk.f_bavail * disk.f_frsize


def _mebibytes(octets: int) -> str:
    return f"{octets // 2**20} MiB"


def _walk(folder: str) -> Iterator[int]:
    """Bytes of each entry below a folder; what vanishes meanwhile is left out, no link is followed.

    A file with several names counts once. OSError where a folder hides what is in it: by its permissions, or by a path
    that is too long.
    """
    waiting, linked = [folder], set()
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    again = status.st_nlink > 1 and stat.S_ISREG(status.st_mode) and status.st_ino in linked
                    linked |= {status.st_ino} if status.st_nlink > 1 else set()
                    yield 0 if again else status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):  # removed, or another thing by now
            continue


def _without_name(processes: Collection[int], device: int) -> int:
    """Bytes of deleted files of this device that the processes have open or mapped."""
    sizes: dict[int, int] = {}
    for pid in processes:
        for status, _ in open_files(pid):
            if status.st_dev == device and status.st_nlink == 0:
                sizes[status.st_ino] = status.st_blocks * 512
    for pid in processes:
        for inode, size in _mapped(pid, device):
            sizes.setdefault(inode, size)
    return sum(sizes.values())


def _mapped(pid: int, device: int) -> Iterator[tuple[int, int]]:
    """Inode and bytes of each deleted file of this device that a process has mapped, as `numpy.memmap` leaves one."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as maps:
            lines = [line for line in maps if line.endswith(b"(deleted)\n")]
    except OSError:
        return
    for line in lines:
        span, _, _, at, inode, _ = line.decode(errors="replace").split(maxsplit=5)
        major, minor = at.split(":")
        if os.makedev(int(major, 16), int(minor, 16)) == device:
            first, last = (int(address, 16) for address in span.split("-"))
            try:
                size = os.stat(f"/proc/{pid}/map_files/{span}").st_blocks * 512
            except OSError:  # for root alone; the whole of it then
                size = last - first
            yield int(inode), size
