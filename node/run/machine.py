"""This machine, as the configuration describes it or else as it is found."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import structlog

from node.config.models import NodeSettings
from node.ledger.attempts import LOCAL
from node.run.slots import Gpu, Machine

_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Of a container, which sees its own there."""
_DRIVER = Path("/proc/driver/nvidia/gpus")
_QUERY = ("--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits")
_QUERY_SECONDS = 20.0
log = structlog.get_logger(__name__)


def this_machine(settings: NodeSettings) -> Machine:
    """What of it jobs may use; a key of `node.machine` counts more than what is found."""
    said = settings.machine
    gpus = found_gpus() if said.gpus is None else tuple(Gpu(each.id, each.memory or 0) for each in said.gpus)
    return Machine(
        name=LOCAL,
        slots=settings.jobs_at_once,
        cpus=said.cpus or len(os.sched_getaffinity(0)),
        memory=said.memory or _memory(),
        gpus=gpus,
        reserved_for_urgent=settings.reserved_for_urgent,
    )


def _memory() -> int:
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(_MEMORY_LIMIT.read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return total


def found_gpus() -> tuple[Gpu, ...]:
    """NVIDIA GPUs by UUID, as nvidia-smi or else the driver lists them; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is not None:
        try:
            answer = subprocess.run(
                [program, *_QUERY], capture_output=True, timeout=_QUERY_SECONDS, check=True, text=True
            ).stdout
            return listed(answer)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            log.warning("run.gpus-not-listed", error=type(error).__name__)
    return tuple(_of_the_driver(_DRIVER))


def listed(answer: str) -> tuple[Gpu, ...]:
    """What nvidia-smi prints: a line with UUID and MiB for each; "[N/A]" where the memory is the machine's own."""
    lines = [[part.strip() for part in line.split(",")] for line in answer.splitlines() if line.strip()]
    return tuple(Gpu(name, int(memory) * 2**20 if memory.isdecimal() else 0) for name, memory in lines)


def _of_the_driver(folder: Path) -> list[Gpu]:
    found = []
    for information in sorted(folder.glob("*/information")):
        lines = dict(line.split(":", 1) for line in information.read_text().splitlines() if ":" in line)
        if name := lines.get("GPU UUID", "").strip():
            found.append(Gpu(name))
    return found
