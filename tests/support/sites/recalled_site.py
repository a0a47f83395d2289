"""A node with the delivered results of many studies, all of one version, and its stage `results` in a process."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID

from node.clock import SystemClock, to_text
from node.config.models import Configuration
from node.ledger import jobs, objects, recalls, rejection_notes
from node.ledger.database import FILE, Database, Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import JobOutcome
from node.ledger.objects import ResultObject
from node.results.stage import ResultsStage
from node.stage import Node
from node.store.durable import sha256_of
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.results import reports
from tests.support.sites.outcomes import deliver, enqueue_job
from tests.support.sites.result_site import PACS, ResultSite

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


class RecalledSite:
    """Made once, and gone on with in other processes."""

    NOW = NOW

    @staticmethod
    def make(folder: Path, count: int) -> None:
        """The ledger and files: one report of each study, as if it had been encoded and delivered."""
        site = ResultSite(folder / "first", pacs={})
        job = site.ended(reports.measured())
        site.results.run_once()
        report = site.sent(job, "pacs")
        site.results.close()
        data = DataFolder(folder / "data")
        ledger = Ledger(data.data / FILE)
        for number in range(1, count + 1):
            _reported(ledger, data, report, f"1.2.826.0.1.3680043.8.498.7.{number}")

    @staticmethod
    def go_on(folder: Path) -> None:
        """The stage `results`, until nothing is left of the withdrawal."""
        data = DataFolder(folder / "data")
        node = Node(Ledger.existing(data.data / FILE), data, SystemClock(), Wakes())
        settings = {"node": {"time_zone": "Asia/Seoul"}, "destinations": {"pacs": PACS | {"rejection_notes": True}}}
        stage = ResultsStage(node, Configuration.model_validate(settings))
        while True:
            stage.run_once()
            (recall,) = recalls.in_force(node.ledger.database)
            if recall.listed_at is not None and not rejection_notes.how_many(node.ledger.database, recall, ["pacs"]):
                break
            time.sleep(0.01)  # between two runs of the stage, which works in threads of its own
        stage.close()


def _reported(ledger: Ledger, data: DataFolder, report: Dataset, study: str) -> None:
    uid = f"{study}.9.1"
    with ledger.transaction() as database:
        _received(database, study)
        job = enqueue_job(database, NOW, study, [study])
        jobs.started(database, NOW, job.id, asdict(reports.ALGORITHM))
        jobs.ended(database, NOW, job.id, JobOutcome.FINDINGS, f"results/{job.id}")
        file = data.results / job.id / "e" / "sr-001.dcm"
        file.parent.mkdir(parents=True)
        report.StudyInstanceUID, report.SeriesInstanceUID, report.SOPInstanceUID = study, f"{study}.9", uid
        report.file_meta.MediaStorageSOPInstanceUID = UID(uid)
        report.save_as(file, enforce_file_format=True)
        name = str(file.relative_to(data.data))
        kind = str(report.SOPClassUID)
        objects.insert(
            database, ResultObject(uid, kind, f"{study}.9", study, job.id, "sr", "p", name, sha256_of(file), NOW, "e")
        )
        jobs.reported(database, NOW, job.id, 1)
    deliver(ledger, NOW, study, job.id, uid, DeliveryStatus.DELIVERED)


def _received(database: Database, study: str) -> None:
    database.execute(
        "INSERT INTO studies (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status, revision,"
        " decided_revision, first_received_at, last_received_at, last_association, due_at)"
        " VALUES (?, 'P', '', 'A', 'complete', 1, 1, ?, ?, 'a', ?)",
        [study, *[to_text(NOW)] * 3],
    )
