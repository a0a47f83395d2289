"""Plugins that are a vendor's box: nothing of them runs on this machine, so there is nothing to execute.

Their attempts are carried out by `node.run.boxes`. What is here answers whoever runs a plugin without a site.
"""

from __future__ import annotations

from pathlib import Path

from node.run.executor import NoExecutor
from node.run.sandbox import Isolation
from plugins.manifest import Manifest


def executor(manifest: Manifest, _work: Path, _isolation: Isolation) -> NoExecutor:
    """See `node.run.kinds.registry.ExecutorOf`."""
    box = manifest.runtime.box
    assert box is not None, "kind dicom names one"
    return NoExecutor(f"kind dicom: only a node that has the box {box.box} under boxes: can send images to it")
