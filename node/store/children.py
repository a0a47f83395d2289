"""Which processes of a node run, as its supervisor says: a file, for whoever looks from outside."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

CHILDREN = "run/children.json"
"""In the data folder while the node runs: {"node": 4711, "receiver-1": null}; null while a process is not running."""


def note(data: Path, children: Mapping[str, int | None]) -> None:
    """Leave word of each process and its id; nothing where the disk is full."""
    with contextlib.suppress(OSError):
        (data / CHILDREN).parent.mkdir(mode=0o700, exist_ok=True)
        part = data / f"{CHILDREN}.part"
        part.write_text(json.dumps(children))
        part.rename(data / CHILDREN)


def last(data: Path) -> dict[str, int | None] | None:
    """What the supervisor said last; None where nothing can be read."""
    try:
        said = json.loads((data / CHILDREN).read_text())
        return {str(name): None if pid is None else int(pid) for name, pid in said.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # no file, or not one that a supervisor wrote
        return None
