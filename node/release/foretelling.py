"""What an upgrade would change, and cost: found out on a copy of the ledger, while the node goes on."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.errors import NodeError
from node.ledger.database import FILE
from node.release.releases import Release
from node.release.upgrading import UpgradeSite, check, run_as_owner, run_ledgers
from node.store import upgrade_record

_DAYS = 7


@dataclass(frozen=True, slots=True)
class Foretold:
    """What an upgrade would do."""

    before: str
    after: str
    refusal: str
    """Why the new release refuses the configuration, or a plugin does not start; empty where it does not."""
    new_keys: Sequence[str]
    """Keys of the configuration that only the new release knows."""
    gone_keys: Sequence[str]
    """Keys that it does not know any more."""
    decisions: Mapping[str, Any]
    """`redeciding.RedecidedWeek`."""
    ledger_bytes: int
    needed_bytes: int
    """That have to be free on the disk of the data folder."""
    free_bytes: int
    copy_seconds: float
    migrate_seconds: float
    start_seconds: float | None
    """As measured at the last upgrade; None where there was none."""

    @property
    def downtime_seconds(self) -> float:
        """Beside the end of open associations, and, where it is not known, the start."""
        return self.copy_seconds + self.migrate_seconds + (self.start_seconds or 0.0)


def foretell(site: UpgradeSite, before: Release, after: Release) -> Foretold:
    """Copy, migrate and decide again beside the node; raises `NodeError` where that fails, as an upgrade would."""
    ledger = site.data / FILE
    size = ledger.stat().st_size if ledger.exists() else 0
    trial = upgrade_record.make_folder(site.data) / "trial"
    try:
        run_as_owner(site, ["mkdir", "-p", str(trial)], "making a folder")
        copied = _timed(lambda: run_ledgers(site, before, "copy", str(trial)))
        migrated = _timed(lambda: run_ledgers(site, after, "migrate", data=trial))
        command = [str(after.python), "-P", "-m", "node.release.redeciding", str(site.config), str(trial / FILE)]
        said = run_as_owner(site, [*command, str(_DAYS)], "deciding again") if size else "{}"
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    now, new = _keys(site, before), _keys(site, after)
    last = upgrade_record.last(site.data)
    return Foretold(
        before=before.version,
        after=after.version,
        refusal=_refusal(site, after),
        new_keys=sorted(new - now),
        gone_keys=sorted(now - new),
        decisions=json.loads(said),
        ledger_bytes=size,
        needed_bytes=3 * size,  # the copy, and what a migration that writes it again takes
        free_bytes=shutil.disk_usage(site.data).free,
        copy_seconds=copied,
        migrate_seconds=migrated,
        start_seconds=last.seconds.get("starting") if last else None,
    )


def in_words(found: Foretold) -> Iterator[str]:
    """The same for people."""
    yield f"from {found.before} to {found.after}; nothing was changed"
    yield f"configuration: {found.refusal or 'accepted as it is, and every plugin that is used starts'}"
    yield from (f"configuration: new key {key}" for key in found.new_keys)
    yield from (f"configuration: {key} is gone" for key in found.gone_keys)
    said = found.decisions
    about = f"{said.get('compared', 0)} decisions of {said.get('studies', 0)} studies made again"
    yield f"decisions of the last {_DAYS} days: {about}, {len(said.get('differences', []))} are other"
    yield from (f"decisions: {each}" for each in said.get("differences", []))
    if said.get("by_other_rules"):
        yield f"decisions: {said['by_other_rules']} were by earlier rules of this site, and were not compared"
    short = "" if found.free_bytes > found.needed_bytes else ": NOT enough"
    yield f"disk: {found.needed_bytes >> 20} MiB are needed, {found.free_bytes >> 20} MiB are free{short}"
    start = f"{found.start_seconds:.1f} s" if found.start_seconds is not None else "not measured yet"
    yield (
        f"downtime: {found.downtime_seconds:.1f} s (copy {found.copy_seconds:.1f} s, migration"
        f" {found.migrate_seconds:.1f} s, start {start}), after the associations that are open then"
    )


def _timed(step: Any) -> float:
    began = time.monotonic()
    step()
    return round(time.monotonic() - began, 2)


def _refusal(site: UpgradeSite, after: Release) -> str:
    try:
        check(site, after)
    except NodeError as error:
        return str(error)
    return ""


def _keys(site: UpgradeSite, release: Release) -> set[str]:
    """Every key of a configuration that a release knows, as in node.listen.port."""
    schema = json.loads(run_as_owner(site, [str(release.command), "schema"], "schema"))
    return set(keys_of(schema))


def keys_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """The paths of all keys of a JSON Schema; `*` is a name that the site chooses, or an item of a list."""
    return _below(schema, schema, "", frozenset())


def _below(schema: Mapping[str, Any], root: Mapping[str, Any], path: str, seen: frozenset[str]) -> Iterator[str]:
    reference = schema.get("$ref")
    if reference is not None:
        if reference in seen:
            return
        name = str(reference).rpartition("/")[2]
        yield from _below(root["definitions"][name], root, path, seen | {reference})
    for each in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _below(each, root, path, seen)
    for name, each in schema.get("properties", {}).items():
        if path or not name[:1].isupper():
            yield f"{path}{name}"
            if isinstance(each, dict) and not path.startswith("rules"):
                yield from _below(each, root, f"{path}{name}.", seen)
    for key in ("additionalProperties", "items"):
        if isinstance(schema.get(key), dict):
            yield from _below(schema[key], root, path and f"{path}*.", seen)
