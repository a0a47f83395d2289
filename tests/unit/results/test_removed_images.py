"""What a reader gets of a job whose images retention removed: a report that says so, made from what is here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from pydicom import Dataset, dcmread

from node.index.children import HeaderReader
from node.ledger import deliveries, jobs, objects
from node.ledger.job import Job, JobStatus
from node.results import making
from node.results.stage import ResultsStage
from tests.support import history
from tests.support.images.receipts import ct
from tests.support.sites.gone_site import GoneSite, slices
from tests.support.sites.result_site import SHARED_ENCODER

DELETED = "not run: images deleted on 1 April 2026 by retention (images: 30d); pacs does not have these series"


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, reader: HeaderReader) -> GoneSite:
    """A study that was analysed and removed; nobody else has it."""
    site = GoneSite(tmp_path, reader)
    site.send(*slices(1, 2, 3))
    site.reported(site.jobs()[0])
    site.thirty_days_later()
    return site


def settled(site: GoneSite, job: Job) -> Job:
    """The job as it is when its archive had nothing, and its objects are made."""
    site.seen_to(job)
    site.fetched()
    site.seen_to(site.get(job))
    with patch.object(making, "Encoder", lambda: SHARED_ENCODER):
        results = ResultsStage(site.node, site.configuration)
    results.run_once()
    results.close()
    return site.get(job)


def reports(site: GoneSite, job: Job) -> list[Dataset]:
    made = objects.of_job(site.ledger.database, job.id)
    return [dcmread(site.data_folder.data / each.file) for each in made if each.kind == "sr"]


def texts(report: Dataset) -> str:
    return "\n".join(str(element.value) for element in report.iterall() if element.keyword == "TextValue")


def test_a_late_slice_that_was_not_analysed_is_reported(site: GoneSite) -> None:
    """Never silence: the report is about the study that the slice came for, and says why nothing was run."""
    site.send(ct(4))
    job = settled(site, site.jobs()[-1])
    assert (job.status, job.error) == (JobStatus.REPORTED, DELETED)
    (report,) = reports(site, job)
    assert (str(report.PatientID), report.StudyInstanceUID) == ("P1", job.study_instance_uid)
    assert "Not run: images deleted on 1 April 2026 by retention (images: 30d)" in texts(report)
    assert [each.destination for each in deliveries.of_job(site.ledger.database, job.id)]


def test_of_a_study_without_any_image_nothing_is_written_and_an_alert_says_why(site: GoneSite) -> None:
    """Patient and order of a report are copied from an image, and there is none: a person reads it in `status`."""
    with site.ledger.transaction() as database:
        job = jobs.again(database, site.clock.now(), site.jobs()[0].id, "os:someone")
    job = settled(site, job)
    assert job.status is JobStatus.UNREPORTABLE
    assert reports(site, job) == []
    (alert,) = [each for each in history.open_alerts(site.ledger.database) if each.kind == "job.unreportable"]
    assert DELETED in str(alert.detail["error"])
