"""A clock that was ahead moves no due time: what it put off waits for as long as was meant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from node.ledger import commitments, jobs
from node.ledger.clock_changes import DueTimes
from node.ledger.commitment import CommitmentStatus, NewCommitment
from tests.support.clocks import HandClock
from tests.support.sites.job_site import Site

DAY = timedelta(days=1)


def test_finding_m8_a_job_that_was_queued_or_put_off_by_a_clock_that_was_ahead_runs_when_it_was_meant_to(
    tmp_path: Path,
) -> None:
    """Queued, put off and outside its hours, 23 hours ahead; what a person of today put off keeps its time."""
    site = Site(tmp_path)
    clock = site.clock
    assert isinstance(clock, HandClock)
    site.receive(1)
    site.complete()
    today = site.job("today", ["r"])
    due_times = DueTimes(site.ledger, clock, "jobs")
    with site.ledger.transaction() as database:
        jobs.outside_hours(database, clock.now(), today.id, clock.now() + DAY)
    due_times.keep()
    clock.jump(hours=23)
    queued, failed, closed = (site.job(name, ["r"], rule=name) for name in ("queued", "failed", "closed"))
    now = clock.now()
    with site.ledger.transaction() as database:
        jobs.started(database, now, failed.id, {})
        jobs.try_again(database, now, failed.id, "crash", now + timedelta(seconds=30))
        jobs.outside_hours(database, now, closed.id, now + timedelta(hours=2))
    due_times.keep()
    clock.jump(hours=-23)
    due_times.keep()
    waits = [site.get(each).not_before - clock.now() for each in (today, queued, failed, closed)]
    assert waits == [DAY, timedelta(), timedelta(seconds=30), timedelta(hours=2)]


def test_finding_m8_a_report_of_storage_commitment_that_was_put_off_by_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """The same; its age is what it was tried for."""
    site = Site(tmp_path)
    clock = site.clock
    assert isinstance(clock, HandClock)
    clock.jump(days=10)
    now = clock.now()
    new = NewCommitment("e", "1.2", "CT1", "NODE", "", now, [("1", "2")], None)
    with site.ledger.transaction() as database:
        number = commitments.take(database, now, new, 1)
        assert number is not None
        commitments.judged(database, now, number, {0: (0, None)}, 0x0110)
        commitments.wait(database, now, number, now + timedelta(seconds=10), "no answer")
    clock.jump(days=-10)
    DueTimes(site.ledger, clock, "commitments").keep()
    found = commitments.get(site.ledger.database, number)
    assert (found.status, found.waited) == (CommitmentStatus.DECIDED, timedelta(seconds=10))
    assert found.not_before - clock.now() == timedelta(seconds=10)
