"""Control groups, version 2 (cgroups(7)): one for each attempt, where this machine has delegated some to the node.

No process in a sandbox, or of another user, can leave its group: all of an attempt are found and ended by it. Where
the controllers are delegated as well, the kernel holds memory and number of processes down between two looks of the
guard.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MOUNTS, OWN = Path("/proc/self/mounts"), Path("/proc/self/cgroup")
_START = "pacsnode-"
_NODE = "node"
"""The group of the node's own processes, below the one that systemd delegated."""
_END_SECONDS = 20.0
_MORE_PROCESSES, _MORE_BYTES = 64, 64 * 2**20
"""Beyond the limits that the guard watches, so that it sees and names what went beyond them."""


@dataclass(frozen=True, slots=True)
class AttemptGroup:
    """The control group of one attempt."""

    folder: Path

    def make(self, memory_bytes: int, processes: int) -> None:
        """Make it, with limits where they are delegated; OSError where it cannot be made."""
        self.folder.mkdir(exist_ok=True)
        limits = {
            "memory.max": memory_bytes + _MORE_BYTES,
            "memory.oom.group": 1,
            "pids.max": processes + _MORE_PROCESSES,
        }
        for name, value in limits.items():
            if (self.folder / name).exists():
                (self.folder / name).write_text(str(value), encoding="ascii")

    def join(self) -> None:
        """Move the calling process, which is about to become the attempt's first one; OSError."""
        (self.folder / "cgroup.procs").write_text("0", encoding="ascii")

    def processes(self) -> list[int]:
        """Its living processes."""
        return [int(line) for line in _text(self.folder / "cgroup.procs").split()]

    def peak_bytes(self) -> int:
        """The most memory that it had; 0 where the kernel does not say."""
        text = _text(self.folder / "memory.peak")
        return int(text) if text.strip().isdecimal() else 0

    def was_out_of_memory(self) -> bool:
        """Whether the kernel ended it for its memory."""
        counts = dict(line.split() for line in _text(self.folder / "memory.events").splitlines())
        return counts.get("oom_kill", "0") != "0"

    def end(self) -> bool:
        """Kill all that is in it, and remove it; false where a process outlived it."""
        until = time.monotonic() + _END_SECONDS
        while self.folder.exists():
            with contextlib.suppress(OSError):
                (self.folder / "cgroup.kill").write_text("1", encoding="ascii")
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                break
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True


def make_room(own: Path = OWN, mounts: Path = MOUNTS) -> None:
    """Leave the group that systemd delegated to this process for one below it; nothing where it delegated none.

    Only a group without processes can hand its controllers down (cgroups(7), "no internal processes"); systemd does the
    same by itself from 254 on (DelegateSubgroup=). Raises OSError where the system refuses.
    """
    group = _own_group(mounts, own)
    if group is not None and _is_delegated(group):
        below = group / _NODE
        below.mkdir(exist_ok=True)
        (below / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def of(folder: Path) -> AttemptGroup | None:
    """The group for the attempt of a folder `work/JOB/ATTEMPT`; None where none can be made."""
    base = _base()
    job, attempt = folder.parent.name, folder.name
    return AttemptGroup(base / f"{_of_work(folder.parent.parent)}{job}-{attempt}") if base else None


def left(work: Path) -> list[AttemptGroup]:
    """The groups of all attempts of a folder `work/`."""
    base = _base()
    return [AttemptGroup(each) for each in sorted(base.glob(f"{_of_work(work)}*"))] if base else []


def _of_work(work: Path) -> str:
    """What the names of the groups of one node begin with: several may share a machine."""
    return f"{_START}{hashlib.sha256(os.fsencode(work)).hexdigest()[:12]}-"


@cache
def _base() -> Path | None:
    """Where groups for attempts can be made."""
    return base(MOUNTS, OWN)


def base(mounts: Path, own: Path) -> Path | None:
    """Where groups can be made: the folder that systemd delegated, else the node's own group. Tried by making one."""
    group = _own_group(mounts, own)
    if group is None:
        return None
    # With DelegateSubgroup= the node is in a group below the one that was delegated, which has to be without processes.
    for each in [group.parent, group] if _is_delegated(group.parent) else [group]:
        if _works(each):
            return each
    return None


def _own_group(mounts: Path, own: Path) -> Path | None:
    mounted = next((line.split()[1] for line in _text(mounts).splitlines() if " cgroup2 " in line), None)
    ours = next((line[3:] for line in _text(own).splitlines() if line.startswith("0::")), None)
    return None if mounted is None or ours is None else Path(mounted, ours.lstrip("/"))


def _is_delegated(folder: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(folder, name) == b"1"
    return False


def _works(folder: Path) -> bool:
    with contextlib.suppress(OSError):  # without them, groups still find and end processes
        (folder / "cgroup.subtree_control").write_text("+memory +pids", encoding="ascii")
    trial = folder / f"{_START}trial-{os.getpid()}"
    try:
        trial.mkdir()
        works = (trial / "cgroup.kill").exists() and os.access(folder / "cgroup.procs", os.W_OK)
        trial.rmdir()
    except OSError:
        return False
    return works


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # not there, or no such group any more
        return ""
