"""What the guard of a plugin tells the node of each job, a line of JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class GuardReport:
    """How a job ended: the fields of `node.run.executor.Exit`, and whether its worker is kept."""

    ending: str
    code: int | None = None
    detail: str = ""
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    memory_bytes: int = 0
    """What the worker holds that is kept for another job; 0 where nothing of it is left."""
