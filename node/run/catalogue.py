"""The plugins of this site: what their manifests say, joined with what the configuration says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from node.config import plugins as configured
from node.config.models import Configuration, PluginUse
from node.config.problems import ConfigurationError, Place, Problem
from node.errors import NotFoundError, PermanentError
from node.run.executor import Executor, Limits
from node.run.kinds import command
from node.run.sandbox import Isolation, isolation
from plugins.manifest import Manifest, ManifestError, ParameterError, ParameterValue


@dataclass(frozen=True)
class SitePlugin:
    """One plugin, ready to be run."""

    name: str
    """As the configuration or, for a built-in plugin, its folder calls it."""
    manifest: Manifest
    executor: Executor
    limits: Limits
    at_once: int
    attempts: int
    site_parameters: Mapping[str, object]

    def parameters_for(self, asked: Mapping[str, object]) -> dict[str, ParameterValue]:
        """All parameters of a job: the rule's, else the site's, else the plugin's own; ParameterError."""
        return self.manifest.parameters_for({**self.site_parameters, **asked})


@dataclass(frozen=True)
class Catalogue:
    """All plugins of this site."""

    plugins: Mapping[str, SitePlugin] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    """Plugin → why it cannot be used, for `check`."""

    def find(self, name: str) -> SitePlugin:
        """The plugin of this name, written with `-` or `_`; NotFoundError."""
        wanted = _folded(name)
        for known, plugin in self.plugins.items():
            if _folded(known) == wanted:
                return plugin
        why = next((text for known, text in self.problems.items() if _folded(known) == wanted), "")
        raise NotFoundError(f"plugin {name} cannot be used: {why}" if why else f"there is no plugin {name}")

    def parameters_for(self, name: str, asked: Mapping[str, object]) -> dict[str, ParameterValue]:
        """See `SitePlugin.parameters_for`; NotFoundError, ParameterError."""
        return self.find(name).parameters_for(asked)


def load(uses: Mapping[str, PluginUse], data: Path, confinement: Isolation | None = None) -> Catalogue:
    """All plugins that the configuration names and all that ship with the node.

    Starts nothing and writes nothing, except that an interpreter of a plugin's own is asked for its paths.
    """
    confinement = confinement or isolation()
    plugins: dict[str, SitePlugin] = {}
    problems: dict[str, str] = {}
    named = {_folded(name) for name in uses}
    for name in [*uses, *(name for name in configured.built_in() if _folded(name) not in named)]:
        try:
            plugins[name] = _load(name, uses, data.resolve(), confinement)
        except (ManifestError, ParameterError, PermanentError) as error:
            problems[name] = str(error)
    return Catalogue(plugins, problems)


def usable(configuration: Configuration) -> Catalogue:
    """All plugins; ConfigurationError where one that the configuration uses cannot be used."""
    plugins = load(configuration.plugins, configuration.node.data)
    used = {step.plugin for rule in configuration.rules for step in rule.run} | set(configuration.plugins)
    broken = []
    for name in sorted(used):
        try:
            plugins.find(name)
        except NotFoundError as error:
            broken.append(Problem(Place("plugins", 0, 0), "", str(error)))
    if broken:
        raise ConfigurationError(broken)
    return plugins


def _load(name: str, uses: Mapping[str, PluginUse], data: Path, confinement: Isolation) -> SitePlugin:
    manifest = configured.manifest_of(name, uses)
    if manifest is None:
        raise NotFoundError(f"there is no built-in plugin of this name, and no folder is given: plugins.{name}.folder")
    use = uses.get(name, PluginUse())
    plugin = SitePlugin(
        name=name,
        manifest=manifest,
        executor=command.executor_for(manifest, data / "work", confinement),
        limits=Limits(
            deadline_seconds=use.deadline.total_seconds() if use.deadline else manifest.runtime.deadline_seconds,
            memory_bytes=use.memory or manifest.runtime.memory_mb * 2**20,
        ),
        at_once=use.at_once,
        attempts=use.attempts,
        site_parameters=use.parameters,
    )
    plugin.parameters_for({})
    return plugin


def _folded(name: str) -> str:
    return name.replace("_", "-")
