"""On what terms results are sent: only some of them, and not too late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from node.deliver.ways.dimse import dimse
from node.ledger import deliveries, events, jobs, late, notifications, turns
from node.ledger.database import Database
from node.ledger.delivery import DeliveryStatus
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.terms import Terms, from_kept
from plugins.contract import Result
from tests.support.results import reports
from tests.support.sites.result_site import ResultSite

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
    terms = Terms(("failed",), site.clock.now(), "notify", ("duty",), "look at it", {"zone": "UTC", "hours": {}})
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
    assert turns.due(site.ledger.database, "pacs", site.clock.now(), reports.STUDY_UID) == []
    assert site.kinds(reports.STUDY_UID).count("delivery.withheld") == 2
    with site.ledger.transaction() as database:
        deliveries.again(database, site.clock.now(), first.id, "a radiologist")
    assert [each.id for each in turns.due(site.ledger.database, "pacs", site.clock.now(), reports.STUDY_UID)] == [
        first.id
    ]


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


# --- too late -----------------------------------------------------------------------------------------


def expiring(site: ResultSite, then: Any, **more: Any) -> Terms:
    """Results are of use for two hours from now."""
    return Terms(expires_at=site.clock.now() + timedelta(hours=2), when_late=then, whom=("duty",), text="Late.", **more)


def told(site: ResultSite) -> list[tuple[str, str, str | None]]:
    found = notifications.of_study(site.ledger.database, reports.STUDY_UID)
    return [(str(each.occasion), each.person, each.job) for each in found]


def pass_hours(site: ResultSite, hours: float) -> None:
    site.clock.pass_(hours=hours)  # type: ignore[attr-defined]  # a HandClock


@pytest.mark.parametrize(
    ("then", "result", "hours", "status", "tells"),
    [
        ("send", reports.measured(), 2, DeliveryStatus.WAITING, False),
        ("notify", reports.measured(), 2, DeliveryStatus.WAITING, True),
        ("notify", reports.measured(), 1.9, DeliveryStatus.WAITING, False),
        ("notify", reports.no_findings(), 2, DeliveryStatus.WAITING, False),
        ("notify", reports.failed(), 2, DeliveryStatus.WAITING, False),
        ("withhold", reports.measured(), 2, DeliveryStatus.WITHHELD, False),
        ("withhold", reports.measured(), 1.9, DeliveryStatus.WAITING, False),
    ],
)
def test_a_result_that_is_made_too_late(
    site: ResultSite, then: str, result: Result, hours: float, status: DeliveryStatus, tells: bool
) -> None:
    """Sent, sent and told, or withheld; told are findings only."""
    terms = expiring(site, then)
    pass_hours(site, hours)
    job = reported(site, result, terms=terms)
    assert statuses(site, job) == {status}
    assert told(site) == ([("late", "duty", job.id)] if tells else [])
    if status is DeliveryStatus.WITHHELD:
        assert "comes too late" in str(site.deliveries(job)[0].hold)


def test_a_late_report_says_when_the_images_were_complete_and_when_it_was_made(site: ResultSite) -> None:
    """Both moments, beside the marking, so that a reader sees that it is late."""
    complete = site.clock.now()
    pass_hours(site, 3)
    job = reported(site, reports.measured(), terms=expiring(site, "send"), images_complete_at=complete)
    (report,) = [dataset for kind, dataset in site.objects(job) if kind == "sr"]
    texts = [str(element.value) for element in report.iterall() if element.keyword == "TextValue"]
    for moment in ("2026-03-01 18:00", "2026-03-01 21:00"):
        assert any(text.startswith(moment) for text in texts), texts


def settle_late(site: ResultSite, database: Database) -> None:
    now = site.clock.now()
    for each in late.expired(database, now, "pacs"):
        late.settle(database, now, "pacs", each)


def test_a_result_that_waits_for_the_pacs_until_it_is_too_late(site: ResultSite) -> None:
    """Withheld there, told here; at the very moment, and once."""
    held = reported(site, reports.measured(), terms=expiring(site, "withhold"), rule="w")
    sent = reported(site, reports.measured(), terms=expiring(site, "notify"), rule="n")
    for hours, withheld in ((1.9, False), (0.2, True), (1, True)):
        pass_hours(site, hours)
        with site.ledger.transaction() as database:
            settle_late(site, database)
        assert statuses(site, held) == {DeliveryStatus.WITHHELD if withheld else DeliveryStatus.WAITING}
        assert told(site) == ([("late", "duty", sent.id)] if withheld else [])
    with site.ledger.transaction() as database:
        first = deliveries.again(database, site.clock.now(), site.deliveries(held)[0].id, "a radiologist")
        settle_late(site, database)
    assert deliveries.get(site.ledger.database, first.id).status is DeliveryStatus.WAITING


def test_half_a_set_is_never_left_in_the_pacs(site: ResultSite) -> None:
    """The report is there, the page is late: it follows; so does what replaces a result that is there."""
    terms = expiring(site, "withhold")
    first = reported(site, reports.measured(), terms=terms)
    with site.ledger.transaction() as database:
        one = deliveries.sending(database, site.clock.now(), site.deliveries(first)[0].id)
        deliveries.delivered(database, site.clock.now(), one.id, dimse(0))
        pass_hours(site, 3)
        settle_late(site, database)
    assert statuses(site, first) == {DeliveryStatus.DELIVERED, DeliveryStatus.WAITING}
    site.delivered(first)
    second = reported(site, reports.no_findings(), instead_of=first)
    assert statuses(site, second) == {DeliveryStatus.WAITING}


def test_what_a_person_has_done_again_does_not_expire(site: ResultSite) -> None:
    """Whoever asks for it hours later wants it."""
    first = reported(site, reports.measured(), terms=expiring(site, "withhold"))
    pass_hours(site, 5)
    with site.ledger.transaction() as database:
        again = jobs.again(database, site.clock.now(), first.id, "a radiologist")
    assert again.terms.expires_at is None
    assert again.terms.whom == ("duty",)


def test_nobody_is_told_of_a_late_finding_that_was_overtaken(site: ResultSite) -> None:
    """The message could not be sent yet, and a newer result says something else: about that one nobody has to know."""
    first = reported(
        site, reports.measured(), terms=Terms(expires_at=site.clock.now(), when_late="notify", whom=("duty",))
    )
    reported(site, reports.no_findings(), instead_of=first)
    (about,) = notifications.of_study(site.ledger.database, reports.STUDY_UID)
    assert (about.job, str(about.status)) == (first.id, "cancelled")
