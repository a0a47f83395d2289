"""What of this machine plugins may use."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from node.config.sections import Party, Section
from node.config.values import Size

SomeMemory = Annotated[Size, Field(gt=0)]


class GpuSettings(Section):
    """A GPU that plugins may use."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
    """As CUDA_VISIBLE_DEVICES takes it: its index or its UUID."""
    memory: SomeMemory | None = None
    """Its memory; absent means that each job has it alone."""


class MachineSettings(Section):
    """What of this machine plugins may use; what is not said here is found."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    cpus: Annotated[float, Field(gt=0, le=4096, allow_inf_nan=False)] | None = None
    """Processors."""
    memory: SomeMemory | None = None
    """Memory for all plugins together, as in 48GiB."""
    gpus: tuple[GpuSettings, ...] | None = None
    """GPUs; an empty list means none."""
