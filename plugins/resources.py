"""What a plugin needs of a machine while it runs, as its `plugin.toml` says and a site may say otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.manifest_table import ManifestTable

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""By which libraries that compute know how many threads to start: set to `cpus`, where that is said."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job of it keeps busy."""

    cpus: float = 0.0
    """Processors; 0 where that is not said, and then it is not counted."""
    memory: int = 0
    """Bytes; 0 where that is not said: what it may use at most."""
    gpu: bool = False
    """Whether it needs a GPU: one of its own, unless `gpu_memory` says how much of one."""
    gpu_memory: int = 0
    """Bytes of the memory of a GPU."""

    @property
    def needs_gpu(self) -> bool:
        """Whether a GPU is assigned to each of its jobs."""
        return self.gpu or self.gpu_memory > 0


def read(table: ManifestTable) -> Resources:
    """`[runtime.resources]`; raises ManifestError."""
    for key in ("cpus", "memory_mb", "gpu_memory_mb"):
        value = table.values.get(key, 0)
        if isinstance(value, int | float) and not 0 <= value < 2**24:
            raise table.error(key, "must not be below zero, or beyond any machine")
    resources = Resources(
        cpus=table.take("cpus", float, 0.0),
        memory=table.take("memory_mb", int, 0) * 2**20,
        gpu=table.take("gpu", bool, False),
        gpu_memory=table.take("gpu_memory_mb", int, 0) * 2**20,
    )
    table.finish()
    return resources
