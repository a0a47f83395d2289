"""How plugins are confined here: tried by the node when it starts, and left in the data folder for `status`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from node.run.sandbox import Isolation, isolation

FILE = "confinement.json"
"""In the data folder: what the node that runs, or ran last, found."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What is in force."""

    isolated: bool
    text: str
    """One line for `check` and `status`."""
    severity: str
    """Of its warning: `alert`, `warning`, or empty where there is nothing to warn of."""


def of(found: Isolation, as_root: bool) -> Confinement:
    """What this isolation means for a node that runs as root, or does not."""
    if found.whole:
        return Confinement(True, str(found), "")
    if as_root:
        return Confinement(False, f"plugins run unconfined as root: {found}", "alert")
    return Confinement(False, str(found), "warning")


def tried() -> Confinement:
    """What this process would run plugins in; tried once in its life."""
    return of(isolation(), os.geteuid() == 0)


def note(data: Path) -> Confinement:
    """Try it, and leave word in the data folder."""
    found = tried()
    part = data / f"{FILE}.part"
    part.write_text(json.dumps(asdict(found)))
    part.rename(data / FILE)
    return found


def noted(data: Path) -> Confinement | None:
    """What the node left word of; None where there is none that can be read."""
    try:
        return Confinement(**json.loads((data / FILE).read_text()))
    except (OSError, ValueError, TypeError):  # no file, or not one that this version wrote
        return None
