"""Studies of any age in a ledger, as the stages leave them, for tests of what may go."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from node.config.models import Configuration
from node.ledger import jobs, studies
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import Instance, InstanceStatus
from node.ledger.job import JobOutcome
from node.ledger.studies import StudyImages
from node.retain.stage import RetainStage, begin
from tests.support.clocks import HandClock
from tests.support.sites.job_site import Site
from tests.support.sites.outcomes import deliver, queue_job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def instance(receipt: str, **changes: Any) -> Instance:
    """A CT image of study 1.2 under this receipt; `changes` by field."""
    fields: dict[str, Any] = {
        "receipt": receipt,
        "sop_instance_uid": f"1.2.1.{receipt}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "study_instance_uid": "1.2",
        "series_instance_uid": "1.2.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "status": InstanceStatus.CURRENT,
        "digest": f"d{receipt}",
        "comparison": {},
        "marks": {},
        "frames": 1,
        "bytes": 1000,
        "calling_ae_title": "CT1",
        "called_ae_title": "PACSNODE",
        "peer_address": "10.0.0.5",
        "association": "a1",
        "origin": "received",
        "received_at": NOW,
    }
    return Instance(**fields | changes)


def configured(**retention: Any) -> Configuration:
    """A configuration with this section `retention`."""
    return Configuration.model_validate({"node": {"time_zone": "UTC"}, "retention": retention})


def run(stage: RetainStage) -> None:
    """Until there is nothing more to do."""
    for _ in range(20_000):
        if stage.run_once() > 0:
            return
    raise AssertionError("it does not come to an end")


class RetainSite(Site):
    """A site with studies whose time passes by hand."""

    def __init__(self, folder: Path) -> None:
        self.hand = HandClock()
        super().__init__(folder, self.hand)

    def go(self, **retention: Any) -> RetainStage:
        """The whole of one night, by these keys of `retention`."""
        stage = RetainStage(self.node, configured(**retention))
        begin(self.node)
        run(stage)
        return stage

    def stored(self) -> list[str]:
        """Receipts whose files are in the store."""
        return sorted(path.stem for path in self.data_folder.store.rglob("*.dcm"))

    def study(self, uid: str, count: int = 3, **options: Any) -> list[str]:
        """A complete study that was decided on; its receipts."""
        receipts = self.receive(count, study=uid, **options)
        revision = self.complete(uid)
        with self.ledger.transaction() as database:
            studies.decided(database, self.hand.now(), uid, revision)
        return receipts

    def reported(self, uid: str, receipts: list[str]) -> str:
        """A job on the study whose report, of 100 bytes, was delivered; its id."""
        now = self.hand.now()
        job = queue_job(self.ledger, now, uid, receipts)
        folder = self.data_folder.results / job.id / "p"
        folder.mkdir(parents=True)
        (folder / "sr-001.dcm").write_bytes(b"x" * 100)
        with self.ledger.transaction() as database:
            jobs.started(database, now, job.id, {})
            jobs.ended(database, now, job.id, JobOutcome.FINDINGS, f"results/{job.id}")
            jobs.reported(database, now, job.id, 1)
            database.execute("UPDATE jobs SET followed_up=1 WHERE id=?", [job.id])
        deliver(self.ledger, now, uid, job.id, f"2.25.{uid}", DeliveryStatus.DELIVERED)
        return job.id

    def images(self, uid: str) -> StudyImages:
        """Whether the images of a study are here."""
        found = studies.get(self.ledger.database, uid)
        assert found is not None, uid
        return found.images
