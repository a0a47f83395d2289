"""Going through a folder that a plugin wrote into, whatever it left there.

A plugin may nest folders deeper than Python recurses, a path reaches and descriptors last: one folder is open at a
time, and the way back is `..`. No link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def go_through(folder: Path, visit: Callable[[int], list[str]], leave: Callable[[str, int], None]) -> None:
    """Call `visit` with the descriptor of each folder; it returns the names of the folders in it that come next.

    `leave` is called with the name of a folder that was gone through and the descriptor of the one that it is in, but
    not for `folder` itself. OSError where a folder cannot be opened, or was moved meanwhile.
    """
    here = os.open(folder, _FOLDER)
    try:
        way = [(folder.name, os.fstat(here), visit(here))]
        while way:
            name, _, folders = way[-1]
            if folders:
                here = _moved(here, folders[-1])
                way.append((folders.pop(), os.fstat(here), visit(here)))
            elif way.pop() and way:
                here = _moved(here, "..")
                if not os.path.samestat(os.fstat(here), way[-1][1]):
                    raise OSError(errno.ESTALE, "a folder was moved while it was gone through", str(folder))
                leave(name, here)
    finally:
        os.close(here)


def remove(folder: Path) -> None:
    """Remove a folder that a plugin wrote into, whatever it left there; OSError where it cannot be."""
    if folder.is_symlink() or not folder.exists():
        return
    folder.chmod(0o700)
    go_through(folder, _empty, lambda name, here: os.rmdir(name, dir_fd=here))
    folder.rmdir()


def _moved(here: int, name: str) -> int:
    """The descriptor of another folder, in place of this one."""
    there = os.open(name, _FOLDER, dir_fd=here)
    os.close(here)
    return there


def _empty(here: int) -> list[str]:
    """Remove all but folders from a folder; returns these, which can be opened then."""
    folders = []
    for name in os.listdir(here):
        if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            os.chmod(name, 0o700, dir_fd=here)
            folders.append(name)
        else:
            os.unlink(name, dir_fd=here)
    return folders
