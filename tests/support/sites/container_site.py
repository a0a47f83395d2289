"""A site whose plugins are container images of busybox: what each does is a line of its shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from node.config.models import PluginUse
from node.ledger.job import Job
from tests.support.programs.podman import PodmanStore
from tests.support.sites.job_site import MANIFEST, Site

NOTHING_FOUND = json.dumps({"schema": 1, "status": "not_applicable", "summary": "Not for me."})
ANSWERS = f"echo '{NOTHING_FOUND}' >/job/out/part && mv /job/out/part /job/out/result.json"
"""A line of shell that leaves a result."""


class ContainerSite(Site):
    """With podman's store."""

    def __init__(self, folder: Path, podman: PodmanStore) -> None:
        super().__init__(folder)
        self.podman = podman

    def container(self, name: str, lines: str, use: dict[str, Any] | None = None, identity: str = "full") -> Path:
        """A plugin whose `[runtime]` has these lines; its folder."""
        folder = self.folder / "plugins" / name
        folder.mkdir(parents=True)
        runtime = f'kind = "container"\n{lines}'
        (folder / "plugin.toml").write_text(MANIFEST.format(name=name, identity=identity, runtime=runtime))
        self.uses[name] = PluginUse(folder=folder, **(use or {}))
        return folder

    def shell_job(self, script: str, *, use: dict[str, Any] | None = None, **keys: Any) -> Job:
        """A job on two images for a plugin that runs this in its container's shell."""
        lines = {"image": self.podman.shell, "command": ["-c", script], **keys}
        raw = str(lines.pop("_raw", ""))
        text = "\n".join([*(f"{key} = {json.dumps(value)}" for key, value in lines.items()), raw])
        self.container("shell", text, use={"attempts": 1, **(use or {})})
        receipts = self.receive(2)
        self.complete()
        return self.job("shell", receipts)
