"""The memory of a plugin's processes: what is resident in them, and files in memory that may be mapped by none.

Files in memory (memfd, `/dev/shm`, `/tmp` of a sandbox) are no process's resident size while they are only written and
not mapped. They count by what the file systems say: those of a sandbox as a whole, and what is open elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from node.run.open_files import may_write, open_files

_MOUNTS = "/proc/{}/mountinfo"
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes."""

    all: int
    in_files: int
    """Of these, in files."""


@dataclass(frozen=True, slots=True)
class _Files:
    """Files in memory that were counted."""

    size: int
    devices: frozenset[int]
    """Of file systems that were counted as a whole."""
    inodes: frozenset[tuple[int, int]]
    """Device and inode of the others."""

    def hold(self, device: int, inode: int) -> bool:
        """Whether this one is among them."""
        return device in self.devices or (device, inode) in self.inodes


def _device_of_memfd() -> int:
    descriptor = os.memfd_create("device")
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


_MEMFD = _device_of_memfd()
"""The file system of memfd files has no name; it is the same for all processes of a machine."""


def measure(processes: Collection[int], most: int, disk: int) -> MemoryUse:
    """What these processes hold together, exactly where it may be more than `most` bytes.

    Below that, a page that several of them share counts for each: resident sizes can be read much faster. `disk` is the
    device of the data folder: what is written there is no memory, whatever the disk is made of.
    """
    files = _files(processes, disk)
    quick = sum(map(_resident, processes)) + files.size
    if quick <= most:
        return MemoryUse(quick, files.size)
    return MemoryUse(sum(_share(pid, files) for pid in processes) + files.size, files.size)


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):  # it has ended
        return 0


def _share(pid: int, files: _Files) -> int:
    """Its proportional set size, without what it has mapped of these files; its resident size if that is hidden."""
    total, counts = 0, True
    try:
        with open(f"/proc/{pid}/smaps", "rb") as lines:
            for line in lines:
                if line.startswith(b"Pss:"):
                    total += int(line.split()[1]) * 1024 if counts else 0
                elif line[:1] in b"0123456789abcdef":
                    _, _, _, at, inode, *_ = line.split(maxsplit=5)
                    counts = not files.hold(_device(at.decode()), int(inode))
    except PermissionError:
        return _resident(pid)
    except OSError:  # it has ended
        return 0
    return total


def _files(processes: Collection[int], disk: int) -> _Files:
    """The files in memory of these processes; outside of a sandbox those without a name, or that they may write."""
    outside = {device for device, _ in _in_memory("self")}
    size, devices = _of_sandbox(processes, outside)
    counted = (outside | {_MEMFD}) - {disk}
    sizes: dict[tuple[int, int], int] = {}
    for pid in processes:
        for status, descriptor in open_files(pid):
            if status.st_dev in counted and (status.st_nlink == 0 or may_write(pid, descriptor)):
                sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return _Files(size + sum(sizes.values()), devices, frozenset(sizes))


def _of_sandbox(processes: Collection[int], outside: Collection[int]) -> tuple[int, frozenset[int]]:
    """Bytes in file systems in memory that only these processes have, and their devices."""
    for pid in sorted(processes, reverse=True):  # the first ones are bubblewrap's own
        sizes: dict[int, int] = {}
        try:
            for device, place in _in_memory(str(pid)):
                if device not in outside:
                    found = os.statvfs(f"/proc/{pid}/root{place}")
                    sizes[device] = (found.f_blocks - found.f_bfree) * found.f_frsize
        except OSError:  # it has ended, or is about to make the sandbox
            continue
        if sizes:
            return sum(sizes.values()), frozenset(sizes)
    return 0, frozenset()


def _in_memory(process: str) -> Iterator[tuple[int, str]]:
    """Device and place of each file system in memory that a process sees. OSError where it has ended."""
    with open(_MOUNTS.format(process), encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            if after.startswith("tmpfs "):
                _, _, at, _, place, *_ = before.split(" ")
                yield _device(at, base=10), place.encode().decode("unicode_escape") if "\\" in place else place


def _device(text: str, base: int = 16) -> int:
    major, minor = text.split(":")
    return os.makedev(int(major, base), int(minor, base))
