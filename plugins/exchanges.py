"""By which files a plugin and the node hand over images and results. Needs the standard library alone."""

from __future__ import annotations

from enum import StrEnum


class ExchangeForm(StrEnum):
    """`runtime.exchange` of a manifest."""

    PACSNODE = "pacsnode"
    """As `plugins.exchange` lays them out."""
    MERCURE = "mercure"
    """DICOM files and `task.json` in, DICOM files and `result.json` out, as modules of mercure have it."""
