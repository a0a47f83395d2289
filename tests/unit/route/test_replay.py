"""Replay simulates what rules know of their own past: in the order of time, from what the ledger knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from node.ledger import decisions, jobs, studies
from node.ledger.database import Database
from node.ledger.decisions import DecisionOutcome
from node.ledger.job import JobOutcome
from node.route import replay as replaying
from node.route.replay import DraftChange, ReplayOutcome, RuleSetComparison
from node.route.stage import RouteStage
from node.run import found
from plugins.contract import Code, Finding, Result, ResultStatus
from rules.model import Rule
from tests.support.clocks import HandClock
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import Site

ZONE = ZoneInfo("Asia/Seoul")
BLOOD = Code("50960005", "SCT", "Hemorrhage")


class Plugins:
    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        return dict(asked)


def rule(name: str = "pilot", **fields: Any) -> Rule:
    plain = {"name": name, "when": {"Modality": "CT"}, "choose": {"take": "all"}, "run": "bleed", "mode": "shadow"}
    return Rule.model_validate(plain | fields)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, HandClock())


def arrive(site: Site, study: str, patient: str, *, hours: float, **options: Any) -> None:
    """A study of this patient, so many hours after the last one."""
    assert isinstance(site.clock, HandClock)
    site.clock.pass_(hours=hours)
    site.receive(1, study=study, **options)
    with site.ledger.transaction() as database:
        studies.set_patient(database, study, patient_id=patient, issuer_of_patient_id="", accession_number=study)
    site.complete(study)


def route(site: Site, *rules: Rule) -> None:
    RouteStage(site.node, ruled(rules, ZONE), lambda _: Plugins()).run_once()


def replay(site: Site, now: list[Rule], draft: list[Rule], since: datetime) -> ReplayOutcome:
    uids = studies.completed_since(site.ledger.database, since)
    return replaying.replay(site.ledger.path, uids, since, RuleSetComparison(now, draft), ZONE, lambda _: None)


def matched(database: Database, rule: str, since: datetime) -> int:
    """Studies completed since then of which the node decided that the rule matches."""
    uids = studies.completed_since(database, since)
    every = [each for uid in uids for each in decisions.of_study(database, uid)]
    return sum(each.rule == rule and each.outcome is DecisionOutcome.MATCHED for each in every)


PILOTS = [
    rule("by-day", limits={"per_day": 2}),
    rule("cool", limits={"cool_down": "20 hours"}),
    rule("first-five", limits={"enrolled": 5}, once="study"),
    rule("each-once", once="study"),
    rule("half", sample="50 %", limits={"enrolled": 3}),
    rule("free"),
]


def test_a_replay_of_the_rules_in_force_says_what_the_node_decided(site: Site) -> None:
    """Sixteen studies of five patients over two days: every limit stops in the replay what it stopped then.

    Also where the replay begins in the middle, and what came before stands only in the ledger.
    """
    begin = site.clock.now()
    for number in range(16):
        arrive(site, f"1.{number}", f"P{number % 5}", hours=3)
        route(site, *PILOTS)
    for since in (begin, begin + timedelta(hours=20)):
        done = replay(site, PILOTS, PILOTS, since)
        assert {each.name: done.now.matched[each.name] for each in PILOTS} == {
            each.name: matched(site.ledger.database, each.name, since) for each in PILOTS
        }
        assert done.draft == done.now
        assert not done.differences
    assert 0 < matched(site.ledger.database, "cool", begin) < 16
    assert done.now.stopped["by-day"] > 0


def test_a_tighter_limit_lets_the_first_studies_of_each_day_go(site: Site) -> None:
    """From three a day to one: of the studies of a day the later ones are gone, with the limit as the reason."""
    begin = site.clock.now().astimezone(ZONE)
    for number in range(6):
        arrive(site, f"1.{number}", "P", hours=4)
    done = replay(site, [rule(limits={"per_day": 3})], [rule(limits={"per_day": 1})], begin)
    days: dict[Any, list[str]] = {}
    for number in range(6):
        days.setdefault((begin + timedelta(hours=4 * (number + 1))).date(), []).append(f"1.{number}")
    later = sorted(uid for uids in days.values() for uid in uids[1:3])
    assert sorted(each.study_instance_uid for each in done.differences) == later
    assert {each.change for each in done.differences} == {DraftChange.GONE}
    assert "per_day: 1: 1 studies today" in done.differences[0].draft


def test_enrolment_before_the_replay_counts(site: Site) -> None:
    """Two studies have been enrolled earlier; a draft that stops after three has room for one."""
    for number in range(2):
        arrive(site, f"1.{number}", "P", hours=30)
        route(site, rule())
    since = site.clock.now() + timedelta(hours=1)
    for number in range(2, 5):
        arrive(site, f"1.{number}", "P", hours=2)
    done = replay(site, [rule()], [rule(limits={"enrolled": 3})], since)
    assert (done.now.matched["pilot"], done.draft.matched["pilot"], done.draft.stopped["pilot"]) == (3, 1, 2)
    assert [each.study_instance_uid for each in done.differences] == ["1.3", "1.4"]


def test_a_rule_that_waits_is_asked_again_when_it_would_give_up(site: Site) -> None:
    """Views that never came: with `otherwise: run` it runs after twenty minutes, with `nothing` it does not."""
    begin = site.clock.now()
    arrive(site, "1.1", "P", hours=1)
    wait = {"until": {"SeriesDescription": "FLAIR"}, "at_most": "20 minutes"}
    done = replay(site, [rule(wait=wait)], [rule(wait=wait | {"otherwise": "run"})], begin)
    assert (done.now.matched["pilot"], done.draft.matched["pilot"]) == (0, 1)
    assert "did not come within 20 minutes" in done.differences[0].now


def test_finding_o11_a_fallback_is_replayed_among_the_rules_of_its_own_set(site: Site) -> None:
    """The draft has a rule that takes the study: its fallback does not, and the one in force does."""
    begin = site.clock.now()
    arrive(site, "1.1", "P", hours=1)
    rest = rule("rest", otherwise=True)
    done = replay(site, [rest], [rest, rule("new")], begin)
    assert (done.now.matched["rest"], done.draft.matched["rest"], done.draft.matched["new"]) == (1, 0, 1)
    assert {each.rule: each.change for each in done.differences} == {"rest": DraftChange.GONE, "new": DraftChange.NEW}


def test_the_time_at_which_a_rule_gives_up_counts_for_its_limits(site: Site) -> None:
    """Of two studies the first waits, so the second is the one of the day that runs."""
    begin = site.clock.now()
    arrive(site, "1.1", "P", hours=1)
    arrive(site, "1.2", "Q", hours=0.1, SeriesDescription=("LO", "FLAIR"))
    wait = {"until": {"SeriesDescription": "FLAIR"}, "at_most": "20 minutes", "otherwise": "run"}
    done = replay(site, [], [rule(wait=wait, limits={"per_day": 1})], begin)
    assert [each.study_instance_uid for each in done.differences] == ["1.2"]


STEPS = ["bleed", {"plugin": "volume", "after": "bleed", "when_result": {"has": "SCT:50960005"}}]


def test_later_steps_are_counted_by_the_results_that_are_known(site: Site) -> None:
    """Of three studies one bled, one did not, and of one nobody knows."""
    begin = site.clock.now()
    for number, present in enumerate((True, False, None)):
        arrive(site, f"1.{number}", "P", hours=1)
        if present is not None:
            job = site.job("bleed", [], study=f"1.{number}")
            status = ResultStatus.FINDINGS if present else ResultStatus.NO_FINDINGS
            result = found.of(Result(status, "Looked.", (Finding(BLOOD, present=present),)))
            with site.ledger.transaction() as database:
                jobs.started(database, site.clock.now(), job.id, {})
                jobs.ended(database, site.clock.now(), job.id, JobOutcome(status), "results/x", None, result)
    done = replay(site, [rule()], [rule(run=STEPS)], begin)
    assert done.now.runs == {"bleed": 3}
    assert done.draft.runs == {"bleed": 3, "volume": 1}
    assert done.draft.open == {"volume": 1}
    assert {each.change for each in done.differences} == {DraftChange.DIFFERENT}


def test_once_for_each_series_leaves_out_those_it_has_run_on(site: Site) -> None:
    """One series ran before the replay begins; of two only the other would."""
    by_series = rule(once="series")
    arrive(site, "1.1", "P", hours=1)
    route(site, by_series)
    since = site.clock.now() + timedelta(minutes=1)
    arrive(site, "1.1", "P", hours=1, series="2")
    done = replay(site, [by_series], [by_series], since)
    assert (done.studies, done.now.runs["bleed"]) == (1, 1)


def test_what_a_rule_without_plugins_did_is_told_by_its_decisions(site: Site) -> None:
    """A person was told of one study this hour, so that of two a day one is left."""
    arrive(site, "1.1", "P", hours=1)
    with site.ledger.transaction() as database:
        decisions.keep_rule_set(database, site.clock.now(), "x", "[]")
        decisions.record(
            database,
            site.clock.now(),
            study="1.1",
            revision=1,
            rule="tell",
            rule_set="x",
            outcome=DecisionOutcome.MATCHED,
            trace={},
        )
    since = site.clock.now() + timedelta(minutes=1)
    arrive(site, "1.2", "P", hours=0.1)
    arrive(site, "1.3", "P", hours=0.1)
    plain = {"name": "tell", "when": {"Modality": "CT"}, "notify": {"whom": "desk"}, "mode": "clinical"}
    tell = Rule.model_validate({**plain, "limits": {"per_day": 2}})
    done = replay(site, [tell], [tell], since)
    assert (done.now.matched["tell"], done.now.stopped["tell"]) == (1, 1)
