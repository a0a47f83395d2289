"""Limits, pauses, hours and duplicates: carried out at the right time, by what the ledger holds and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from node.ledger import instances, jobs
from node.ledger.instances import InstanceStatus
from node.ledger.job import Job
from node.route.stage import RouteStage
from node.run import hours
from rules.model import Rule
from tests.support.clocks import HandClock
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site

SEOUL = ZoneInfo("Asia/Seoul")


class Plugins:
    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        return dict(asked)


def rule(**fields: Any) -> Rule:
    plain = {"name": "r", "when": {"Modality": "CT"}, "choose": {"take": "all"}, "run": "good", "mode": "shadow"}
    return Rule.model_validate(plain | fields)


def at(text: str) -> datetime:
    """A moment in Seoul."""
    return datetime.fromisoformat(text).replace(tzinfo=SEOUL)


def decide(site: Site, study: str, *rules: Rule, now: str | None = None, series: str = "1") -> list[Job]:
    """A study arrives, and a router that has just been started decides on it; the jobs of the study."""
    if now:
        site.clock = HandClock(at(now).astimezone(UTC))
    site.receive(1, study=study, series=series)
    site.complete(study)
    RouteStage(site.node, ruled(rules), lambda _: Plugins()).run_once()
    return jobs.of_study(site.ledger.database, study)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_day_ends_at_midnight_where_the_site_is(site: Site) -> None:
    """Two a day: 23:58 and 23:59 in Seoul are one day (14:58 UTC), 00:00 is the next; each router is a new process."""
    limited = rule(limits={"per_day": 2})
    times = ["2026-03-01T23:57", "2026-03-01T23:58", "2026-03-01T23:59", "2026-03-02T00:00", "2026-03-02T08:59"]
    made = [len(decide(site, f"9.{number}", limited, now=now)) for number, now in enumerate(times)]
    assert made == [1, 1, 0, 1, 1]


def test_what_was_cancelled_counts_as_none(site: Site) -> None:
    """The one of the day was taken back: another may run."""
    limited = rule(limits={"per_day": 1})
    (job,) = decide(site, "9.1", limited)
    assert decide(site, "9.2", limited) == []
    with site.ledger.transaction() as database:
        jobs.cancel(database, site.clock.now(), job.id, "a test")
    assert len(decide(site, "9.3", limited)) == 1


def test_a_study_that_was_counted_goes_on_when_it_grows(site: Site) -> None:
    """The limit of the day is reached: the second look at a study that was let in is not refused."""
    limited = rule(limits={"per_day": 1, "enrolled": 1})
    assert len(decide(site, STUDY, limited)) == 1
    assert decide(site, "9.2", limited) == []
    assert len(decide(site, STUDY, limited)) == 2


def test_each_rule_rests_by_itself(site: Site) -> None:
    """Another study of the patient within six hours: the resting rule does nothing, the other one runs."""
    resting, other = rule(limits={"cool_down": "6 hours"}), rule(name="o", run="else")
    assert len(decide(site, "9.1", resting, other, now="2026-03-01T09:00")) == 2
    assert [job.rule for job in decide(site, "9.2", resting, other, now="2026-03-01T14:59")] == ["o"]
    assert len(decide(site, "9.3", resting, other, now="2026-03-01T15:00")) == 2


def test_finding_q10_a_patient_is_the_same_with_and_without_issuer(site: Site) -> None:
    """One study states the issuer of its Patient ID, the next does not: the rule rests."""
    resting = rule(limits={"cool_down": "6 hours"})
    assert len(decide(site, "9.1", resting)) == 1
    for study, issuer, first, made in (("9.2", "A", "", 0), ("9.3", "", "A", 0), ("9.4", "B", "A", 1)):
        with site.ledger.transaction() as database:
            database.execute("UPDATE studies SET issuer_of_patient_id=?", [first])
        site.receive(1, study=study)
        with site.ledger.transaction() as database:
            database.execute("UPDATE studies SET issuer_of_patient_id=? WHERE study_instance_uid=?", [issuer, study])
        site.complete(study)
        RouteStage(site.node, ruled([resting]), lambda _: Plugins()).run_once()
        assert len(jobs.of_study(site.ledger.database, study)) == made, study


def test_a_study_sent_twice_or_from_two_modalities_is_one(site: Site) -> None:
    """The same instances again, from another calling AE title: duplicates, and a revision that runs nothing."""
    (job,) = decide(site, STUDY, rule())
    (receipt,) = job.inputs[0].receipts
    row = instances.by_receipt(site.ledger.database, receipt)
    assert row is not None
    with site.ledger.transaction() as database:
        fields = {name: getattr(row, name) for name in type(row).__slots__}
        again = {"receipt": "f" * 32, "status": InstanceStatus.DUPLICATE, "calling_ae_title": "OTHER"}
        instances.insert(database, type(row)(**fields | again))
    site.complete()
    RouteStage(site.node, ruled([rule()]), lambda _: Plugins()).run_once()
    assert [each.id for each in jobs.of_study(site.ledger.database, STUDY)] == [job.id]


NIGHT = {"open": [{"between": ["20:00", "06:00"]}], "closed": [{"between": ["02:00", "03:00"]}]}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-01T20:00", None),
        ("2026-03-02T05:59", None),
        ("2026-03-02T06:00", "2026-03-02T20:00"),
        ("2026-03-02T02:30", "2026-03-02T03:00"),
    ],
)
def test_a_job_that_queued_until_its_hours_were_over_waits_for_the_next(
    site: Site, now: str, expected: str | None
) -> None:
    """Hours are held against the start, not against the match: a full night must not run into the day."""
    (job,) = decide(site, STUDY, rule(hours=NIGHT), now="2026-03-01T18:00")
    assert job.not_before == at("2026-03-01T20:00")
    assert hours.waits_until(job, at(now)) == (at(expected) if expected else None)


def test_a_job_without_hours_and_one_that_a_person_asks_for_start_at_any_time(site: Site) -> None:
    """`retry` at noon is meant for noon."""
    (free,) = decide(site, "9.1", rule(), now="2026-03-01T12:00")
    assert hours.waits_until(free, at("2026-03-01T12:00")) is None
    (job,) = decide(site, "9.2", rule(hours=NIGHT))
    with site.ledger.transaction() as database:
        jobs.cancel(database, site.clock.now(), job.id, "a test")
        again = jobs.again(database, site.clock.now(), job.id, "admin")
    assert hours.waits_until(again, at("2026-03-01T12:00")) is None
