"""Leaving word of why jobs wait, by the stage `run`; whoever reads it (`node.run.waiting`) imports no logger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from node.run.waiting import note

log = structlog.get_logger(__name__)


class WaitingNote:
    """Leaves word whenever it is another one."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._told: Mapping[str, str] | None = None

    def tell(self, waits: Mapping[str, str]) -> bool:
        """Leave word for `status` of why jobs wait; whether any do."""
        if waits != self._told:
            try:
                note(self._data, waits)
                self._told = waits
            except OSError as error:  # a full disk must stop no job
                log.warning("run.waiting-not-noted", error=str(error))
        return bool(waits)
