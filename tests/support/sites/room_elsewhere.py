"""A data folder with the stages index and run, for tests of a stage that works with another system."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.ledger import alerts, attempts, instances
from node.ledger.attempts import Attempt
from node.ledger.job import Job
from tests.support.clocks import HandClock
from tests.support.images.receipts import STUDY, arrive, compressed, ct
from tests.support.sites.job_site import Site


class RoomElsewhere(Site):
    """The images of a study, a job on them, and what became of it."""

    index: IndexStage
    plugin: str

    def __init__(self, folder: Path, reader: HeaderReader) -> None:
        self.hand = HandClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
        super().__init__(folder, self.hand)
        self.reader = reader

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
        self.hand.pass_(minutes=10)
        self.index.run_once()
        receipts = [each.receipt for each in instances.of_study(self.ledger.database, study)]
        assert len(receipts) == images
        return self.job(self.plugin, receipts[:chosen], study=study, parameters={}, **{"inputs_digest": study} | job)

    def attempt(self, job: Job) -> Attempt:
        """Its newest attempt."""
        found = attempts.last_of(self.ledger.database, job.id)
        assert found is not None
        return found

    def alerts(self) -> list[str]:
        """Kinds of the open alerts."""
        return sorted(each.kind for each in alerts.every(self.ledger.database, closed=False))
