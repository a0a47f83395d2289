"""Which plugin a person means: a folder with a plugin.toml, or a name of the site or of what ships with the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.config import plugins as configured
from node.config.models import Configuration, PluginUse
from node.errors import NotFoundError, UsageError
from node.kit.small_node import kit_configuration
from node.run import catalogue
from node.run.catalogue import SitePlugin
from plugins.manifest import MANIFEST, Manifest, ParameterError
from plugins.manifest_table import ManifestError


@dataclass(frozen=True, slots=True)
class PluginChoice:
    """A plugin by its name, and the configuration to run it by."""

    name: str
    configuration: Configuration

    @property
    def manifest(self) -> Manifest:
        """Its manifest; UsageError where it cannot be used."""
        try:
            manifest = configured.manifest_of(self.name, self.configuration.plugins)
        except ManifestError as error:
            raise UsageError(str(error)) from error
        assert manifest is not None, "the plugin was found"
        return manifest

    def at(self, data: Path) -> SitePlugin:
        """It, ready to be run in this data folder; UsageError where it cannot be used."""
        node = self.configuration.node
        on_its_disk = node.data.exists() and node.data.stat().st_dev == data.stat().st_dev
        free_space = node.limits.free_space if on_its_disk else 0  # what is kept for receiving, which is done there
        found = catalogue.load(
            self.configuration.plugins,
            data,
            free_space=free_space,
            setting=node.isolation,
            containers=node.containers,
            services=self.configuration.services or None,
        )
        try:
            return found.find(self.name)
        except NotFoundError as error:
            raise UsageError(str(error)) from error

    def to_run(self, data: Path) -> SitePlugin:
        """As `at`; UsageError also where nothing of it runs on this machine."""
        plugin = self.at(data)
        if plugin.manifest.runtime.box is not None:
            raise UsageError(f"{self.name} is of kind dicom: only a node can send images to its box (docs/boxes.md)")
        if plugin.manifest.runtime.service is not None and plugin.service is None:
            name = plugin.manifest.runtime.service.service
            raise UsageError(f"{self.name} asks the web service {name}: --config a configuration with services.{name}")
        return plugin


def choose(what: str, site: Configuration | None) -> PluginChoice:
    """The plugin of a folder or a name; `site`: whose limits, parameters and destinations count; UsageError."""
    configuration = site or kit_configuration()
    folder = Path(what)
    if (folder / MANIFEST).is_file() or folder.is_dir():
        if not (folder / MANIFEST).is_file():
            raise UsageError(f"{what}: there is no {MANIFEST} in this folder")
        name = known_as(folder, configuration) or configured.folded(folder.resolve().name)
        uses = {**configuration.plugins}
        uses.setdefault(name, PluginUse(folder=folder.resolve()))
        return PluginChoice(name, configuration.model_copy(update={"plugins": uses}))
    if configured.folder_of(what, configuration.plugins) is None:
        raise UsageError(f"{what}: neither a folder with a {MANIFEST} nor the name of a plugin")
    return PluginChoice(what, configuration)


def known_as(folder: Path, configuration: Configuration) -> str | None:
    """The name under which the site has the plugin of this folder."""
    here = folder.resolve()
    for name, use in configuration.plugins.items():
        if use.folder is not None and use.folder.resolve() == here:
            return name
    return None


def parameters(choice: PluginChoice, texts: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Parameters that a person wrote as text, in the types that the manifest gives them; ParameterError, UsageError."""
    known = {each.name: type(each.default) for each in choice.manifest.parameters}
    return {name: _typed(name, text, known.get(name, str)) for name, text in texts}


def _typed(name: str, text: str, kind: type) -> object:
    try:
        return {"true": True, "false": False}[text] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        raise ParameterError(f"parameter {name!r}: {text!r} is not a value of its type, {kind.__name__}") from error
