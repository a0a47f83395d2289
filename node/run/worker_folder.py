"""The folder through which a worker gets its jobs, one at a time: `work/.warm/<worker>/job/`.

The worker sees this folder and no other of the node (`node.run.sandbox`), always under the same path. A job's files are
moved in before it is given the job and moved out when it has done it, so no worker ever sees the images of a second
job. `out/` and `scratch/` stay, as a sandbox has them mounted; what lies in them moves. The worker is stopped or dead
while anything is moved.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from node.run import nested, process
from plugins import exchange

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GIVEN = (exchange.IN, exchange.REQUEST)
_WRITABLE = (exchange.OUT, exchange.SCRATCH)


class WorkerFolder:
    """One worker's."""

    def __init__(self, root: Path) -> None:
        """Make it; OSError where that cannot be."""
        self.root = root
        self.job = root / "job"
        root.parent.mkdir(mode=0o700, exist_ok=True)
        root.mkdir(mode=0o700)
        self.job.mkdir(mode=0o700)
        # Held open: what an unconfined worker puts in the place of a folder is never followed.
        self._writable: dict[str, int] = {}
        for name in _WRITABLE:
            (self.job / name).mkdir(mode=0o700)
            self._writable[name] = os.open(self.job / name, _FOLDER)

    def take_in(self, attempt: Path) -> None:
        """Move in what an attempt gives its plugin; OSError."""
        for name in _GIVEN:
            (attempt / name).rename(self.job / name)

    def give_back(self, attempt: Path) -> None:
        """Move everything of the job to where it came from, with what the plugin wrote and printed; OSError."""
        for name in _GIVEN:
            _move(self.job / name, attempt / name)
        for name, descriptor in self._writable.items():
            target = os.open(attempt / name, _FOLDER)
            try:
                _move_all(descriptor, target)
            finally:
                os.close(target)
        _move(self.root / process.LOG, attempt / process.LOG)

    @property
    def is_clean(self) -> bool:
        """Whether it is as it was made."""
        if set(os.listdir(self.job)) != set(_WRITABLE):
            return False
        return all(
            os.path.samestat(os.fstat(descriptor), os.stat(self.job / name, follow_symlinks=False))
            for name, descriptor in self._writable.items()
        )

    def remove(self) -> None:
        """Remove it with whatever is left in it; OSError."""
        for descriptor in self._writable.values():
            os.close(descriptor)
        self._writable.clear()
        nested.remove(self.root)


def _move(source: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # an unconfined plugin removed it, or it was never written
        source.rename(target)


def _move_all(source: int, target: int) -> None:
    """Move each entry of one folder to another; both are descriptors."""
    os.fchmod(source, 0o700)
    for name in os.listdir(source):
        if stat.S_ISDIR(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
            os.chmod(name, 0o700, dir_fd=source)  # else it cannot be moved
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
