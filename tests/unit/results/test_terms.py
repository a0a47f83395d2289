"""On what terms results are sent: only some of them, and not too late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.ledger import deliveries, events
from node.ledger.deliveries import DeliveryStatus
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.terms import Terms, from_kept
from plugins.contract import Result
from tests.support import reports
from tests.support.result_site import ResultSite

QUIET = Terms(send_when=("findings", "not_applicable", "failed"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ResultSite]:
    site = ResultSite(tmp_path)
    yield site
    site.results.close()


def reported(site: ResultSite, result: Result, **fields: Any) -> Job:
    job = site.ended(result, **fields)
    site.results.run_once()
    return site.get(job)


def statuses(site: ResultSite, job: Job) -> set[DeliveryStatus]:
    return {delivery.status for delivery in site.deliveries(job)}


def test_terms_are_kept_with_the_job(site: ResultSite) -> None:
    """What is written is what is read; the default is nothing."""
    terms = Terms(("failed",), site.clock.now(), "notify", ("duty",), "look at it")
    assert from_kept(terms.to_text()) == terms
    assert Terms().to_text() == "{}"
    assert site.get(site.ended(reports.measured(), terms=terms)).terms == terms


def test_a_result_that_the_rule_does_not_want_sent_is_kept_with_the_reason(site: ResultSite) -> None:
    """Its objects are made, its deliveries withheld; the record says why; a person can have it sent."""
    job = reported(site, reports.no_findings(), terms=QUIET)
    assert (job.status, job.outcome) == (JobStatus.REPORTED, JobOutcome.NO_FINDINGS)
    assert sorted(kind for kind, _ in site.objects(job)) == ["sc", "sr"]
    assert statuses(site, job) == {DeliveryStatus.WITHHELD}
    first, *_ = site.deliveries(job)
    assert first.hold == "the rule sends only findings, not_applicable, failed (send_when); this is no_findings"
    assert deliveries.due(site.ledger.database, "pacs", site.clock.now()) == []
    assert site.kinds(reports.STUDY_UID).count("delivery.withheld") == 2
    with site.ledger.transaction() as database:
        deliveries.again(database, site.clock.now(), first.id, "a radiologist")
    assert [each.id for each in deliveries.due(site.ledger.database, "pacs", site.clock.now())] == [first.id]


def test_a_result_that_the_rule_wants_sent_is_sent(site: ResultSite) -> None:
    """Findings and failures go out as ever."""
    for result in (reports.measured(), reports.failed()):
        assert statuses(site, reported(site, result, terms=QUIET, rule=result.status)) == {DeliveryStatus.WAITING}


def test_what_replaces_a_result_that_was_sent_is_sent_whatever_it_says(site: ResultSite) -> None:
    """The PACS shows findings; the new look at more images finds nothing: were it withheld, the old would stand."""
    first = reported(site, reports.measured(), terms=QUIET)
    site.delivered(first)
    second = reported(site, reports.no_findings(), instead_of=first)
    assert second.terms == QUIET
    assert statuses(site, second) == {DeliveryStatus.WAITING}


def test_what_replaces_a_result_that_was_never_sent_may_be_withheld(site: ResultSite) -> None:
    """Nobody has seen the first: it is overtaken, and so is one that was withheld."""
    first = reported(site, reports.measured(), terms=QUIET)
    second = reported(site, reports.no_findings(), instead_of=first)
    assert (statuses(site, first), statuses(site, second)) == ({DeliveryStatus.SUPERSEDED}, {DeliveryStatus.WITHHELD})
    third = reported(site, reports.measured(), instead_of=second)
    assert (statuses(site, second), statuses(site, third)) == ({DeliveryStatus.SUPERSEDED}, {DeliveryStatus.WAITING})


def test_a_destination_that_takes_nothing_of_a_result_is_recorded(tmp_path: Path) -> None:
    """`not_applicable: []` of a destination: nothing goes there, and the record says so."""
    site = ResultSite(tmp_path, pacs={"send_when": {"not_applicable": []}})
    job = reported(site, reports.not_applicable())
    site.results.close()
    assert site.deliveries(job) == []
    (told,) = [e for e in events.of_study(site.ledger.database, reports.STUDY_UID) if e.kind == "job.withheld"]
    assert (told.job, told.detail["destination"]) == (job.id, "pacs")
