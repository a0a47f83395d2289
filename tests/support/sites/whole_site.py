"""Every stage over one data folder, and a PACS that keeps what it gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydicom import dcmread

from node.commit.stage import CommitStage
from node.config.models import Configuration
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.deliver.ways.archive import Kind
from node.deliver.ways.dimse import dimse
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.ledger import jobs
from node.ledger.job import Job
from node.outcome import AnswerReading
from node.results import making
from node.results.stage import ResultsStage
from node.route.stage import RouteStage
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from node.store.durable import sha256_of
from node.store.journal import Journal
from tests.support.clocks import HandClock
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import Site
from tests.support.sites.result_site import SHARED_ENCODER
from tests.support.wait import until

START = datetime(2026, 3, 2, tzinfo=UTC)


class KeepingPacs:
    """Keeps the headers of what it gets, and outlives every node; it answers C-FIND by them."""

    is_open = True

    def __init__(self) -> None:
        self.headers: dict[str, dict[str, str]] = {}
        """By SOP Instance UID."""
        self.contents: dict[str, set[str]] = {}
        """SHA-256 of all that came under a SOP Instance UID."""
        self.received: list[str] = []
        """SOP Instance UIDs in the order in which they came."""
        self.fails: Exception | None = None
        """What every question at series level is answered with."""

    def of_study(self, study: str) -> list[str]:
        """SOP Instance UIDs of its objects, in the order in which they came first."""
        return [uid for uid, header in self.headers.items() if header["StudyInstanceUID"] == study]

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        return [{"StudyInstanceUID": study_instance_uid}]

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        if self.fails:
            raise self.fails
        found = {
            header["SeriesInstanceUID"]: {keyword: header.get(keyword, "") for keyword in keywords}
            for header in self.headers.values()
            if header["StudyInstanceUID"] == study_instance_uid
        }
        return [*found.values()]

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        return [
            {keyword: header.get(keyword, "") for keyword in keywords}
            for header in self.headers.values()
            if header["SeriesInstanceUID"] == series_instance_uid
        ]

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        return sop_instance_uid in self.headers

    @contextmanager
    def connect(self, kinds: Iterable[Kind]) -> Iterator[KeepingPacs]:
        yield self

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        return True

    def store(self, file: Path) -> Answer:
        dataset = dcmread(file, stop_before_pixels=True)
        uid = str(dataset.SOPInstanceUID)
        self.headers.setdefault(
            uid, {each.keyword: str(each.value) for each in dataset if each.keyword and each.VR != "SQ"}
        )
        self.contents.setdefault(uid, set()).add(sha256_of(file))
        self.received.append(uid)
        return Answer(AnswerReading.STORED, "0000", dimse(0))


class WholeSite(Site):
    """Today's stages on a data folder, whatever is in it; `folder` has the plugins, too."""

    def __init__(
        self,
        folder: Path,
        reader: HeaderReader,
        rule: Mapping[str, Any],
        pacs: KeepingPacs | None = None,
        start: datetime = START,
    ) -> None:
        super().__init__(folder, HandClock(start))
        self.make_plugins()
        settings = {"host": "127.0.0.1", "port": 11199}
        archive = {"ae_title": "PACS", "host": "127.0.0.1", "port": 11113, "identity_check": "none"}
        self.configuration = Configuration.model_validate(
            {
                "node": {"ae_title": "PACSNODE", "time_zone": "Asia/Seoul", "data": str(self.data_folder.data)},
                "modalities": {"ct1": {"ae_title": "CT1", "storage_commitment": settings}},
                "destinations": {"pacs": archive},
                "plugins": {name: {"folder": str(use.folder)} for name, use in self.uses.items()},
                "rules": [rule],
            }
        )
        self.pacs = pacs or KeepingPacs()
        plugins = self.catalogue()
        self.index = IndexStage(self.node, self.configuration, reader)
        self.route = RouteStage(self.node, self.configuration, lambda _: plugins)
        self.workers = WarmWorkers(self.data_folder.work)
        self.runs = RunStage(self.node, with_slots(1), lambda _: plugins, self.workers)
        with patch.object(making, "Encoder", lambda: SHARED_ENCODER):
            self.results = ResultsStage(self.node, self.configuration)
        self.outbox = Outbox("pacs", self.node, self.configuration, lambda *_: self.pacs)
        self.journal = Journal(self.data_folder.data)
        self.commit = CommitStage(self.node, self.journal, self.configuration)

    def make_plugins(self) -> None:
        """Those that the rule may run."""
        for name in ("quiet", "second"):
            self.python_plugin(name)

    def close(self) -> None:
        """End what runs, but for the header reader."""
        self.runs._stop(1)
        self.workers.close()
        self.results.close()
        self.outbox.close()

    def go_on(self) -> None:
        """Every stage but the outbox, until no study is under way."""
        self.index.run_once()
        self.clock.pass_(minutes=10)  # type: ignore[attr-defined]
        self.index.run_once()
        self.route.run_once()
        until(self._is_run)
        self.results.run_once()

    def _is_run(self) -> bool:
        self.runs.run_once()
        self.route.run_once()
        rows = self.ledger.database.execute("SELECT DISTINCT study_instance_uid FROM jobs").fetchall()
        return all(job.outcome is not None for (study,) in rows for job in self.jobs(study))

    def jobs(self, study: str) -> list[Job]:
        """Its jobs, oldest first."""
        return jobs.of_study(self.ledger.database, study)
