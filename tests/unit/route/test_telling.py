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
