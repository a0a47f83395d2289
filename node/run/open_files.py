"""The files that a process has open, by what /proc says of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator


def open_files(pid: int) -> Iterator[tuple[os.stat_result, str]]:
    """Status and descriptor of each regular file; of none where the process is gone or belongs to another user."""
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return
    for descriptor in descriptors:
        try:
            status = os.stat(f"{folder}/{descriptor}")
        except OSError:  # closed meanwhile
            continue
        if stat.S_ISREG(status.st_mode):
            yield status, descriptor


def may_write(pid: int, descriptor: str) -> bool:
    """Whether the file was opened for writing; false where it is closed by now."""
    try:
        with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as lines:
            flags = next((line.split()[1] for line in lines if line.startswith("flags:")), "0")
    except OSError:
        return False
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY
