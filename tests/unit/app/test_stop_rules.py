"""Stop rules: windows of jobs by rule and scanner, exact limits, alerts, suspensions and how they end."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from node import exact_binomial
from node.app.stop_rules import StopRules, is_met
from node.clock import to_text
from node.config.models import Configuration
from node.config.stop_rules import StopRule
from node.desk import pausing
from node.desk.actor import Actor, ActorKind, who_types
from node.errors import UsageError
from node.ledger import attempts, facts, jobs, pauses, stop_windows, suspensions
from node.ledger.alert_kinds import AlertKind
from node.ledger.attempts import AttemptCourse, AttemptFailureKind
from node.ledger.database import Database
from node.ledger.facts import InstanceRecord, SeriesRecord
from node.ledger.job import JobOutcome
from node.ledger.pauses import Pausable
from tests.support import history
from tests.support.sites.job_site import Site
from tests.support.sites.outcomes import enqueue_job

KIM = Actor(ActorKind.OS, "kim")
FAILURES = {"plugin": "lung-density", "watch": "failures", "above": "5%"}
NEEDED = 20
"""Failures of 200 whose exact 99 % limit is above 5 %."""


@dataclass
class Ward:
    """A node whose jobs end as a test wants, and its stop rules."""

    folder: Path
    rules: dict[str, dict[str, Any]]
    site: Site = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        self.site = Site(self.folder)
        self.restart()

    def restart(self) -> None:
        settings = {"node": {"time_zone": "UTC"}, "stop_rules": self.rules}
        self.configuration = Configuration.model_validate(settings)
        self.stage = StopRules(self.site.node, self.configuration)

    def end(
        self,
        *outcomes: JobOutcome,
        scanner: str = "CT1",
        rule: str = "lungs",
        digest: str = "a",
        seconds: float = 10,
        present: bool = True,
        failure: AttemptFailureKind = AttemptFailureKind.CRASH,
    ) -> None:
        """Jobs on a study each end so, one after the other."""
        with self.site.ledger.transaction() as database:  # one: what is counted is the stage's doing, not this
            for outcome in outcomes:
                self.number += 1
                self._end(database, outcome, f"1.9.{self.number}", scanner, rule, digest, seconds, present, failure)
        self.stage.run_once()

    def _end(
        self,
        database: Database,
        outcome: JobOutcome,
        study: str,
        scanner: str,
        rule: str,
        digest: str,
        seconds: float,
        present: bool,
        failure: AttemptFailureKind,
    ) -> None:
        header = {"Manufacturer": ["LO", ["ACME"]], "StationName": ["SH", [scanner]]}
        receipt, now = f"r{self.number}", self.site.clock.now()
        record = InstanceRecord(receipt, f"{study}.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2", 1, (), header)
        database.execute(
            "INSERT INTO studies (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status,"
            " revision, decided_revision, first_received_at, last_received_at, last_association, due_at)"
            " VALUES (?, 'P', '', '', 'complete', 1, 1, ?, ?, 'a', ?)",
            [study, *[to_text(now)] * 3],
        )
        facts.save(database, study, 1, facts.packed(SeriesRecord(f"{study}.1", (record,))))
        job = enqueue_job(database, now, study, [receipt], rule=rule)
        self.site.clock.pass_(seconds=seconds)  # type: ignore[attr-defined]  # a HandClock
        found = {"findings": [{"present": present}]} if outcome is JobOutcome.FINDINGS else None
        jobs.started(database, now, job.id, {"name": "lungs", "version": "1", "software_digest": digest})
        if outcome is JobOutcome.FAILED:
            attempts.note(database, job.id, AttemptCourse(failure))
        jobs.ended(database, self.site.clock.now(), job.id, outcome, f"results/{job.id}", found=found)

    def has_counted(self, jobs: int, hits: int) -> None:
        """The one open window stands so: as if these jobs had ended, which takes seconds for nothing."""
        with self.site.ledger.transaction() as database:
            changed = database.execute("UPDATE stop_windows SET jobs=?, hits=? WHERE ended_at IS NULL", [jobs, hits])
            assert changed.rowcount == 1

    def alerts(self) -> list[str]:
        """The reasons of those that are open."""
        rows = history.open_alerts(self.site.ledger.database)
        return [str(each.detail["reason"]) for each in rows if each.kind is AlertKind.STOP_RULE_MET]

    def suspended(self) -> list[tuple[str, str]]:
        """Rule and scanner of what is suspended."""
        return [(each.rule, each.scanner) for each in suspensions.in_force(self.site.ledger.database)]


GOOD, BAD = JobOutcome.NO_FINDINGS, JobOutcome.FAILED


def test_failures_beyond_the_limit_are_an_alert_at_the_job_that_proves_it(tmp_path: Path) -> None:
    """Not one sooner, and not only when the window is full: no later job could take it back."""
    ward = Ward(tmp_path, {"lungs": FAILURES})
    ward.end(*[GOOD] * 30, *[BAD] * (NEEDED - 1))
    assert ward.alerts() == []
    ward.end(BAD)
    (reason,) = ward.alerts()
    assert reason.startswith(f"{NEEDED} of {30 + NEEDED} jobs failed, whatever the other {170 - NEEDED} of 200 say")
    assert ward.suspended() == [], "alert is the default"


def test_the_same_jobs_raise_it_once_also_after_a_restart(tmp_path: Path) -> None:
    """A new window begins behind them."""
    ward = Ward(tmp_path, {"lungs": FAILURES})
    ward.end(*[BAD] * NEEDED)
    ward.restart()
    ward.end(*[BAD] * (NEEDED - 1))
    met = history.of_kind(ward.site.ledger.database, "plugin.stop-rule-met")
    assert len(met) == 1
    ward.end(BAD)
    assert len(history.of_kind(ward.site.ledger.database, "plugin.stop-rule-met")) == 2
    assert len(ward.alerts()) == 1, "the newer window is the one that is open"


def test_a_window_within_the_limits_closes_the_alert(tmp_path: Path) -> None:
    """Whoever mended it has nothing to remember."""
    ward = Ward(tmp_path, {"lungs": FAILURES})
    ward.end(*[BAD] * NEEDED)
    ward.end(GOOD)
    ward.has_counted(198, 0)
    ward.end(GOOD)
    assert len(ward.alerts()) == 1
    ward.end(GOOD)
    assert ward.alerts() == []


def test_scanners_and_rules_are_counted_apart(tmp_path: Path) -> None:
    """Half the failures at each of two scanners prove nothing."""
    ward = Ward(tmp_path, {"lungs": FAILURES})
    for scanner, rule in (("CT1", "lungs"), ("CT2", "lungs"), ("CT1", "others")):
        ward.end(*[BAD] * (NEEDED - 1), scanner=scanner, rule=rule)
    assert ward.alerts() == []
    ward.end(BAD, scanner="CT2")
    (alert,) = history.open_alerts(ward.site.ledger.database)
    assert alert.detail["scanner"] == "ACME CT2"


def test_other_code_begins_a_new_window(tmp_path: Path) -> None:
    """What an earlier build did is not held against this one, and its alert is over."""
    ward = Ward(tmp_path, {"lungs": FAILURES})
    ward.end(*[BAD] * (NEEDED - 1))
    ward.end(BAD, digest="b")
    assert ward.alerts() == []
    ward.end(*[BAD] * (NEEDED - 1), digest="b")
    assert len(ward.alerts()) == 1
    ward.end(GOOD, digest="c")
    assert ward.alerts() == []


@pytest.mark.parametrize("kind", [AttemptFailureKind.STOPPED, AttemptFailureKind.GONE, AttemptFailureKind.DAMAGED])
def test_what_the_plugin_cannot_help_is_not_counted(tmp_path: Path, kind: AttemptFailureKind) -> None:
    """It was not run."""
    ward = Ward(tmp_path, {"lungs": FAILURES})
    ward.end(*[BAD] * (NEEDED + 1), failure=kind)
    assert (ward.alerts(), stop_windows.open_ones(ward.site.ledger.database)) == ([], [])


def test_latency_counts_results_that_came_too_late(tmp_path: Path) -> None:
    """From the complete images to the result; what failed came not at all, and is not counted."""
    late = {"plugin": "lung_density", "watch": "latency", "longer_than": "10m", "above": 0.05}
    ward = Ward(tmp_path, {"late": late})
    ward.end(*[GOOD] * 5, seconds=600)
    ward.end(*[BAD] * 5, seconds=601)
    ward.end(*[GOOD] * (NEEDED - 1), seconds=601)
    assert ward.alerts() == []
    ward.end(GOOD, seconds=601)
    assert "took longer than 10 minutes" in ward.alerts()[0]


def test_positives_may_be_too_few_or_too_many(tmp_path: Path) -> None:
    """A finding that is absent is none, and what is not applicable is no answer."""
    both = {"plugin": "lung-density", "watch": "positives", "above": "60%", "below": "20%"}
    ward = Ward(tmp_path, {"found": both})
    few, many = exact_binomial.most_below(200, 0.2), exact_binomial.least_above(200, 0.6)
    ward.end(*[JobOutcome.NOT_APPLICABLE] * 5, JobOutcome.FINDINGS, JobOutcome.NO_FINDINGS)
    ward.has_counted(198, few)
    ward.end(JobOutcome.FINDINGS, present=False)
    assert ward.alerts() == []
    ward.end(JobOutcome.FINDINGS, present=False)
    assert ward.alerts()[0].startswith(f"{few} of 200 jobs had a finding: below 0.2")
    ward.end(JobOutcome.FINDINGS, present=False)
    ward.has_counted(many, many - 2)
    ward.end(JobOutcome.FINDINGS)
    assert "below" in ward.alerts()[0], "still that of the earlier window"
    ward.end(JobOutcome.FINDINGS)
    assert "above" in ward.alerts()[0]


def test_a_suspension_names_who_resumed_it_and_why_and_counting_begins_anew(tmp_path: Path) -> None:
    """`pause` cannot make one, and `resume` wants a reason."""
    ward = Ward(tmp_path, {"lungs": FAILURES | {"then": "suspend"}, "more": FAILURES | {"above": "10%"}})
    ward.end(*[BAD] * NEEDED)
    assert ward.suspended() == [("lungs", "ACME CT1")]
    (pause,) = pauses.every(ward.site.ledger.database)
    assert (pause.what, pause.by) == (Pausable.SUSPENSION, "node")
    now = ward.site.clock.now()
    with pytest.raises(UsageError, match="say why"):
        pausing.resume(ward.site.ledger, Pausable.SUSPENSION, pause.name, now, KIM)
    with pytest.raises(UsageError, match="stop rules suspend"):
        pausing.pause(ward.site.ledger, ward.configuration, pause, who_types())
    pausing.resume(ward.site.ledger, Pausable.SUSPENSION, pause.name, now, KIM, "the network was down")
    (event,) = history.of_kind(ward.site.ledger.database, "suspension.resumed")
    assert (event.actor, event.detail["why"]) == ("os:kim", "the network was down")
    assert (ward.suspended(), ward.alerts()) == ([], [])
    assert stop_windows.open_ones(ward.site.ledger.database) == [], "also what other stop rules had counted"


def test_jobs_that_ended_before_there_were_stop_rules_are_not_counted(tmp_path: Path) -> None:
    """A site that adds one is not flooded with its past."""
    ward = Ward(tmp_path, {})
    ward.end(*[BAD] * NEEDED)
    ward.rules = {"lungs": FAILURES}
    ward.restart()
    ward.stage.run_once()
    assert ward.alerts() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jobs": 199}, "greater than or equal to 200"),
        ({"above": None}, "needs a limit"),
        ({"below": "1%"}, "no reason to stop"),
        ({"watch": "latency"}, "longer_than"),
        ({"longer_than": "5m"}, "longer_than"),
        ({"above": "99%"}, "not even all"),
        ({"watch": "positives", "above": None, "below": "1%"}, "not even none"),
        ({"watch": "positives", "below": "6%"}, "less than above"),
    ],
)
def test_a_stop_rule_that_could_never_act_or_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    """When the configuration is checked, not after months of silence."""
    with pytest.raises(ValidationError, match=message):
        StopRule.model_validate(FAILURES | changes)


# --- how often it errs, and how soon it acts --------------------------------------------------------------


def windows(rule: StopRule, hits: Sequence[bool]) -> Iterator[tuple[int, bool]]:
    """The windows of a sequence of jobs: how long each was, and whether it met the rule."""
    number = count = 0
    for hit in hits:
        number, count = number + 1, count + hit
        met = hit and is_met(rule, count, number) is not None  # only one more hit can meet it
        if met or number == rule.jobs:
            yield number, met
            number = count = 0


@pytest.mark.parametrize("rate", [0.05, 0.03])
def test_a_stable_plugin_is_stopped_in_fewer_than_one_window_of_two_hundred(rate: float) -> None:
    """Of 2,000 windows at the very limit 0.5 % at most, by the bound; well below the limit none. Seed 20261130."""
    draw = random.Random(20261130)
    rule = StopRule.model_validate(FAILURES)
    found = list(windows(rule, [draw.random() < rate for _ in range(2_000 * rule.jobs)]))
    wrong = sum(met for _, met in found) / len(found)
    assert wrong <= (0.005 + 3 * (0.005 * 0.995 / 2_000) ** 0.5 if rate == 0.05 else 0.0)


@pytest.mark.parametrize(("rate", "most"), [(1.0, NEEDED), (0.5, 60), (0.2, 160)])
def test_a_drift_is_seen_soon(rate: float, most: int) -> None:
    """Jobs until the alert, in nine of ten drifts, where the window begins with the drift. Seed 7."""
    draw = random.Random(7)
    rule = StopRule.model_validate(FAILURES)
    delays = []
    for _ in range(100):
        seen = 0
        for length, met in windows(rule, [draw.random() < rate for _ in range(3 * rule.jobs)]):
            seen += length
            if met:
                break
        delays.append(seen)
    assert sorted(delays)[int(0.9 * len(delays))] <= most


def test_alerts_are_of_a_kind_that_people_are_notified_of_at_once() -> None:
    """Critical alerts are sent without waiting."""
    assert AlertKind.STOP_RULE_MET.severity == AlertKind.PLUGIN_WITHDRAWN.severity == "critical"
