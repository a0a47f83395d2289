"""What a job may not leave to the next one in the same worker, as far as it shows from outside: processes, files.

What a plugin keeps in its own memory nobody can know.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Collection, Iterator

IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 - of the worker's sandbox
_ENDING_SECONDS = 0.25
"""How long the processes that a job started may go on ending after it."""
_FREEZE_SECONDS = 1.0
_STEP = 0.002

_SeenFile = tuple[str, int, int, int]
"""Path in the sandbox, inode, size and time of the last change; a folder has neither of the last two."""


class Residents:
    """The processes of a worker, and its files in memory, as they were when its code was loaded."""

    def __init__(self, processes: Collection[int], folder: str, writable: Collection[str], sandboxed: bool) -> None:
        """`folder` is the job's, as the worker sees it; `writable` are those in it that are emptied after each job."""
        self.processes = frozenset(processes)
        self.are_at_rest = False
        self._folder = folder
        self._sandboxed = sandboxed
        self._files = self._files_in_memory()
        self._wrote = any(os.listdir(each) for each in writable)

    def rest(self, living: Callable[[], Collection[int]]) -> str:
        """Stop them until the next job; why the worker cannot have one, or "". `living` are all its processes now."""
        end = time.monotonic() + _ENDING_SECONDS
        while (left := (found := set(living())) - self.processes) and time.monotonic() < end:
            time.sleep(_STEP)
        self.processes &= found  # the number of one that has ended may be a stranger's by now
        if self._wrote:
            return "its code wrote files while it was loaded, into a folder that is emptied after each job"
        if left:
            return f"it left {len(left)} process{'es' if len(left) > 1 else ''} running"
        if not _freeze(self.processes):
            return "it cannot be stopped"
        self.are_at_rest = True
        if problem := self._open_files():
            return problem
        before, after = self._files, self._files_in_memory()
        if before is None or after is None:
            return "its files in memory cannot be looked at"
        return f"it left files in {' or '.join(IN_MEMORY)}" if after - before else ""

    def _open_files(self) -> str:
        try:
            is_open = any(_holds_files_below(pid, self._folder) for pid in self.processes)
        except PermissionError:
            return "its open files cannot be looked at"
        return "it left a file of the job open" if is_open else ""

    def thaw(self) -> None:
        """Let them go on."""
        self.are_at_rest = False
        for pid in self.processes:
            _signal(pid, signal.SIGCONT)

    def _files_in_memory(self) -> frozenset[_SeenFile] | None:
        """What lies in the folders in memory of its sandbox; without one it shares them with the whole machine."""
        try:
            inside = next((pid for pid in self.processes if self._sandboxed and _is_in_sandbox(pid)), None)
            folders = () if inside is None else IN_MEMORY
            return frozenset(each for folder in folders for each in _below(f"/proc/{inside}/root", folder))
        except OSError:
            return None


def _below(root: str, folder: str) -> Iterator[_SeenFile]:
    """All that lies below a folder of another root, in its own file system; OSError where that cannot be seen."""
    waiting, device = [folder], os.stat(f"{root}{folder}").st_dev
    while waiting:
        here = waiting.pop()
        with os.scandir(f"{root}{here}") as entries:
            for entry in entries:
                path, status = f"{here}/{entry.name}", entry.stat(follow_symlinks=False)
                if status.st_dev != device:  # what is bound there
                    continue
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(path)
                    yield path, status.st_ino, 0, 0
                else:
                    yield path, status.st_ino, status.st_size, status.st_mtime_ns


def _is_in_sandbox(pid: int) -> bool:
    """Whether a process sees other file systems than this one."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    except FileNotFoundError:  # it has ended
        return False


def _holds_files_below(pid: int, folder: str) -> bool:
    """Whether a process has a file of this folder open or mapped, be it deleted. `folder` is as the process sees it."""
    start = f"{folder}/"
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith(start):
                    return True
            except FileNotFoundError:  # closed meanwhile
                continue
        with open(f"/proc/{pid}/maps", "rb") as maps:
            return f" {start}".encode() in maps.read()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return False


def _freeze(processes: Collection[int]) -> bool:
    """Stop all threads of these processes; false where one goes on (it hangs in the kernel)."""
    end = time.monotonic() + _FREEZE_SECONDS
    for pid in processes:
        _signal(pid, signal.SIGSTOP)
    while not all(map(_is_frozen, processes)):
        if time.monotonic() > end:
            return False
        time.sleep(_STEP)
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it has ended, which is noticed otherwise
        return


def _is_frozen(pid: int) -> bool:
    """Whether each of its threads is stopped, or it is gone."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
                if file.read().rpartition(b")")[2].split()[0] not in b"TtZX":
                    return False
    except (FileNotFoundError, ProcessLookupError):  # it has ended, or one of its threads
        return not os.path.exists(f"/proc/{pid}")
    return True
