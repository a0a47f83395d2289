"""A Python class as a plugin: `entry = "module:Class"` of the manifest."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from plugins.contract import ContractError, Plugin


def load(folder: Path, entry: str) -> Plugin:
    """Import the class and make it; the plugin's folder is searched first, as Python does for a script.

    Raises whatever importing or making it raises; `ContractError` where there is no such class.
    """
    module_name, _, class_name = entry.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module = importlib.import_module(module_name)
    cls = getattr(module, class_name, None)
    if cls is None:
        raise ContractError(f"runtime.entry: {module_name} has no class {class_name!r}")
    plugin = cls()
    if not isinstance(plugin, Plugin):
        raise ContractError(f"runtime.entry: {class_name} has no method analyse(study, parameters)")
    return plugin
