"""`plugin list --inventory`: each version of a plugin that is installed or has run, and what a site keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from node.config import plugins as configured
from node.config.models import Configuration
from node.desk.site import open_ledger
from node.errors import NodeError, NotFoundError
from node.kit.small_node import kit_configuration
from node.ledger import plugin_versions, recalls
from node.ledger.plugin_names import key_of
from node.ledger.plugin_versions import PluginVersionRecord
from node.run import digests
from plugins.manifest import Manifest
from plugins.manifest_table import ManifestError


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """One version; empty texts are what nobody has stated."""

    name: str
    version: str
    manufacturer: str
    digest: str
    """SHA-256 of what the vendor gave."""
    installed: bool
    intended_use: str
    clearance: str
    training_data: str
    known_limits: str
    validated_on: str
    udi: str
    since: datetime | None
    """When it first ran here; None where it has not."""
    allowed_by: str
    jobs: int
    failures: int
    withdrawn: str
    """Why, and by whom, where it was withdrawn."""


def entries(site: Configuration | None) -> list[InventoryEntry]:
    """By name, what is installed first, then what ran before, the newest first."""
    ran, withdrawn = _of_ledger(site)
    configuration = site or kit_configuration()
    found: list[InventoryEntry] = []
    here: set[tuple[str, str, str]] = set()
    for name in sorted({*map(key_of, configuration.plugins), *configured.built_in()}):
        try:
            manifest = configured.manifest_of(name, configuration.plugins)
        except ManifestError:
            continue  # `plugin list` says what is wrong with it
        if manifest is None:
            continue
        entry = _installed(name, manifest, configuration, site)
        key = (entry.name, entry.version, entry.digest)
        here.add(key)
        found.append(_with_history(entry, ran.get(key), withdrawn))
    before = [_of_the_past(each, withdrawn) for key, each in ran.items() if key not in here]
    return sorted([*found, *before], key=lambda each: (each.name, not each.installed))


def _of_ledger(
    site: Configuration | None,
) -> tuple[dict[tuple[str, str, str], PluginVersionRecord], dict[tuple[str, str], str]]:
    try:
        ledger = open_ledger(site) if site else None
    except NotFoundError:
        ledger = None
    if ledger is None:
        return {}, {}
    with ledger.reading() as database:
        ran = {(each.plugin, each.version, each.digest): each for each in plugin_versions.every(database)}
        out = {(each.plugin, each.version): f"{each.sentence} ({each.by})" for each in recalls.in_force(database)}
    return ran, out


def _installed(
    name: str, manifest: Manifest, configuration: Configuration, site: Configuration | None
) -> InventoryEntry:
    use = next((use for known, use in configuration.plugins.items() if key_of(known) == name), None)
    return _entry(
        name,
        asdict(manifest.identity) | {"software_digest": _digest(manifest, site)},
        manifest.stated,
        allowed_by=use.allowed_by if use else "",
        installed=True,
    )


def _digest(manifest: Manifest, site: Configuration | None) -> str:
    """Empty where its files cannot be read: `plugin list` says so."""
    try:
        return digests.for_command(site.node.data if site else None).of(manifest).software
    except (NodeError, OSError):
        return ""


def _with_history(
    entry: InventoryEntry, ran: PluginVersionRecord | None, withdrawn: Mapping[tuple[str, str], str]
) -> InventoryEntry:
    values = asdict(entry) | {"withdrawn": withdrawn.get((entry.name, entry.version), "")}
    if ran is not None:
        values |= {"since": ran.since, "jobs": ran.jobs, "failures": ran.failures}
        values["allowed_by"] = entry.allowed_by or ran.allowed_by
    return InventoryEntry(**values)


def _of_the_past(ran: PluginVersionRecord, withdrawn: Mapping[tuple[str, str], str]) -> InventoryEntry:
    entry = _entry(ran.plugin, ran.algorithm, ran.about, allowed_by=ran.allowed_by, installed=False)
    return _with_history(entry, ran, withdrawn)


def _entry(
    name: str, algorithm: Mapping[str, Any], about: Mapping[str, str], *, allowed_by: str, installed: bool
) -> InventoryEntry:
    said = {key: str(algorithm.get(key) or "") for key in ("version", "manufacturer", "intended_use", "udi")}
    stated = {key: about.get(key, "") for key in ("clearance", "training_data", "known_limits", "validated_on")}
    return InventoryEntry(
        name=name,
        digest=str(algorithm.get("software_digest") or ""),
        installed=installed,
        since=None,
        allowed_by=allowed_by,
        jobs=0,
        failures=0,
        withdrawn="",
        **said,
        **stated,
    )
