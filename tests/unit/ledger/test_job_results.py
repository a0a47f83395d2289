"""Whether a job may work on the result of an earlier step: each reason against it, and its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ledger import deliveries, job_results, jobs, withdrawals
from node.ledger.job import Job, UsedResult
from node.ledger.job_results import UnusableResult
from tests.support.sites.outcomes import queue_job
from tests.support.sites.retained import RetainSite

UID = "1.1"
ADOPTED = (
    "INSERT INTO adoptions (study_instance_uid, destination, number, identity, by, at, open)"
    " VALUES ('1.1', 'pacs', 1, '{}', 'node', '', 0)"
)
GONE = "UPDATE jobs SET files='{}' WHERE id='{job}'"
OUTCOME = "UPDATE jobs SET outcome='{}' WHERE id='{job}'"
CANCEL = "UPDATE jobs SET status='cancelled', error='wrong patient' WHERE id='{job}'"


@pytest.fixture
def site(tmp_path: Path) -> RetainSite:
    return RetainSite(tmp_path)


def _both(site: RetainSite) -> tuple[str, Job]:
    """A job whose result was delivered, and one that waits to work on it."""
    receipts = site.study(UID)
    source = site.reported(UID, receipts)
    uses = (UsedResult("mask", source, "d"),)
    return source, queue_job(site.ledger, site.hand.now(), UID, receipts, step="later", revision=2, uses=uses)


def _do(site: RetainSite, *statements: str) -> None:
    with site.ledger.transaction() as database:
        for each in statements:
            database.execute(each)


def _why(site: RetainSite, job: Job) -> UnusableResult | None:
    return job_results.unusable(site.ledger.database, job)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (CANCEL, "the result of the step run was cancelled (wrong patient)"),
        (OUTCOME.replace("{}", "failed"), "the step run, whose result it needs, failed"),
        (GONE.replace("{}", "purging"), "the result of the step run was deleted by retention; run that step again"),
        (GONE.replace("{}", "gone"), "the result of the step run was deleted by retention; run that step again"),
        (OUTCOME.replace("{}", "not_applicable"), "the step run, whose result it needs, is not for these images"),
    ],
)
def test_a_result_that_is_none_or_is_not_here_is_not_worked_on(site: RetainSite, change: str, why: str) -> None:
    """The step is named; only images that it is not for leave the later step without fault."""
    source, later = _both(site)
    assert _why(site, later) is None
    _do(site, change.replace("{job}", source))
    assert _why(site, later) == UnusableResult(f"not run: {why}", "not_applicable" in change)


def test_a_result_that_is_to_be_withdrawn_is_not_worked_on(site: RetainSite) -> None:
    """Its images turned out wrong; what was dismissed, and what was sent again under an adopted identity, is right."""
    source, later = _both(site)
    with site.ledger.transaction() as database:
        sent = deliveries.of_job(database, source)
        assert withdrawals.enter(database, site.hand.now(), UID, sent, "the images changed") == len(sent) == 1
    refused = UnusableResult("not run: the result of the step run is to be withdrawn")
    assert _why(site, later) == refused
    _do(site, ADOPTED)
    assert _why(site, later) is None
    _do(site, "DELETE FROM adoptions", "UPDATE withdrawals SET status='done'")
    assert _why(site, later) == refused
    _do(site, "UPDATE withdrawals SET status='dismissed'")
    assert _why(site, later) is None


def test_a_job_done_again_works_on_the_same_results(site: RetainSite) -> None:
    """`pacsnode retry` asks for the very job, whatever came since."""
    source, later = _both(site)
    _do(site, f"UPDATE jobs SET status='reported', outcome='findings', finished_at=created_at WHERE id='{later.id}'")
    with site.ledger.transaction() as database:
        jobs.again(database, site.hand.now(), later.id, "os:hong")
    again = job_results.users(site.ledger.database, source)
    assert len(again) == 2
    assert {use.job for each in again for use in jobs.get(site.ledger.database, each).uses} == {source}
