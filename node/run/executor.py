"""The one thing every way of running a plugin does: `execute(folder, limits, cancel) -> Exit`.

A kind (`node/run/kinds`) knows how to run its plugin on a folder prepared after `plugins.exchange`.
It says how the process ended and nothing about the result: that is read, and distrusted, elsewhere.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Ending(StrEnum):
    """How an attempt's process ended."""

    EXITED = "exited"
    """By itself; `Exit.code` says how."""
    SIGNALLED = "signalled"
    """By a signal that we did not send: a crash, or the system's out-of-memory killer."""
    DEADLINE = "deadline"
    """It took too long and was killed."""
    MEMORY = "memory"
    """It took more memory than it may and was killed."""
    PROCESSES = "processes"
    """It started more processes than it may and was killed."""
    DISK = "disk"
    """It wrote more, or more files, than it may and was killed."""
    CANCELLED = "cancelled"
    """It was killed because we asked."""
    NOT_STARTED = "not_started"
    """It could not be started: the node's fault or the system's, not the plugin's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one attempt may use."""

    deadline_seconds: float
    memory_bytes: int
    """Of all its processes together (resident; shared pages are counted once where it matters)."""
    processes: int = 256
    disk_bytes: int = 16 * 2**30
    """In `out/` and `scratch/` together."""
    files: int = 100_000
    log_bytes: int = 2 * 2**20
    """Kept of what it prints: the first and the last half of this; the rest is read and dropped."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How it ended, and what it took."""

    ending: Ending
    code: int | None = None
    """Exit status where it exited, number of the signal where it was signalled."""
    detail: str = ""
    """For the admin, where there is more to say."""
    seconds: float = 0.0
    peak_memory_bytes: int = 0


class Executor(Protocol):
    """One way of running a plugin."""

    def execute(self, folder: Path, limits: Limits, cancel: threading.Event) -> Exit:
        """Run the plugin on a prepared folder and wait for its end.

        Returns when no process of it is left. Once `cancel` is set it is killed. What it printed is in
        `folder/log.txt`.
        """
        ...
