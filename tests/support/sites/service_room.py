"""The stages around one web service, on a data folder of a test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.config.models import Configuration
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.ledger.database import FILE, Ledger
from node.run import catalogue
from node.run.services.stage import ServiceStage
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.sites.job_site import NOT_ISOLATED
from tests.support.sites.room_elsewhere import RoomElsewhere

MANIFEST = """
schema = 1
outputs = {outputs}
[identity]
name = "lungs"
version = "1"
manufacturer = "Vendor"
intended_use = "Plays a web service."
[runtime]
kind = "http"
service = "ai"
identity = "{identity}"
{runtime}
{rest}
"""
CONCEPT = """
[[concepts]]
value = "1"
scheme = "99TEST"
meaning = "Thing"
"""


def manifest_of(
    runtime: str = "", identity: str = "pseudonym", outputs: str = '["findings", "dicom"]', rest: str = CONCEPT
) -> str:
    """A plugin.toml of the service `ai`, with these lines."""
    return MANIFEST.format(runtime=runtime, identity=identity, outputs=outputs, rest=rest)


class ServiceRoom(RoomElsewhere):
    """Index, run and the stage of one service; a test drives each."""

    def __init__(self, folder: Path, reader: HeaderReader, url: str, **keys: Any) -> None:
        """`keys` of the service; `runtime`, `rest`: lines of plugin.toml; `outputs`; `identity`; `use`."""
        super().__init__(folder, reader)
        self.plugin = "lungs"
        plugin, use = folder / "lungs", keys.pop("use", {})
        plugin.mkdir(exist_ok=True)
        said = {key: keys.pop(key) for key in ("runtime", "identity", "outputs", "rest") if key in keys}
        (plugin / "plugin.toml").write_text(manifest_of(**said))
        self.configuration = Configuration.model_validate(
            {
                "node": {
                    "ae_title": "PACSNODE",
                    "time_zone": "UTC",
                    "data": str(self.data_folder.data),
                    "limits": {"free_space": 0},
                },
                "modalities": {"ct1": {"ae_title": "CT1"}},
                "destinations": {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 11113}},
                "services": {"ai": {"url": url, **keys}},
                "plugins": {"lungs": {"folder": str(plugin), **use}},
            }
        )
        self._begin()

    def _begin(self) -> None:
        configuration = self.configuration
        plugins = catalogue.load(
            configuration.plugins, self.data_folder.data, NOT_ISOLATED, services=configuration.services
        )
        assert "lungs" in plugins.plugins, plugins.problems
        self.index = IndexStage(self.node, configuration, self.reader)
        self.workers = WarmWorkers(self.data_folder.work)
        self.run = RunStage(self.node, configuration, lambda _: plugins, self.workers)
        self.service = ServiceStage("ai", self.node, configuration, lambda _: plugins)

    def close(self) -> None:
        """End the processes."""
        self.service.close()
        self.run._stop(0)
        self.workers.close()

    def restart(self) -> None:
        """A new life on the same data folder: nothing in memory is left."""
        self.close()
        self.ledger = Ledger(self.data_folder.data / FILE)
        self._begin()

    def submit(self) -> None:
        """The run stage hands over what is ready, and the service gets it."""
        self.run.run_once()
        self.service.run_once()

    def passes(self, **duration: float) -> None:
        """Time passes, and the stage of the service looks."""
        self.hand.pass_(**duration)
        self.service.run_once()
