"""Which plugin a name of the configuration means, and what its manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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


def folder_of(name: str, uses: Mapping[str, PluginUse]) -> Path | None:
    """The folder of the plugin that a rule calls `name`; None where there is no such plugin."""
    use = next((use for known, use in uses.items() if folded(known) == folded(name)), None)
    if use is not None and use.folder is not None:
        return use.folder
    return built_in().get(folded(name))


def manifest_of(name: str, uses: Mapping[str, PluginUse]) -> Manifest | None:
    """The manifest of the plugin called `name`, None where there is no such plugin; ManifestError."""
    folder = folder_of(name, uses)
    return None if folder is None else manifest.load(folder)
