"""The configuration that a running node uses: kept in the data folder, so that a bad file brings nothing down.

What the admin edits is only what the node is asked to take up. A process that dies and is started again
begins with what was in force before, whatever the file says by then; and while the file cannot be read,
the commands still find the ledger by it.
"""

from __future__ import annotations

import functools
import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.clock import from_text, to_text
from node.config import sections
from node.config.digests import digest_at
from node.config.from_values import validated
from node.config.models import Configuration
from node.config.sections import KeyPath, Party, paths
from node.config.values import section
from node.store.durable import sync_folder, write_durably

if TYPE_CHECKING:
    from node.config.loading import LoadedConfiguration

FILE, WANTED = "in-force.json", "in-force.next.json"
"""Names in the data folder: what is in force, and what receivers are to use next."""
_RULES = ("rules", "plugins", "tests")
"""Told as a version of the rules."""
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
    certificates: Mapping[str, str]
    """See `certificates`."""
    change: Mapping[str, Any] | None = None
    """The last change of anything but rules and plugins since the start: {"since", "by", "changed"}."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file that said this, by path; empty where that is not known, or where they say more than this."""
    patterns: Sequence[str] = ()
    """Of the files of rules: a further file that one of them matches is a change."""

    @classmethod
    def of(cls, loaded: LoadedConfiguration, since: datetime, by: str) -> InForce:
        """A configuration that is now taken up as a whole."""
        folder, configuration = loaded.path.parent.resolve(), loaded.configuration
        known = certificates(configuration)
        return cls(
            path=loaded.path.resolve(),
            folder=folder,
            since=since,
            by=by,
            value=loaded.value,
            configuration=configuration,
            certificates=known,
            files=loaded.digests,
            patterns=loaded.patterns,
        )

    def taking_up(self, loaded: LoadedConfiguration) -> InForce:
        """The same with all of another configuration that can be taken up without a restart."""
        wanted, value = loaded.configuration, loaded.value
        late = _at_next_start(self.configuration, wanted)
        if late:
            value = functools.reduce(lambda mixed, path: _with(mixed, path, self.value), late, value)
            wanted = validated(value, self.folder)
        return replace(
            self,
            value=value,
            configuration=wanted,
            certificates=certificates(wanted),
            files={} if late else loaded.digests,
            patterns=loaded.patterns,
        )


def _with(value: Mapping[str, Any], path: KeyPath, other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Plain values with what is at this path as others have it."""
    name, *rest = path
    if rest:
        return {**value, name: _with(section(value, name), tuple(rest), section(other, name))}
    mine = {key: each for key, each in value.items() if key != name}
    return {**mine, name: other[name]} if name in other else mine


def certificates(configuration: Configuration) -> dict[str, str]:
    """SHA-256 of each file or folder that receivers read: a new certificate in the same place is a change, too."""
    return {str(path): _digest(path) for path in paths(configuration, Party.RECEIVERS)}


def _digest(path: Path) -> str:
    try:
        return digest_at(path)
    except OSError:  # whoever opens it for use says why
        return ""


def write(in_force: InForce, name: str = FILE) -> None:
    """Keep it in its data folder, whole or not at all."""
    content = {
        "path": str(in_force.path),
        "folder": str(in_force.folder),
        "since": to_text(in_force.since),
        "by": in_force.by,
        "value": in_force.value,
        "certificates": in_force.certificates,
        "change": in_force.change,
        "files": in_force.files,
        "patterns": in_force.patterns,
    }
    write_durably(in_force.configuration.node.data / name, json.dumps(content, ensure_ascii=False).encode())


def put_in_force(data: Path) -> None:
    """What was written as `WANTED` is in force from now on. Raises OSError."""
    (data / WANTED).rename(data / FILE)
    sync_folder(data)


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
        certificates=content.get("certificates", {}),
        change=content.get("change"),
        files=content.get("files", {}),
        patterns=content.get("patterns", ()),
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


def stands_in_file(running: InForce) -> bool:
    """Whether the files say what is in force, byte for byte as when they were read: then none needs to be read as YAML.

    What the configuration only names (certificates of destinations, tokens) has to be there; that they can be used is
    for `loading` to say.
    """
    matched = (
        name for pattern in running.patterns for name in glob.iglob(pattern, root_dir=running.folder, recursive=True)
    )
    added = {path.resolve() for path in (running.folder / name for name in matched) if path.is_file()}
    return (
        bool(running.files)
        and added <= {Path(path).resolve() for path in running.files}
        and all(_digest(Path(path)) == digest for path, digest in running.files.items())
        and all(os.access(path, os.R_OK) for path in paths(running.configuration))
    )


def needing_restart(running: Configuration, wanted: Configuration) -> list[str]:
    """What differs between two configurations and takes a restart: `node.data`."""
    return [".".join(path) for path in _at_next_start(running, wanted)]


def _at_next_start(running: Configuration, wanted: Configuration) -> list[KeyPath]:
    return [path for path, parties in sections.changes(running, wanted).items() if Party.NEXT_START in parties]


def changed(running: InForce, wanted: InForce) -> list[str]:
    """What differs and can be taken up, but for rules and plugins: `node.listen`, `modalities`, `certificates`."""
    paths_changed = sections.changes(running.configuration, wanted.configuration)
    names = [_named(path) for path in paths_changed if path[0] not in _RULES]
    return list(dict.fromkeys([*names, *(["certificates"] if running.certificates != wanted.certificates else [])]))


def changed_for(running: InForce, wanted: InForce, party: Party) -> list[str]:
    """The sections in which something differs that this party takes up, rules and plugins among them."""
    found = sections.changes(running.configuration, wanted.configuration).items()
    return list(dict.fromkeys(_named(path) for path, parties in found if party in parties))


def _named(path: KeyPath) -> str:
    return ".".join(path[:2] if path[0] == "node" else path[:1])


def taken_up_by(running: InForce, wanted: InForce) -> frozenset[Party]:
    """Everybody who has to take up something of what differs."""
    found = sections.changes(running.configuration, wanted.configuration).values()
    files = {Party.RECEIVERS} if running.certificates != wanted.certificates else ()
    return frozenset[Party]().union(*found, files)
