"""A job whose earlier result is none ends unrun, with a result that says so: its plugin is never started."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.ledger import attempts, jobs
from node.ledger.job import Job, JobOutcome, JobStatus, UsedResult
from node.run.settle import Settler
from node.run.used_results import UsedResults
from plugins.contract import AlgorithmIdentity
from tests.support.sites.outcomes import queue_job
from tests.support.sites.retained import RetainSite

UID = "1.1"
PLUGIN: Any = SimpleNamespace(manifest=SimpleNamespace(identity=AlgorithmIdentity("Volume", "2", "us")))


def _later(site: RetainSite) -> tuple[str, Job]:
    receipts = site.study(UID)
    source = site.reported(UID, receipts)
    uses = (UsedResult("mask", source, "d"),)
    return source, queue_job(site.ledger, site.hand.now(), UID, receipts, step="later", revision=2, uses=uses)


def _are_here(site: RetainSite, job: Job) -> bool:
    return UsedResults(site.node, Settler(site.node)).are_here(job, PLUGIN)


@pytest.mark.parametrize(
    ("change", "outcome", "why"),
    [
        ("outcome='failed'", JobOutcome.FAILED, "the step run, whose result it needs, failed"),
        ("outcome='not_applicable'", JobOutcome.NOT_APPLICABLE, "the step run, whose result it needs, is not for"),
        ("files='gone'", JobOutcome.FAILED, "the result of the step run was deleted by retention; run that step again"),
        (
            "status='cancelled', error='wrong patient'",
            JobOutcome.FAILED,
            "the result of the step run was cancelled (wrong patient)",
        ),
    ],
)
def test_it_ends_with_a_result_that_says_why_it_was_not_run(
    tmp_path: Path, change: str, outcome: JobOutcome, why: str
) -> None:
    """For the reader and for the admin; a negative it is not."""
    site = RetainSite(tmp_path)
    source, later = _later(site)
    with site.ledger.transaction() as database:
        database.execute(f"UPDATE jobs SET {change} WHERE id='{source}'")
    assert not _are_here(site, later)
    ended = jobs.get(site.ledger.database, later.id)
    assert (ended.status, ended.outcome) == (JobStatus.ENDED, outcome)
    assert ended.error is not None
    assert ended.error.startswith(f"not run: {why}")
    kept = site.kept(ended)
    assert (kept["status"], kept.get("findings", [])) == (outcome, [])
    assert kept["summary"].startswith(f"Not run: {why}")


def test_with_its_results_it_is_left_to_run(tmp_path: Path) -> None:
    """Nothing of it changes."""
    site = RetainSite(tmp_path)
    _, later = _later(site)
    assert _are_here(site, later)
    assert jobs.get(site.ledger.database, later.id) == later
    assert attempts.of_job(site.ledger.database, later.id) == []


def test_one_that_was_cancelled_meanwhile_stays_cancelled(tmp_path: Path) -> None:
    """Between the look and the answer a person may cancel it."""
    site = RetainSite(tmp_path)
    source, later = _later(site)
    with site.ledger.transaction() as database:
        database.execute(f"UPDATE jobs SET outcome='failed' WHERE id='{source}'")
        jobs.cancel(database, site.hand.now(), later.id, "not wanted", "os:hong")
    assert not _are_here(site, later)
    assert jobs.get(site.ledger.database, later.id).status is JobStatus.CANCELLED
