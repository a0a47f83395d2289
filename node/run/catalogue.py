"""The plugins of this site: what their manifests say, joined with what the configuration says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from node.config import allowing
from node.config import plugins as configured
from node.config.allowing import PluginIsolation
from node.config.boxes import VendorBox
from node.config.envelope import EnvelopeUse
from node.config.models import Configuration, PluginUse
from node.config.problems import ConfigurationError, Place, Problem
from node.config.services import WebService
from node.errors import NotFoundError, PermanentError
from node.ledger.plugin_versions import PluginVersion
from node.run import network, sandbox, users
from node.run.containers import engine
from node.run.executor import AttemptLimits, Executor
from node.run.kinds.program import ProgramExecutor
from node.run.kinds.python import PythonExecutor
from node.run.kinds.registry import confinement_of, executor_of
from node.run.sandbox import Isolation, isolation
from plugins.manifest import MANIFEST, Manifest, ParameterError, ParameterValue
from plugins.manifest_table import ManifestError
from plugins.privileges import Privileges
from plugins.resources import Resources

_MARGIN = 8
"""A plugin is ended while an eighth more than the receivers want is free: before they refuse anything."""


@dataclass(frozen=True, slots=True)
class SiteBox:
    """The box of a plugin of kind dicom, at this site."""

    name: str
    settings: VendorBox
    calling_ae_title: str | None
    """What we call ourselves there for this plugin; None: `node.ae_title`."""


@dataclass(frozen=True, slots=True)
class SiteService:
    """The web service of a plugin of kind http, at this site."""

    name: str
    settings: WebService


@dataclass(frozen=True)
class SitePlugin:
    """One plugin, ready to be run."""

    name: str
    """As the configuration or, for a built-in plugin, its folder calls it."""
    manifest: Manifest
    executor: Executor
    limits: AttemptLimits
    resources: Resources
    """What a job of it needs to start; its memory is said in any case."""
    at_once: int
    attempts: int
    site_parameters: Mapping[str, object]
    isolation: Isolation
    """How it is confined, and what it gets beyond its own job."""
    box: SiteBox | None = None
    """Where its jobs are done, if that is a box."""
    service: SiteService | None = None
    """Where its jobs are done, if that is a web service."""
    allowed_by: str = ""
    """Who allowed it, as the site states it."""
    envelope: EnvelopeUse = field(default_factory=EnvelopeUse)
    """What is done with images that it was not validated on."""

    @property
    def elsewhere(self) -> str:
        """The system that does its jobs, by the name of the configuration; "" where that is this machine."""
        found = self.box or self.service
        return found.name if found else ""

    def version_of(self, algorithm: Mapping[str, Any]) -> PluginVersion:
        """What the inventory keeps of it; `algorithm`: its identity as it runs."""
        stated = self.manifest.stated
        return PluginVersion(self.name, self.manifest.identity.version, algorithm, stated, self.allowed_by)

    def parameters_for(self, asked: Mapping[str, object]) -> dict[str, ParameterValue]:
        """All parameters of a job: the rule's, else the site's, else the plugin's own; ParameterError."""
        return self.manifest.parameters_for({**self.site_parameters, **asked})


@dataclass(frozen=True)
class Catalogue:
    """All plugins of this site."""

    plugins: Mapping[str, SitePlugin] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    """Plugin → why it cannot be used, for `check`."""

    @property
    def has_any_elsewhere(self) -> bool:
        """Whether jobs of some need no room of this machine."""
        return any(plugin.elsewhere for plugin in self.plugins.values())

    def is_elsewhere(self, name: str) -> bool:
        """Whether a job of the plugin of this name needs no room of this machine."""
        wanted = configured.folded(name)
        return any(plugin.elsewhere and configured.folded(known) == wanted for known, plugin in self.plugins.items())

    def find(self, name: str) -> SitePlugin:
        """The plugin of this name, written with `-` or `_`; NotFoundError."""
        wanted = configured.folded(name)
        for known, plugin in self.plugins.items():
            if configured.folded(known) == wanted:
                return plugin
        why = next((text for known, text in self.problems.items() if configured.folded(known) == wanted), "")
        raise NotFoundError(f"plugin {name} cannot be used: {why}" if why else f"there is no plugin {name}")

    def parameters_for(self, name: str, asked: Mapping[str, object]) -> dict[str, ParameterValue]:
        """See `SitePlugin.parameters_for`; NotFoundError, ParameterError."""
        return self.find(name).parameters_for(asked)


