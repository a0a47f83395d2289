"""Where receivers keep their counters: a file for each process and kind, in the form of prometheus-client."""

from __future__ import annotations

import contextlib
from pathlib import Path

METERS = "run/meters"
"""Folder in the data folder. A receiver that is started again goes on with the file of its name."""


def clear(data: Path) -> None:
    """Begin at zero, before any receiver counts; a counter that starts again at zero is nothing unusual."""
    folder = data / METERS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # what cannot be removed is added to
        for each in folder.iterdir():
            each.unlink()
