"""What the node and the guard of a plugin tell each other, a line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from node.run.enclosure import EnclosureOrder


@dataclass(frozen=True, slots=True)
class GuardOrder:
    """What to run, and how far it may go; the fields of limits are those of `node.run.executor.AttemptLimits`."""

    command: list[str]
    environment: Mapping[str, str]
    working_folder: str
    log: str
    folder: str
    """The job's, as the plugin sees it."""
    result: str
    """The file that is there once its result is whole; "" where none says so."""
    writable: list[str]
    """Folders whose size counts."""
    sandboxed: bool
    """`command` begins with bwrap, which reports on a descriptor whether the plugin was started at all."""
    code_folder: str
    """Of a Python plugin: a line in it is named where the plugin has to be ended; "" for other programs."""
    is_worker: bool
    """It takes one job after the other (`plugins.worker`); else it is a program that ends with its job."""
    deadline_seconds: float
    loading_seconds: float
    memory_bytes: int
    processes: int
    disk_bytes: int
    files: int
    grace_seconds: float
    keep_free_bytes: int
    printed_bytes: int
    log_bytes: int
    enclosure: EnclosureOrder

    @classmethod
    def from_line(cls, line: bytes) -> GuardOrder:
        """As the node writes it."""
        plain = json.loads(line)
        return cls(**{**plain, "enclosure": EnclosureOrder.from_plain(plain["enclosure"])})


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
