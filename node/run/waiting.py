"""Why jobs wait that could start: for `status` and `study`, in a file of the data folder, as the run stage found it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

FILE = "waiting.json"
"""In the data folder: plugin, as rules call it → why the first of its jobs waits. Of a node that runs, nothing else."""
OTHERS = ""
"""In the place of a plugin: why jobs of all the others wait."""


def note(data: Path, why: Mapping[str, str]) -> None:
    """Leave word; OSError."""
    part = data / f"{FILE}.part"
    part.write_text(json.dumps(dict(why)), encoding="utf-8")
    part.rename(data / FILE)


def noted(data: Path) -> dict[str, str]:
    """What the node left word of; nothing where there is no word that can be read."""
    try:
        return {str(name): str(why) for name, why in json.loads((data / FILE).read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}
