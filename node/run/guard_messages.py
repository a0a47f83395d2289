"""What the node tells the guard of a plugin, a line of JSON; `node.run.guard_report` is the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from node.run.containers.order import ContainerOrder
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
    container: ContainerOrder | None = None
    """Where `command` is an engine that runs a container; its `enclosure` is that then."""

    @classmethod
    def from_line(cls, line: bytes) -> GuardOrder:
        """As the node writes it."""
        plain = json.loads(line)
        container = plain["container"] and ContainerOrder.from_plain(plain["container"])
        enclosure = EnclosureOrder.from_plain(plain["enclosure"])
        return cls(**{**plain, "enclosure": enclosure, "container": container})
