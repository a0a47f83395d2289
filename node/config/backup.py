"""The section `backup`: a backup each day."""

from __future__ import annotations

from datetime import time
from typing import Annotated, ClassVar

from pydantic import Field

from node.config.sections import Party, Section, SitePath


class BackupSettings(Section):
    """A backup each day, made by the node itself."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    to: SitePath
    """Folder that backups are made in, on another disk than `node.data`."""
    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "02:30"
    """Time of day, in `node.time_zone`."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 7
    """This many of the newest backups are kept."""

    @property
    def time_of_day(self) -> time:
        """`at`."""
        return time.fromisoformat(self.at)
