"""Jobs of a withdrawn version, and of a rule that a stop rule has suspended: not run, and never silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.ledger import attempts, jobs, recalled_results, recalls, stop_windows, suspensions
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.recalls import NewRecall, Recall, RecallReason
from node.ledger.stop_windows import WatchedPlace
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support import history
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, Site

WITHDRAWN = "Not analysed: good 1 was withdrawn"


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


def withdraw(site: Site) -> None:
    new = NewRecall("good", "1", RecallReason.SAFETY, "", "os:kim", 60)
    with site.ledger.transaction() as database:
        recalls.begin(database, site.clock.now(), new)


def recall_of(site: Site) -> Recall:
    (found,) = recalls.in_force(site.ledger.database)
    return found


def carry_out(site: Site) -> None:
    """As the command does, or the node in its place."""
    recalled_results.carry_out(site.ledger, recall_of(site), site.clock.now())


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
    is_not_analysed(site, job, WITHDRAWN)
    assert "plugin.failing" not in {each.kind for each in history.open_alerts(site.ledger.database)}


def test_what_was_queued_before_ends_as_not_analysed_too(site: Site, stage: RunStage) -> None:
    """Silence would look like a negative; and the node's own answer is no result of the version, so it is reported."""
    job = queued(site)
    withdraw(site)
    carry_out(site)
    stage.run_once()
    is_not_analysed(site, job, WITHDRAWN)
    carry_out(site)
    assert site.get(job).status is JobStatus.ENDED
    assert recalled_results.survey(site.ledger.database, recall_of(site), installed=True).not_analysed == 1


def test_what_ran_or_was_not_reported_is_stopped_and_ends_as_not_analysed(site: Site, stage: RunStage) -> None:
    """No result of the version is reported; the job that takes its place says that there is none."""
    running = queued(site)
    unreported = site.job("good", ["r9"], rule="another", inputs_digest="another")
    with site.ledger.transaction() as database:
        for each in (running, unreported):
            jobs.started(database, site.clock.now(), each.id, {"name": "good", "version": "1"})
        jobs.ended(database, site.clock.now(), unreported.id, JobOutcome.FINDINGS, "results/x")
    withdraw(site)
    for _ in range(3):
        carry_out(site)
        stage.run_once()
    anew = [each for each in jobs.of_study(site.ledger.database, running.study_instance_uid) if each.supersedes]
    assert {each.supersedes for each in anew} == {running.id, unreported.id}
    for each in anew:
        is_not_analysed(site, each, WITHDRAWN)
    assert {site.get(each).status for each in (running, unreported)} == {JobStatus.CANCELLED}
    survey = recalled_results.survey(site.ledger.database, recall_of(site), installed=True)
    assert (survey.stopped, survey.not_analysed, survey.cancelled) == (2, 2, 0)


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
