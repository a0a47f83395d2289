"""The plugin that a request names: a class, or a model file."""

from __future__ import annotations

from pathlib import Path

from plugins.adapters import python
from plugins.contract import Plugin
from plugins.runtime import ONNX_ENTRY


def load(folder: Path, entry: str) -> Plugin:
    """Make the plugin of a folder; raises what `plugins.adapters.python.load` raises, or ModelError."""
    if entry != ONNX_ENTRY:
        return python.load(folder, entry)
    from plugins.adapters import onnx  # scipy, and all that gives outputs a meaning

    return onnx.load(folder)
