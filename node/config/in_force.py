"""The configuration that a running node goes by: kept in the data folder, so that a bad file brings nothing down.

What the admin edits is only what the node is asked to take up. A process that dies and is started again
begins with what was in force before, whatever the file says by then; and while the file cannot be read,
the commands still find the ledger by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from node.clock import from_text, to_text
from node.config.loading import Loaded, validated
from node.config.models import Configuration
from node.spool import write_durably

FILE = "in-force.json"
"""Its name in the data folder."""
SWAPPED = ("rules", "plugins", "people", "notify", "tests")
"""Sections that a running node takes up; every other needs a restart."""
_DATA = re.compile(r"(?:^|[\s{,])[\"']?data[\"']?\s*:\s*[\"']?([^\"'#,}\s]+)", re.MULTILINE)
"""`node.data` of a file whose YAML is broken; `find` believes only a folder that names this very file."""


@dataclass(frozen=True)
class InForce:
    """What is in force, and since when."""

    path: Path
    """The file that the admin edits."""
    folder: Path
    """Where its relative paths begin."""
    since: datetime
    by: str
    """Who brought it into force, as far as that is known."""
    value: Mapping[str, Any]
    """As written, with the files of rules put in."""
    configuration: Configuration

    @classmethod
    def of(cls, loaded: Loaded, since: datetime, by: str) -> InForce:
        """A configuration that is now taken up as a whole."""
        return cls(loaded.path.resolve(), loaded.path.parent.resolve(), since, by, loaded.value, loaded.configuration)

    def with_rules_of(self, loaded: Loaded, since: datetime, by: str) -> InForce:
        """The same with the rules and plugins of another configuration."""
        taken = {name: loaded.value[name] for name in SWAPPED if name in loaded.value}
        kept = {name: part for name, part in self.value.items() if name not in SWAPPED}
        new = {name: getattr(loaded.configuration, name) for name in ("rules", "plugins", "people", "notify")}
        return InForce(self.path, self.folder, since, by, {**kept, **taken}, self.configuration.model_copy(update=new))


def write(in_force: InForce) -> None:
    """Keep it in its data folder, whole or not at all."""
    content = {
        "path": str(in_force.path),
        "folder": str(in_force.folder),
        "since": to_text(in_force.since),
        "by": in_force.by,
        "value": in_force.value,
    }
    write_durably(in_force.configuration.node.data / FILE, json.dumps(content, ensure_ascii=False).encode())


def read(path: Path) -> InForce:
    """What `write` kept; ValueError, OSError."""
    content = json.loads(path.read_text(encoding="utf-8"))
    folder = Path(content["folder"])
    return InForce(
        path=Path(content["path"]),
        folder=folder,
        since=from_text(content["since"]),
        by=content["by"],
        value=content["value"],
        configuration=validated(content["value"], folder),
    )


def find(config: Path) -> InForce | None:
    """What is in force of a configuration file that may itself be beyond reading; None where nothing is known."""
    try:
        named = _DATA.findall(config.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        named = []
    for data in (*named, "data"):
        try:
            found = read(config.parent / data / FILE)
        except (OSError, ValueError, KeyError, TypeError):  # none there, or not one that this program wrote
            continue
        if found.path == config.resolve():
            return found
    return None


def needing_restart(running: Configuration, wanted: Configuration) -> list[str]:
    """What differs between two configurations and is not taken up while the node runs: `node.listen`, `modalities`."""
    node = [f"node.{name}" for name in type(running.node).model_fields if _differ(running.node, wanted.node, name)]
    return [*node, *(name for name in ("modalities", "destinations") if _differ(running, wanted, name))]


def _differ(one: object, other: object, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))
