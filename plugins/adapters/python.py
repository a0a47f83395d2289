"""A Python class as a plugin: `entry = "module:Class"` of the manifest."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
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
    if not isinstance(cls, type):
        raise ContractError(f"runtime.entry: {class_name} is not a class but {_kind(cls)}")
    if not _takes(cls):
        raise ContractError(f"runtime.entry: {class_name} is made without arguments, but its __init__ wants some")
    plugin = cls()
    if not isinstance(plugin, Plugin):
        raise ContractError(f"runtime.entry: {class_name} has no method analyse(study, parameters)")
    if not _takes(plugin.analyse, "study", "parameters"):
        takes = inspect.signature(plugin.analyse)
        raise ContractError(f"runtime.entry: {class_name}.analyse gets study and parameters, but takes {takes}")
    return plugin


def _kind(entry: object) -> str:
    return "a function" if inspect.isroutine(entry) else f"an instance of {type(entry).__name__}"


def _takes(function: Callable[..., object], *arguments: str) -> bool:
    """Whether it can be called with these, one after the other; true where it does not say what it takes."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True
