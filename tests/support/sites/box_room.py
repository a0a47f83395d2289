"""The stages around one vendor's box, on a data folder of a test's own; what the box sends is put into `incoming/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from node.clock import to_text
from node.config.models import Configuration
from node.errors import NodeError
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.ledger import alerts, attempts, box_answers, instances, jobs
from node.ledger.attempts import Attempt
from node.ledger.box_answers import BoxAnswer
from node.ledger.database import FILE, Ledger
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job
from node.run import catalogue
from node.run.boxes.stage import BoxStage
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.clocks import HandClock
from tests.support.images.receipts import STUDY, arrive, compressed, ct
from tests.support.sites.job_site import NOT_ISOLATED, Site

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


class BoxRoom(Site):
    """Index, run and the stage of one box; a test drives each."""

    def __init__(self, folder: Path, reader: HeaderReader, port: int, **keys: Any) -> None:
        """`keys` of the box; `runtime`: lines of its plugin.toml; `use`: keys of the plugin; `identity`."""
        super().__init__(folder, HandClock(datetime(2026, 3, 1, 12, tzinfo=UTC)))
        runtime, identity = keys.pop("runtime", "quiet_seconds = 30"), keys.pop("identity", "pseudonym")
        use = keys.pop("use", {})
        plugin = folder / "cad"
        plugin.mkdir(exist_ok=True)
        (plugin / "plugin.toml").write_text(MANIFEST.format(runtime=runtime, identity=identity))
        self.reader = reader
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

    def study_with_job(self, images: int = 3, study: str = STUDY, chosen: int | None = None, **job: Any) -> Job:
        """A CT study of this many images that is complete, and a job on the first `chosen` of them.

        `changes`: attributes of its images; `syntax`: JPEG-LS, lossless or near-lossless.
        """
        changes, syntax = job.pop("changes", {}), job.pop("syntax", str(ExplicitVRLittleEndian))
        for number in range(1, images + 1):
            uid, series = f"{study}.1.{number}", f"{study}.1"
            image = ct(number, StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=uid, **changes)
            if syntax != ExplicitVRLittleEndian:
                image = compressed(image, str(JPEGLSLossless))  # which is a stream of its near-lossless sister, too
            arrive(self.data_folder, image, syntax=syntax)
        self.index.run_once()
        self.clock.pass_(minutes=10)  # type: ignore[attr-defined]
        self.index.run_once()
        receipts = [each.receipt for each in instances.of_study(self.ledger.database, study)]
        assert len(receipts) == images
        return self.job("cad", receipts[:chosen], study=study, parameters={}, **{"inputs_digest": study} | job)

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
        self.clock.pass_(**duration)  # type: ignore[attr-defined]
        self.box.run_once()

    def attempt(self, job: Job) -> Attempt:
        """Its newest attempt."""
        found = attempts.last_of(self.ledger.database, job.id)
        assert found is not None
        return found

    def unmatched(self) -> list[BoxAnswer]:
        """What waits for a person."""
        return box_answers.unmatched(self.ledger.database)

    def alerts(self) -> list[str]:
        """Kinds of the open alerts."""
        return sorted(each.kind for each in alerts.every(self.ledger.database, closed=False))

    def statuses(self, study: str = STUDY) -> list[str]:
        """What the received objects of a study count as."""
        return [str(each.status) for each in instances.of_study(self.ledger.database, study, list(InstanceStatus))]

    def get_by_id(self, job: str) -> Job:
        """The job of this id."""
        return jobs.get(self.ledger.database, job)
