"""From a match to people: whom a rule tells, once, and what its bounds count."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from node.ledger import decisions, jobs, notifications
from node.ledger.decisions import DecisionOutcome
from node.ledger.notifications import Occasion
from node.notify.message import text_of
from node.route.stage import RouteStage
from node.wake import Stage
from rules.model import Rule
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site


class Plugins:
    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        return dict(asked)


def rule(**fields: Any) -> Rule:
    notify = {"whom": ["duty", "desk"], "text": "Look."}
    return Rule.model_validate({"name": "tell", "when": {"Modality": "CT"}, "notify": notify, "mode": "pilot"} | fields)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def decide(site: Site, study: str = STUDY, *rules: Rule) -> list[tuple[str, str]]:
    """A study arrives and is decided; whom anybody was told of it by, in all."""
    site.receive(1, study=study)
    site.complete(study)
    RouteStage(site.node, ruled(rules or (rule(),)), lambda _: Plugins()).run_once()
    database = site.ledger.database
    return [(each.person, text_of(database, each)) for each in notifications.of_study(database, study)]


def test_a_match_tells_everybody_named_and_once_a_study(site: Site) -> None:
    """A rule that does nothing else matches; as the study grows nobody is told again."""
    bell = site.signal.subscribe(Stage.NOTIFY)
    assert decide(site) == [("duty", "Look."), ("desk", "Look.")]
    assert bell.is_set()
    (decision,) = decisions.of_study(site.ledger.database, STUDY)
    assert decision.outcome is DecisionOutcome.MATCHED
    assert decide(site) == [("duty", "Look."), ("desk", "Look.")]
    assert {each.occasion for each in notifications.of_study(site.ledger.database, STUDY)} == {Occasion.MATCH}


def test_a_rule_may_run_and_tell(site: Site) -> None:
    """Both come of one decision."""
    both = rule(run="good", choose={}, send="pacs")
    assert len(decide(site, STUDY, both)) == 2
    assert len(jobs.of_study(site.ledger.database, STUDY)) == 1


def test_outside_the_hours_of_a_rule_a_match_is_told_when_they_begin(site: Site) -> None:
    """It is 18:00 in Seoul: `wait` tells at 20:00, `skip` never."""
    night = {"open": [{"between": ["20:00", "06:00"]}]}
    never = rule(name="never", hours={**night, "otherwise": "skip"})
    assert len(decide(site, STUDY, rule(hours=night), never)) == 2
    assert notifications.due(site.ledger.database, site.clock.now()) == []
    assert len(notifications.due(site.ledger.database, site.clock.now() + timedelta(hours=2))) == 2


def test_bounds_count_the_matches_of_a_rule_that_runs_nothing(site: Site) -> None:
    """Two studies a day: the third is not told; `once: study` looks at matches, too."""
    limited = rule(limits={"per_day": 2})
    assert [len(decide(site, study, limited)) for study in ("1.1", "1.2", "1.3")] == [2, 2, 0]
    decide(site, "1.1", rule(name="once", once="study"))
    decide(site, "1.1", rule(name="once", once="study"))
    last = decisions.of_study(site.ledger.database, "1.1")[-1]
    assert last.trace["why"] == "when holds, but once: study: it has run on this study"


ANALYSES: dict[str, Any] = {"choose": {"where": {"Modality": "MR"}}, "run": "good", "send": "pacs"}


def occasions(site: Site) -> list[str]:
    return [each.occasion for each in notifications.of_study(site.ledger.database, STUDY)]


def test_a_study_that_a_rule_cannot_analyse_is_told_once_it_is_complete(site: Site) -> None:
    """No series fits: told when the study is complete, once, in the words of the rule; not in shadow mode."""
    of = {"on": ["not_analysed", "findings"], "whom": "duty", "text": "No AI."}
    assert decide(site, STUDY, rule(notify=of, **ANALYSES)) == [("duty", "No AI.")]
    assert decide(site, STUDY, rule(notify=of, **ANALYSES)) == [("duty", "No AI.")]
    assert occasions(site) == ["not-analysed"]
    silent = rule(name="silent", notify=of, **{**ANALYSES, "mode": "shadow"})
    assert len(decide(site, STUDY, silent)) == 1


def test_while_a_study_grows_nobody_is_told_that_it_lacks_something(site: Site) -> None:
    """What a look does not find may still come."""
    site.receive(1)
    growing = rule(decide="every 5 minutes", notify={"on": "not_analysed", "whom": "duty"}, **ANALYSES)
    RouteStage(site.node, ruled((growing,)), lambda _: Plugins()).run_once()
    assert occasions(site) == []


def test_what_a_rule_says_of_results_goes_with_its_jobs(site: Site) -> None:
    """Nobody is told of a match where the rule tells of findings alone; the job knows whom, and who is next."""
    of = {"on": "findings", "whom": "duty", "acknowledge": "10m", "then": "boss", "finding": {"urgent": True}}
    assert decide(site, STUDY, rule(notify=of, run="good", choose={}, send="pacs")) == []
    (job,) = jobs.of_study(site.ledger.database, STUDY)
    (kept,) = job.terms.notices
    assert (kept.on, kept.whom, kept.within, kept.then) == (("findings",), ("duty",), 600.0, ("boss",))
    assert kept.finding == {"urgent": True}