def load(
    uses: Mapping[str, PluginUse],
    data: Path,
    confinement: Isolation | None = None,
    *,
    free_space: int = 0,
    setting: PluginIsolation = "auto",
    containers: str = engine.AUTO,
    boxes: Mapping[str, VendorBox] | None = None,
    services: Mapping[str, WebService] | None = None,
) -> Catalogue:
    """All plugins that the configuration names and all that ship with the node.

    `free_space`: bytes on the disk of the data folder below which receivers refuse associations. `setting`: how the
    site wants those to be confined that say nothing of it. `containers`: what it runs container images with. `boxes`,
    `services`: those of the site; None where there is no site.

    Starts nothing and writes nothing, except that an interpreter of a plugin's own is asked for its paths.
    """
    confinement = confinement or isolation()
    plugins: dict[str, SitePlugin] = {}
    problems: dict[str, str] = {}
    named = {configured.folded(name) for name in uses}
    for name in [*uses, *(name for name in configured.built_in() if configured.folded(name) not in named)]:
        try:
            use = uses.get(name, PluginUse())
            as_wanted = sandbox.as_set(confinement, use.isolation or setting)
            isolation_of = replace(as_wanted, containers=containers)
            loaded = _load(name, uses, data.resolve(), isolation_of, free_space)
            loaded = loaded if boxes is None else _at_its_box(loaded, use, boxes)
            plugins[name] = loaded if services is None else _at_its_service(loaded, services)
        except (ManifestError, ParameterError, PermanentError) as error:
            problems[name] = str(error)
    return Catalogue(plugins, problems)


def of(configuration: Configuration) -> Catalogue:
    """All plugins; see `load`."""
    node = configuration.node
    return load(
        configuration.plugins,
        node.data,
        free_space=node.limits.free_space,
        setting=node.isolation,
        containers=node.containers,
        boxes=configuration.boxes,
        services=configuration.services,
    )


class Catalogues:
    """The catalogues of configurations that are in use: each is read once, so that all stages have the same."""

    def __init__(self) -> None:
        self._known: list[tuple[Configuration, Catalogue]] = []

    def of(self, configuration: Configuration) -> Catalogue:
        """All plugins of this very configuration, as they were when this was first called; see `load`."""
        for known, plugins in self._known:
            if known is configuration:
                return plugins
        self._known.append((configuration, of(configuration)))
        return self._known[-1][1]

    def keep_only(self, configuration: Configuration) -> None:
        """The others are not in use any more."""
        self._known = [each for each in self._known if each[0] is configuration]


def usable(configuration: Configuration) -> Catalogue:
    """All plugins; see `check_usable`."""
    plugins = of(configuration)
    check_usable(configuration, plugins)
    return plugins


def check_usable(configuration: Configuration, plugins: Catalogue) -> None:
    """ConfigurationError where one that the configuration uses cannot be used."""
    used = {step.plugin for rule in configuration.rules for step in rule.run} | set(configuration.plugins)
    broken = []
    for name in sorted(used):
        try:
            plugins.find(name)
        except NotFoundError as error:
            broken.append(Problem(Place("plugins", 0, 0), "", str(error)))
    if broken:
        raise ConfigurationError(broken)


def _check_there(granted: Privileges) -> None:
    """PermanentError where this machine has not what a plugin was granted."""
    for path in granted.readable:
        if not path.exists():
            raise PermanentError(f"runtime.readable: {path} is not there")
    for name, value in granted.environment:
        if isinstance(value, Path) and not value.is_file():
            raise PermanentError(f"runtime.environment: {name}: there is no file {value}")
    if granted.gpu and not sandbox.gpus():
        raise PermanentError("runtime.gpu: this machine has no GPU device")
    try:
        network.routes((each.host, each.port) for each in granted.network)
    except ValueError as error:
        raise PermanentError(f"runtime.network: {error}") from error


