"""Plugins that are a web service: nothing of them runs on this machine, so there is nothing to execute.

Their attempts are carried out by `node.run.services`.
"""

from __future__ import annotations

from pathlib import Path

from node.run.executor import NoExecutor
from node.run.sandbox import Isolation
from plugins.manifest import Manifest


def executor(manifest: Manifest, _work: Path, _isolation: Isolation) -> NoExecutor:
    """See `node.run.kinds.registry.ExecutorOf`."""
    service = manifest.runtime.service
    assert service is not None, "kind http names one"
    return NoExecutor(f"kind http: only a node that has {service.service} under services: can ask it")
