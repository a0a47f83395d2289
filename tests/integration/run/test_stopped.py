"""Jobs of a withdrawn version, and of a rule that a stop rule has suspended: not run, and never silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.ledger import attempts, jobs, recalls, stop_windows, suspensions
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.recalls import NewRecall, RecallReason
from node.ledger.stop_windows import WatchedPlace
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support import history
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A plugin, version 1, that would write what it must not."""
    made = Site(tmp_path)
    made.python_plugin("good", "open('/dev/null', 'w').close()")
    return made


@pytest.fixture
def stage(site: Site) -> Iterator[RunStage]:
    workers = WarmWorkers(site.data_folder.work)
    made = RunStage(site.node, with_slots(1), lambda _: site.catalogue(NOT_ISOLATED), workers)
    yield made
    made.close()
    workers.close()


def queued(site: Site) -> Job:
    receipts = site.receive(StationName=("SH", "CT1"))
    site.complete()
    return site.job("good", receipts)


def withdraw(site: Site, *, installed: bool = True, version: str = "1") -> None:
    new = NewRecall("good", version, RecallReason.SAFETY, "", "os:kim", 60, installed)
    with site.ledger.transaction() as database:
        recalls.begin(database, site.clock.now(), new)


def suspend(site: Site, job: Job, rule: str | None = None) -> None:
    """As a stop rule does."""
    scanner = suspensions.scanner_of(site.ledger.database, job)
    place = WatchedPlace("lungs", "{}", "good", rule or job.rule, scanner, "")
    with site.ledger.transaction() as database:
        window = stop_windows.count(database, site.clock.now(), place, job.id, hit=True)
        stop_windows.met(database, site.clock.now(), window, "20 of 20 jobs failed")
        suspensions.begin(database, site.clock.now(), window, "20 of 20 jobs failed")


def is_not_analysed(site: Site, job: Job, text: str) -> None:
    ended = site.get(job)
    assert (ended.status, ended.outcome) == (JobStatus.ENDED, JobOutcome.FAILED)
    assert text in site.kept(job)["summary"]
    (attempt,) = attempts.of_job(site.ledger.database, job.id)
    assert attempt.failure is AttemptFailureKind.STOPPED
    assert attempt.code_digest is None, "nothing was started"


def test_a_job_of_a_withdrawn_version_ends_as_not_analysed(site: Site, stage: RunStage) -> None:
    """One that comes after the withdrawal; the report says why, and no plugin is blamed."""
    withdraw(site)
    site.clock.pass_(seconds=1)  # type: ignore[attr-defined]  # a HandClock
    job = queued(site)
    stage.run_once()
    is_not_analysed(site, job, "Not analysed: good 1 was withdrawn")
    assert "plugin.failing" not in {each.kind for each in history.open_alerts(site.ledger.database)}


def test_what_was_queued_before_is_left_to_the_withdrawal(site: Site, stage: RunStage) -> None:
    """It is cancelled by that, and must not run before it is."""
    job = queued(site)
    withdraw(site)
    stage.run_once()
    assert site.get(job).status is JobStatus.QUEUED


def test_a_version_that_is_installed_later_does_not_run_either(site: Site, stage: RunStage) -> None:
    """It was withdrawn while another was installed; a new configuration brings it back."""
    job = queued(site)
    withdraw(site, installed=False)
    stage.run_once()
    is_not_analysed(site, job, "Not analysed: good 1 was withdrawn")


def test_it_cannot_begin_between_the_look_and_the_claim(site: Site, stage: RunStage) -> None:
    """The claim asks again, in its own transaction."""
    job = queued(site)
    withdraw(site)
    assert stage._begin(job, {"name": "good", "version": "1"}) is None
    assert stage._begin(job, {"name": "good", "version": "2"}) is not None
    with site.ledger.transaction() as database:
        jobs.cancel(database, site.clock.now(), job.id, "the test is over")


def test_a_suspended_rule_and_scanner_is_reported_as_not_analysed(site: Site, stage: RunStage) -> None:
    """With the stop rule and its numbers."""
    job = queued(site)
    suspend(site, job)
    stage.run_once()
    is_not_analysed(site, job, "Not analysed: suspended. Rule rule of good is suspended for CT1 by stop rule lungs")


def test_another_rule_goes_on(site: Site, stage: RunStage) -> None:
    """A suspension is of one rule and one scanner: this job is run."""
    job = queued(site)
    suspend(site, job, rule="another")
    stage.run_once()
    assert site.get(job).status is JobStatus.RUNNING
