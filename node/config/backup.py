"""The section `backup`: a backup each day."""

from __future__ import annotations

from datetime import time
from typing import Annotated, ClassVar

from pydantic import Field

from node.config.sections import Party, Section, SitePath
from rules.timing import TimeOfDay


class BackupSettings(Section):
    """A backup each day, made by the node itself."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    to: SitePath
    """Folder that backups are made in, on another disk than `node.data`."""
    at: TimeOfDay = time(2, 30)
    """Time of day, in `node.time_zone`."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 7
    """This many of the newest backups are kept."""
