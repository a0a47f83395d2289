"""The one thing every way of running a plugin does: `execute(folder, limits, watch) -> Exit`.

A kind (`node/run/kinds`) knows how to run its plugin on a folder prepared after `plugins.exchange`.
It says how the process ended and nothing about the result: that is read, and distrusted, elsewhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol


class ExitKind(StrEnum):
    """How an attempt's process ended."""

    EXITED = "exited"
    """By itself; `Exit.code` says how."""
    SIGNALLED = "signalled"
    """By a signal that we did not send: a crash, or the system's out-of-memory killer."""
    DEADLINE = "deadline"
    """It took too long and was killed."""
    LINGERED = "lingered"
    """It had left its result, did not end, and was killed."""
    LOADING = "loading"
    """Its code and model were not loaded in time, and it was killed."""
    MEMORY = "memory"
    """It took more memory than it may and was killed."""
    PROCESSES = "processes"
    """It started more processes than it may and was killed."""
    DISK = "disk"
    """It wrote more, or more files, than it may and was killed."""
    OUTPUT = "output"
    """It printed more than it may and was killed."""
    GUARD_DIED = "guard_died"
    """The process that watches it was killed; all of it was ended."""
    CANCELLED = "cancelled"
    """It was killed because we asked."""
    NOT_STARTED = "not_started"
    """It could not be started: the node's fault or the system's, not the plugin's."""


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """What one attempt may use."""

    deadline_seconds: float
    """From the moment at which its code is loaded, where that is known; else from its start."""
    memory_bytes: int
    """Of all its processes together (resident; shared pages are counted once where it matters), and files in memory."""
    gpu: str | None = None
    """The one that it gets, as CUDA_VISIBLE_DEVICES takes it; None where none was assigned."""
    processors: float = 0.0
    """For its threads; 0 where that is not said."""
    processes: int = 256
    disk_bytes: int = 16 * 2**30
    """In `out/` and `scratch/` together, deleted files that are still open included."""
    files: int = 100_000
    grace_seconds: float = 10.0
    """For ending after its result is there."""
    keep_free_bytes: int = 0
    """To stay free on the disk of the data folder: an attempt that wrote much is ended before that is touched."""
    printed_bytes: int = 2**30
    """Of all that it prints, kept or not."""
    log_bytes: int = 2 * 2**20
    """Kept of what it prints: the first and the last half of this; the rest is read and dropped."""
    loading_seconds: float = 300.0
    """Until its code is loaded, where that is known."""
    worker_jobs: int = 1
    """How many jobs one process does, where its kind can be kept (`node.run.workers`)."""
    worker_idle_seconds: float = 0.0
    """How long such a process waits for the next job."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How it ended, and what it took."""

    ending: ExitKind
    code: int | None = None
    """Exit status where it exited, number of the signal where it was signalled."""
    detail: str = ""
    """For the admin, where there is more to say."""
    seconds: float = 0.0
    peak_memory_bytes: int = 0


class KeptProcesses(Protocol):
    """The processes of a node that are kept between jobs (`node.run.workers`)."""

    def run(self, recipe: Any, attempt: Path, watch: ProcessWatch) -> Exit:
        """Have one do the job in the folder of an attempt; `recipe` is what its kind starts it from."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessWatch:
    """What goes between the node and a process of a plugin while it runs."""

    cancel: threading.Event
    """Once it is set the process is killed."""
    begun: Callable[[str], None]
    """Called once, when the process is there, with its name ("" for one that does this job only); raises nothing."""
    workers: KeptProcesses
    code_digest: str = ""
    """Of all that runs (`node.run.digests`): a kept process is used for the same code only."""


@dataclass(frozen=True, slots=True)
class NoExecutor:
    """In place of a plugin's own way, where the plugin may not run: each attempt says why."""

    reason: str

    def execute(self, _folder: Path, _limits: AttemptLimits, _watch: ProcessWatch) -> Exit:
        """See `Executor`."""
        return Exit(ExitKind.NOT_STARTED, detail=self.reason)


class Executor(Protocol):
    """One way of running a plugin."""

    def execute(self, folder: Path, limits: AttemptLimits, watch: ProcessWatch, /) -> Exit:
        """Run the plugin on a prepared folder and wait for its end.

        Returns when no process of it is left. What it printed is in `folder/log.txt`.
        """
        ...
