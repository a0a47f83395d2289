"""What a guard has to know of a container to watch and to remove it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.run.containers.engine import EngineKind
from node.store import device
from plugins.exchanges import ExchangeForm

LABEL = "pacsnode.work"
"""Of each container: its node and the node's folder `work/`, by which it is found when guard and node have died."""
PID_FILE = "container.pid"
"""In the attempt's folder: podman writes the number of the container's first process into it."""


def label_of(work: Path) -> str:
    """As in `pacsnode.work=PN123456789012:/data/work`: two nodes that run in containers may have one path. OSError."""
    return f"{LABEL}={device.serial_number(work.parent)}:{work}"


@dataclass(frozen=True, slots=True)
class ContainerOrder:
    """One attempt's container."""

    engine: EngineKind
    program: str
    folder: str
    """`work/JOB/ATTEMPT`."""
    exchange: ExchangeForm
    user: tuple[int, int] | None = None
    """Whom its files are handed over to; None where it runs as the node's own user."""

    @property
    def name(self) -> str:
        """As the engine knows it."""
        return f"pacsnode-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:24]}"

    @property
    def pid_file(self) -> Path:
        """See `PID_FILE`."""
        return Path(self.folder, PID_FILE)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ContainerOrder:
        """As `asdict` and JSON left it."""
        user = plain["user"] and tuple(plain["user"])
        kinds = {"engine": EngineKind(plain["engine"]), "exchange": ExchangeForm(plain["exchange"])}
        return cls(**{**plain, **kinds, "user": user})
