"""`plugin list` and `plugin show`: what the node knows of plugins."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from node.clock import to_text
from node.config import allowing
from node.config import plugins as configured
from node.config.allowing import PluginGrants
from node.config.models import Configuration
from node.desk.site import open_ledger
from node.errors import NotFoundError
from node.kit.chosen import PluginChoice
from node.kit.small_node import kit_configuration
from node.ledger import commissionings, pauses
from node.ledger.connection import Database
from node.ledger.pauses import Pausable
from node.run import catalogue, digests
from node.run.commissioning import commissioning_digest
from node.run.confinement import granted, tried
from node.run.digests import CodeDigests
from node.run.file_digests import FileDigests
from plugins.concepts import Concept
from plugins.manifest import Manifest, Parameter


@dataclass(frozen=True, slots=True)
class PluginEntry:
    """One line of the list."""

    name: str
    version: str
    origin: str
    """`site` or `built in`."""
    state: str
    used_by: tuple[str, ...]
    """Rules."""
    unusable: bool = False
    """It cannot be used as the site wants it; `state` says why."""


def entries(site: Configuration | None, refused: Mapping[str, str] = MappingProxyType({})) -> list[PluginEntry]:
    """All plugins of a site, and those that ship with the node.

    `refused`: plugin → why the site's configuration cannot be used as long as it is so.
    """
    configuration = site or kit_configuration()
    with _database(site) as database, tempfile.TemporaryDirectory(prefix="pacsnode-") as data:
        node = configuration.node
        known = catalogue.load(configuration.plugins, Path(data), setting=node.isolation, containers=node.containers)
        stopped = pauses.every(database) if database else []
        paused = {each.name for each in stopped if each.what is Pausable.PLUGIN}
        wrong = {**known.problems, **refused}
        found = []
        for name in sorted({*known.plugins, *wrong}):
            manifest = known.plugins[name].manifest if name in known.plugins else None
            state = wrong.get(name) or ("paused" if name in paused else _state(name, manifest, database, site))
            origin = "site" if name in configuration.plugins and configuration.plugins[name].folder else "built in"
            rules = tuple(
                rule.name
                for rule in configuration.rules
                if any(configured.folded(step.plugin) == configured.folded(name) for step in rule.run)
            )
            is_wanted = bool(rules) or name in configuration.plugins
            version = manifest.identity.version if manifest else ""
            found.append(PluginEntry(name, version, origin, state, rules, name in wrong and is_wanted))
    return found


def _code(site: Configuration | None) -> CodeDigests:
    return digests.for_command(site.node.data if site else None)


def _state(name: str, manifest: Manifest | None, database: Database | None, site: Configuration | None) -> str:
    assert manifest is not None, "what cannot be used has its problem"
    digest = commissioning_digest(manifest, _code(site), FileDigests())
    if not digest:
        return "usable; it has no examples"
    known = commissionings.of_digest(database, name, digest) if database else None
    if known is None:
        return "usable; its examples were not run as it is now"
    return f"examples passed {to_text(known.at)}" if known.passed else f"NOT LIVE: {known.detail.splitlines()[0]}"


def facts(choice: PluginChoice, site: Configuration | None) -> list[tuple[str, str]]:
    """What the node understands of one plugin, in lines with a name; UsageError where it cannot be used."""
    manifest = choice.manifest
    with tempfile.TemporaryDirectory(prefix="pacsnode-") as data:
        plugin = choice.at(Path(data))
    identity, runtime, digest = manifest.identity, manifest.runtime, _code(site).of(manifest)
    runs = runtime.entry or " ".join(part for part in (runtime.image, *runtime.command) if part)
    if runtime.kind.is_elsewhere:
        runs = (
            f"the service {runtime.service.service}"
            if runtime.service
            else f"the box {runtime.box.box if runtime.box else ''}"
        )
    lines = [
        ("plugin", f"{identity.name} {identity.version} ({identity.manufacturer})"),
        ("use", identity.intended_use),
        ("folder", str(manifest.folder)),
        ("runs", f"{runtime.kind}: {runs}"),
        *((("interpreter", runtime.executable),) if runtime.has_worker else ()),
        ("outputs", ", ".join(manifest.outputs)),
        *(("concept", _concept(each)) for each in manifest.concepts),
        *(("parameter", _parameter(each, plugin.site_parameters)) for each in manifest.parameters),
        ("limits", f"{plugin.limits.deadline_seconds:g} s, {plugin.limits.memory_bytes / 2**20:g} MiB of memory"),
        ("at once", f"{plugin.at_once}, {plugin.attempts} attempts"),
        ("identity", f"{runtime.identity}: what it learns of who the patient is"),
        ("isolation", tried(choice.configuration).text_of(choice.name)),
        ("asks for", ", ".join(allowing.lacking(runtime.privileges, PluginGrants())) or "nothing beyond its own job"),
        ("privileges", granted(choice.name, plugin.isolation)),
        ("digest", f"{digest.software} (what the vendor gave), {digest.whole} (all that runs)"),
        *((("weights", digest.weights),) if digest.weights else ()),
    ]
    with _database(site) as database:
        last = commissionings.last(database, choice.name) if database else None
        told = f"{'passed' if last.passed else 'FAILED'} {to_text(last.at)}: {last.detail}" if last else "never"
        now = commissioning_digest(manifest, _code(site), FileDigests())
        changed = "; what runs has changed since" if last and last.digest != now else ""
        return [*lines, ("examples", f"{told}{changed}")]


def _concept(concept: Concept) -> str:
    code = concept.code
    lowest = "" if concept.minimum is None else f", from {concept.minimum:g}"
    highest = "" if concept.maximum is None else f", to {concept.maximum:g}"
    return (
        f"{code.meaning} ({code.value}, {code.scheme}){f' in {concept.unit}' if concept.unit else ''}{lowest}{highest}"
    )


def _parameter(parameter: Parameter, site: Mapping[str, object]) -> str:
    here = f", {site[parameter.name]!r} at this site" if parameter.name in site else ""
    return f"{parameter.name} = {parameter.default!r}{here}: {parameter.description}"


@contextmanager
def _database(site: Configuration | None) -> Iterator[Database | None]:
    """A snapshot of the site's ledger; None where there is none yet."""
    try:
        ledger = open_ledger(site) if site else None
    except NotFoundError:
        ledger = None
    if ledger is None:
        yield None
        return
    with ledger.snapshot() as database:
        yield database
