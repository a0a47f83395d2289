"""The stages around one vendor's box, on a data folder of a test's own; what the box sends is put into `incoming/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset

from node.clock import to_text
from node.config.models import Configuration
from node.errors import NodeError
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.ledger import box_answers, instances, jobs
from node.ledger.box_answers import BoxAnswer
from node.ledger.database import FILE, Ledger
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job
from node.run import catalogue
from node.run.boxes.stage import BoxStage
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.images.receipts import STUDY, arrive
from tests.support.sites.job_site import NOT_ISOLATED
from tests.support.sites.room_elsewhere import RoomElsewhere

MANIFEST = """
schema = 1
outputs = ["dicom"]
[identity]
name = "cad"
version = "1"
manufacturer = "Vendor"
intended_use = "Plays a vendor's box."
[runtime]
kind = "dicom"
box = "cad"
identity = "{identity}"
{runtime}
[[concepts]]
value = "1"
scheme = "99TEST"
meaning = "Thing"
"""


class ArchiveOfSeries:
    """Has the series that a test says."""

    def __init__(self) -> None:
        self.series: dict[str, dict[str, str]] = {}
        self.moved: list[str] = []
        self.fails: NodeError | None = None

    def add(self, uid: str, modality: str, instances: int = 1) -> None:
        """It has this series from now on."""
        said = {"Modality": modality, "SeriesDescription": "", "NumberOfSeriesRelatedInstances": str(instances)}
        self.series[uid] = {"SeriesInstanceUID": uid, **said}

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        if self.fails:
            raise self.fails
        return [*self.series.values()]

    def move(self, study_instance_uid: str, series_instance_uid: str, to: str, within: float) -> int | None:
        self.moved.append(series_instance_uid)
        return 1


class BoxRoom(RoomElsewhere):
    """Index, run and the stage of one box; a test drives each."""

    def __init__(self, folder: Path, reader: HeaderReader, port: int, **keys: Any) -> None:
        """`keys` of the box; `runtime`: lines of its plugin.toml; `use`: keys of the plugin; `identity`."""
        super().__init__(folder, reader)
        self.plugin = "cad"
        runtime, identity = keys.pop("runtime", "quiet_seconds = 30"), keys.pop("identity", "pseudonym")
        use = keys.pop("use", {})
        plugin = folder / "cad"
        plugin.mkdir(exist_ok=True)
        (plugin / "plugin.toml").write_text(MANIFEST.format(runtime=runtime, identity=identity))
        self.archive = ArchiveOfSeries()
        self.configuration = Configuration.model_validate(
            {
                "node": {"ae_title": "PACSNODE", "time_zone": "UTC", "data": str(self.data_folder.data)},
                "modalities": {"ct1": {"ae_title": "CT1"}},
                "destinations": {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 11113}},
                "boxes": {"cad": {"ae_title": "CADBOX", "host": "127.0.0.1", "port": port, "timeout": "20s", **keys}},
                "plugins": {"cad": {"folder": str(plugin), **use}},
            }
        )
        self._begin()

    def _begin(self) -> None:
        configuration = self.configuration
        plugins = catalogue.load(configuration.plugins, self.data_folder.data, NOT_ISOLATED, boxes=configuration.boxes)
        assert "cad" in plugins.plugins, plugins.problems
        self.index = IndexStage(self.node, configuration, self.reader)
        self.workers = WarmWorkers(self.data_folder.work)
        self.run = RunStage(self.node, configuration, lambda _: plugins, self.workers)
        self.box = BoxStage("cad", self.node, configuration, lambda _: plugins, lambda *_: self.archive)

    def close(self) -> None:
        """End the processes."""
        self.box.close()
        self.run._stop(0)
        self.workers.close()

    def restart(self) -> None:
        """A new life on the same data folder: nothing in memory is left."""
        self.close()
        self.ledger = Ledger(self.data_folder.data / FILE)
        self._begin()

    def send(self) -> None:
        """The run stage hands over what is ready, and the box gets it."""
        self.run.run_once()
        self.box.run_once()

    def arrives(self, objects: Sequence[Dataset], calling: str = "CADBOX", **how: Any) -> None:
        """These come from the box, are indexed, and their attempt is found."""
        for each in objects:
            arrive(self.data_folder, each, calling=calling, received_at=to_text(self.clock.now()), **how)
        self.index.run_once()
        self.box.run_once()

    def passes(self, **duration: float) -> None:
        """Time passes, and the stage of the box looks."""
        self.hand.pass_(**duration)
        self.box.run_once()

    def unmatched(self) -> list[BoxAnswer]:
        """What waits for a person."""
        return box_answers.unmatched(self.ledger.database)

    def statuses(self, study: str = STUDY) -> list[str]:
        """What the received objects of a study count as."""
        return [str(each.status) for each in instances.of_study(self.ledger.database, study, list(InstanceStatus))]

    def get_by_id(self, job: str) -> Job:
        """The job of this id."""
        return jobs.get(self.ledger.database, job)
