"""Whether the stages of the node turn, as the node process says itself: a file, for `status --check`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from node.clock import from_text, to_text

PULSE = "pulse.json"
"""In the data folder; written twice a minute by the node process."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the node process last said."""

    at: datetime
    stuck: tuple[str, ...]
    """Stages that fail, or that have been in the same run for long."""


def note(data: Path, at: datetime, stuck: Sequence[str]) -> None:
    """Leave word; nothing where the disk is full: then the last word grows old."""
    with contextlib.suppress(OSError):
        part = data / f".{PULSE}"
        part.write_text(json.dumps({"at": to_text(at), "stuck": list(stuck)}))
        part.rename(data / PULSE)


def last(data: Path) -> Pulse | None:
    """What was said last; None where nothing can be read."""
    try:
        said = json.loads((data / PULSE).read_text())
        return Pulse(from_text(said["at"]), tuple(map(str, said["stuck"])))
    except (OSError, ValueError, KeyError, TypeError):  # no file, or not one that the node wrote
        return None
