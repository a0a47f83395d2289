"""The configuration that a running node uses: kept in the data folder, so that a bad file brings nothing down.

What the admin edits is only what the node is asked to take up. A process that dies and is started again
begins with what was in force before, whatever the file says by then; and while the file cannot be read,
the commands still find the ledger by it.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.clock import from_text, to_text
from node.config.from_values import validated
from node.config.models import Configuration
from node.config.values import Section, section
from node.store.durable import sha256_of, sync_folder, write_durably

if TYPE_CHECKING:
    from node.config.loading import Loaded

FILE, WANTED = "in-force.json", "in-force.next.json"
"""Names in the data folder: what is in force, and what receivers are to use next."""
_AT_START = ("data", "time_zone", "jobs_at_once")
"""Keys of `node` that are read when the node starts: to change them takes a restart."""
_RULES = ("rules", "plugins", "tests")
"""Told as a version of the rules."""
_NOT_RECEIVING = {"completion", "people", "notify", "modalities", "destinations"}
"""What can be taken up without other receivers, but for `_senders`."""
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
    def of(cls, loaded: Loaded, since: datetime, by: str) -> InForce:
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

    def taking_up(self, loaded: Loaded) -> InForce:
        """The same with all of another configuration that can be taken up without a restart."""
        wanted = loaded.configuration
        kept = {name: getattr(self.configuration.node, name) for name in _AT_START}
        configuration = wanted.model_copy(update={"node": wanted.node.model_copy(update=kept)})
        node = _but(section(loaded.value, "node"), _AT_START, section(self.value, "node"))
        value = {**loaded.value, "node": node}
        return replace(
            self,
            value=value,
            configuration=configuration,
            certificates=certificates(configuration),
            files={} if needing_restart(self.configuration, wanted) else loaded.digests,
            patterns=loaded.patterns,
        )


def _but(part: Mapping[str, Any], names: Sequence[str], other: Mapping[str, Any]) -> dict[str, Any]:
    """A section with these keys as another has them."""
    mine = {name: value for name, value in part.items() if name not in names}
    return mine | {name: other[name] for name in names if name in other}


def certificates(configuration: Configuration) -> dict[str, str]:
    """SHA-256 of each file that the TLS port rests on: a new certificate in the same place is a change, too."""
    tls = configuration.node.listen.tls
    return {str(path): _digest(path) for path in tls.files.values()} if tls else {}


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
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
        and all(os.access(path, os.R_OK) for path in _named(running.configuration))
    )


def _named(part: object) -> Iterator[Path]:
    """Every path in a part of the configuration."""
    if isinstance(part, Path):
        yield part
    elif isinstance(part, Section):
        for _, value in part:
            yield from _named(value)
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from _named(value)


def needing_restart(running: Configuration, wanted: Configuration) -> list[str]:
    """What differs between two configurations and takes a restart: `node.data`."""
    return [f"node.{name}" for name in _AT_START if _differ(running.node, wanted.node, name)]


def changed(running: InForce, wanted: InForce) -> list[str]:
    """What differs and can be taken up, but for rules and plugins: `node.listen`, `modalities`, `certificates`."""
    old, new = running.configuration, wanted.configuration
    node = [f"node.{name}" for name in type(old.node).model_fields if _differ(old.node, new.node, name)]
    sections = [name for name in type(old).model_fields if name not in ("node", *_RULES)]
    others = [name for name in sections if _differ(old, new, name)]
    return [*node, *others, *(["certificates"] if running.certificates != wanted.certificates else [])]


def concerns_receivers(running: InForce, wanted: InForce) -> bool:
    """Whether receivers have to be others for it."""
    old, new = running.configuration, wanted.configuration
    changes = {name.removeprefix("node.") for name in changed(running, wanted)} - _NOT_RECEIVING
    return bool(changes) or _senders(old) != _senders(new)


def _senders(configuration: Configuration) -> list[str]:
    """What receivers know of those who may call: not their quiet periods, nor how they are called back."""
    modalities = (each.model_dump_json(exclude={"quiet"}) for each in configuration.modalities.values())
    return sorted([*modalities, *(f"{name} {each.ae_title}" for name, each in configuration.destinations.items())])


def _differ(one: object, other: object, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))