def _check_readable(confinement: Isolation, paths: Iterable[Path]) -> None:
    """PermanentError where the user that the plugin runs as may not read what it needs."""
    user = confinement.sandbox.user if confinement.sandbox else None
    if user is None:
        return
    for path in paths:
        if path.exists() and not users.may_read(path):
            raise PermanentError(f"plugins run as {user.name}, who may not read {path}: chmod -R o+rX {path}")


def _load(name: str, uses: Mapping[str, PluginUse], data: Path, confinement: Isolation, free_space: int) -> SitePlugin:
    manifest = configured.manifest_of(name, uses)
    if manifest is None:
        raise NotFoundError(f"there is no built-in plugin of this name, and no folder is given: plugins.{name}.folder")
    use = uses.get(name, PluginUse())
    most_memory = use.memory or manifest.runtime.memory_mb * 2**20
    resources = _resources(use, manifest.runtime.resources, most_memory)
    limits = AttemptLimits(
        deadline_seconds=use.deadline.total_seconds() if use.deadline else manifest.runtime.deadline_seconds,
        memory_bytes=most_memory,
        processors=resources.cpus,
        keep_free_bytes=free_space + free_space // _MARGIN,
        loading_seconds=manifest.runtime.loading_seconds,
        worker_jobs=1 if use.warm == "off" else use.warm.jobs,
        worker_idle_seconds=0.0 if use.warm == "off" else use.warm.idle.total_seconds(),
    )
    granted = allowing.in_force(manifest.runtime.privileges, use.allow)
    _check_there(granted)
    confinement = confinement_of(manifest, replace(confinement, privileges=granted))
    executor = executor_of(manifest, data / "work", confinement)
    own = executor.line.readable if isinstance(executor, ProgramExecutor | PythonExecutor) else ()
    own = tuple(path for path in own if not path.is_relative_to(data))  # what the node writes there it writes again
    _check_readable(confinement, [manifest.folder, manifest.folder / MANIFEST, *own, *granted.readable])
    plugin = SitePlugin(
        name=name,
        manifest=manifest,
        executor=executor,
        limits=limits,
        resources=resources,
        at_once=use.at_once,
        attempts=use.attempts,
        site_parameters=use.parameters,
        isolation=confinement,
        allowed_by=use.allowed_by,
        envelope=use.envelope,
    )
    plugin.parameters_for({})
    return plugin


def _at_its_box(plugin: SitePlugin, use: PluginUse, boxes: Mapping[str, VendorBox]) -> SitePlugin:
    """With the box that its manifest names; PermanentError where the site has none of this name."""
    wanted = plugin.manifest.runtime.box
    if wanted is None:
        return plugin
    if wanted.box not in boxes:
        raise PermanentError(f"runtime.box: the configuration has no box {wanted.box} (boxes:)")
    settings = boxes[wanted.box]
    box = SiteBox(wanted.box, settings, use.calling_ae_title or settings.calling_ae_title)
    return replace(plugin, box=box, attempts=1 if settings.charged else plugin.attempts)


def _at_its_service(plugin: SitePlugin, services: Mapping[str, WebService]) -> SitePlugin:
    """With the web service that its manifest names; PermanentError where the site has none of this name."""
    wanted = plugin.manifest.runtime.service
    if wanted is None:
        return plugin
    if wanted.service not in services:
        raise PermanentError(f"runtime.service: the configuration has no service {wanted.service} (services:)")
    return replace(plugin, service=SiteService(wanted.service, services[wanted.service]))


def _resources(use: PluginUse, stated: Resources, most_memory: int) -> Resources:
    """What the site says, else the plugin."""
    said = {name: value for name, value in use.resources if value is not None}
    found = replace(stated, **said)
    return found if found.memory else replace(found, memory=most_memory)
