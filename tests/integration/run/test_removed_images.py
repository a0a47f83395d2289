"""A plugin and a study whose images retention removed: it gets all of them again, or it is never started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.index.children import HeaderReader
from node.ledger import attempts, jobs
from node.ledger.job import Job, JobOutcome, JobStatus
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.images.receipts import ct
from tests.support.sites.gone_site import GoneSite, rule, slices
from tests.support.wait import until

COUNTS = "print('images:', sum(len(series.files) for series in study.series))"


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, reader: HeaderReader) -> GoneSite:
    """A study of three slices, analysed and removed; the PACS has them."""
    site = GoneSite(tmp_path, reader, rule(run="counting"))
    site.python_plugin("counting", COUNTS)
    site.use(*site.configuration.rules)
    site.send(*slices(1, 2, 3))
    site.reported(site.jobs()[0])
    site.pacs.has = slices(1, 2, 3)
    site.thirty_days_later()
    return site


@pytest.fixture
def run(site: GoneSite) -> Iterator[RunStage]:
    workers = WarmWorkers(site.data_folder.work)
    stage = RunStage(site.node, site.configuration, lambda _: site.catalogue(), workers)
    yield stage
    stage._stop(0)
    workers.close()


def over(site: GoneSite, run: RunStage, job: Job) -> Job:
    """Drive the stage until the job is over."""

    def ended() -> bool:
        run.run_once()
        return site.get(job).status not in (JobStatus.QUEUED, JobStatus.RUNNING)

    until(ended, 180, f"the end of job {job.id}")
    return site.get(job)


def test_a_late_slice_is_analysed_with_the_images_that_were_removed(site: GoneSite, run: RunStage) -> None:
    """No attempt begins before all four are here; then the plugin sees four, of the newest revision."""
    site.send(ct(4))
    job = site.jobs()[-1]
    run.run_once()
    assert attempts.of_job(site.ledger.database, job.id) == []
    site.fetched()
    done = over(site, run, job)
    assert (done.outcome, done.error) == (JobOutcome.NO_FINDINGS, None)
    assert "images: 4" in site.log(job)
    assert len(attempts.of_job(site.ledger.database, job.id)) == 1


def test_what_no_archive_sends_is_not_run(site: GoneSite, run: RunStage) -> None:
    """The plugin is never started: no log, one attempt that says why."""
    site.pacs.has = []
    with site.ledger.transaction() as database:
        job = jobs.again(database, site.clock.now(), site.jobs()[0].id, "os:someone")
    run.run_once()
    site.fetched()
    done = over(site, run, job)
    assert done.outcome is JobOutcome.FAILED
    assert str(done.error).startswith("not run: images deleted on 1 April 2026 by retention")
    assert not (site.data_folder.results / job.id / "log.txt").exists()
