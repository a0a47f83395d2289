"""What this machine offers to jobs, and which models are kept warm: for the console, in a file of the data folder.

The stage `run` writes it when it changes. Which jobs run says the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import structlog

from node.run.slots import IdleModel, Machine

FILE = "machine.json"
"""In the data folder, as the node that runs, or ran, found it."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OfferedGpu:
    """A GPU that jobs may use."""

    name: str
    memory: int
    """Bytes; 0 where nobody knows."""


@dataclass(frozen=True, slots=True)
class IdleWorker:
    """A process that has its model loaded and waits for a job."""

    plugin: str
    memory: int
    """Bytes that it holds."""
    gpu: str | None


@dataclass(frozen=True)
class Occupancy:
    """What there is for jobs."""

    slots: int = 0
    """Jobs at the same time, at most; 0 where no node has said it yet."""
    reserved_for_urgent: int = 0
    cpus: float = 0.0
    memory: int = 0
    gpus: Sequence[OfferedGpu] = ()
    warm: Sequence[IdleWorker] = field(default_factory=tuple)


class OccupancyNote:
    """Leaves word whenever it is another one."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._shown: Occupancy | None = None

    def show(self, machine: Machine, idle: Sequence[IdleModel]) -> None:
        """Leave word of the machine, and of what is kept warm on it."""
        found = of(machine, idle)
        if found != self._shown:
            try:
                note(self._data, found)
                self._shown = found
            except OSError as error:  # a full disk must stop no job
                log.warning("run.occupancy-not-noted", error=str(error))


def of(machine: Machine, idle: Sequence[IdleModel]) -> Occupancy:
    """What the stage knows."""
    return Occupancy(
        slots=machine.slots,
        reserved_for_urgent=machine.reserved_for_urgent,
        cpus=machine.cpus,
        memory=machine.memory,
        gpus=[OfferedGpu(each.name, each.memory) for each in machine.gpus],
        warm=[IdleWorker(each.plugin, each.memory, each.gpu) for each in idle],
    )


def note(data: Path, found: Occupancy) -> None:
    """Leave word; OSError."""
    part = data / f"{FILE}.part"
    part.write_text(json.dumps(asdict(found)), encoding="utf-8")
    part.rename(data / FILE)


def noted(data: Path) -> Occupancy:
    """What the node left word of; nothing where there is no word that can be read."""
    try:
        said = json.loads((data / FILE).read_text(encoding="utf-8"))
        gpus = [OfferedGpu(**each) for each in said.pop("gpus")]
        warm = [IdleWorker(**each) for each in said.pop("warm")]
        return Occupancy(**said, gpus=gpus, warm=warm)
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return Occupancy()
