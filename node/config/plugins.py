"""Which plugin a name of the configuration means, and what its manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from node.config.models import PluginUse
from plugins import manifest
from plugins.manifest import Manifest

_BUILT_IN = Path(manifest.__file__).parent


def built_in() -> dict[str, Path]:
    """Folders of the plugins that ship with the node, by the name a configuration calls them (`lung-density`)."""
    folders = sorted(path.parent for path in _BUILT_IN.glob(f"*/{manifest.MANIFEST}"))
    return {folded(folder.name): folder for folder in folders}


def folded(name: str) -> str:
    """A plugin's name as names are compared: `lung_density` is `lung-density`."""
    return name.replace("_", "-")


def use_for_manifest(folder: Path | None, providers: object) -> PluginUse:
    """What its manifest depends on, of a section that was not validated: without providers that cannot be."""
    try:
        return PluginUse.model_validate({"folder": folder, "providers": providers})
    except ValidationError:
        return PluginUse(folder=folder)


def _use_of(name: str, uses: Mapping[str, PluginUse]) -> PluginUse | None:
    return next((use for known, use in uses.items() if folded(known) == folded(name)), None)


def folder_of(name: str, uses: Mapping[str, PluginUse]) -> Path | None:
    """The folder of the plugin that a rule calls `name`; None where there is no such plugin."""
    use = _use_of(name, uses)
    if use is not None and use.folder is not None:
        return use.folder
    return built_in().get(folded(name))


def manifest_of(name: str, uses: Mapping[str, PluginUse]) -> Manifest | None:
    """The manifest of the plugin called `name`, with the site's providers; None where there is none; ManifestError."""
    folder, use = folder_of(name, uses), _use_of(name, uses)
    return None if folder is None else manifest.load(folder).with_providers(use.providers if use else ())
