"""Rules that wait for more of a study: asked again as it grows, and when their time is over, also over a restart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from node.desk import actions
from node.desk.actor import Actor, ActorKind
from node.errors import NotFoundError, PermanentError
from node.ledger import decisions, jobs, notifications, studies, timers
from node.ledger.decisions import StoredDecision
from node.notify.message import text_of
from node.route.stage import RouteStage
from rules.model import Rule
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site

ALICE = Actor(ActorKind.OS, "alice")


class Plugins:
    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        return dict(asked)


def rule(otherwise: str = "run", **fields: Any) -> Rule:
    """Wants two series of a CT, and waits 20 minutes for the second."""
    wait: dict[str, Any] = {"until": {"series_count": {"at_least": 2}}, "at_most": "20 minutes", "otherwise": otherwise}
    if otherwise == "notify":
        wait["notify"] = {"whom": "desk", "text": "views are missing"}
    plain = {
        "name": "pair",
        "when": {"Modality": "CT"},
        "wait": wait,
        "choose": {"take": "all"},
        "run": "good",
        "send": "pacs",
        "mode": "pilot",
    } | fields
    return Rule.model_validate(plain)


class Waiting:
    """A site, and one rule on it."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        self.use(rule())

    def use(self, *rules: Rule) -> None:
        """From now on, in a process of its own: what is in memory is gone."""
        site = self.site
        self.route = RouteStage(site.node, ruled(rules), lambda _: Plugins())

    def comes(self, series: str = "1") -> None:
        self.site.receive(2, series=series)
        self.site.complete()
        self.route.run_once()

    def pass_(self, **duration: float) -> float:
        assert isinstance(self.site.clock, HandClock)
        self.site.clock.pass_(**duration)
        return self.route.run_once()

    @property
    def database(self) -> Any:
        return self.site.ledger.database

    def outcomes(self) -> list[tuple[int, int, str]]:
        return [(d.revision, d.look, str(d.outcome)) for d in decisions.of_study(self.database, STUDY)]

    def last(self) -> StoredDecision:
        return decisions.of_study(self.database, STUDY)[-1]

    def until(self) -> list[datetime]:
        return [each.due_at for each in timers.waiting(self.database)]

    def images(self) -> list[int]:
        """Of each job how many it was given."""
        return [sum(len(i.receipts) for i in job.inputs) for job in jobs.of_study(self.database, STUDY)]

    def told(self) -> list[tuple[str, str, str]]:
        return [
            (str(n.occasion), n.person, text_of(self.database, n)) for n in notifications.of_study(self.database, STUDY)
        ]


@pytest.fixture
def node(tmp_path: Path) -> Waiting:
    return Waiting(tmp_path)


def test_a_match_waits_and_says_until_when_and_for_what(node: Waiting) -> None:
    """A timer in the ledger, no job; decision and trace name what is missing."""
    node.comes()
    assert node.outcomes() == [(1, 0, "waiting")]
    assert node.until() == [node.site.clock.now() + timedelta(minutes=20)]
    assert node.last().trace["why"] == "when holds, and more is awaited until 18:20: series_count: {at_least: 2}"
    assert node.last().trace["wait"]["passed"] is False
    assert node.images() == []


def test_what_is_awaited_comes(node: Waiting) -> None:
    """Asked again with the next revision: it runs on all, and the wait is over for good."""
    node.comes()
    node.pass_(minutes=19)
    node.comes("2")
    assert (node.images(), node.until()) == ([4], [])
    node.pass_(minutes=5)
    assert node.outcomes() == [(1, 0, "waiting"), (2, 0, "matched")]


@pytest.mark.parametrize(
    ("otherwise", "outcome", "images", "told"),
    [
        ("run", "matched", [2], []),
        ("notify", "matched", [], [("wait-over", "desk", "views are missing")]),
        ("nothing", "not_matched", [], []),
    ],
)
def test_what_is_awaited_does_not_come(
    node: Waiting, otherwise: str, outcome: str, images: list[int], told: list[tuple[str, str, str]]
) -> None:
    """At the very moment, once, and over a restart: what `otherwise` says."""
    node.use(rule(otherwise))
    node.comes()
    assert node.pass_(minutes=19) == pytest.approx(60)
    node.use(rule(otherwise))
    assert node.pass_(seconds=59) == pytest.approx(1)
    assert node.outcomes() == [(1, 0, "waiting")]
    for _ in range(2):
        node.pass_(seconds=1)
        assert node.outcomes() == [(1, 0, "waiting"), (1, 1, outcome)]
        assert (node.images(), node.told(), node.until()) == (images, told, [])
    assert node.last().trace["why"].startswith("when holds, but what it waited for did not come within 20 minutes")
    assert node.last().trace["seen"] == {"complete": True, "series": {"1.2.3.1": 2}, "growing": []}


def test_after_telling_that_it_did_not_come_it_runs_where_it_comes_after_all(node: Waiting) -> None:
    """Told once; the set is analysed when it is whole."""
    node.use(rule("notify"))
    node.comes()
    node.pass_(minutes=20)
    node.pass_(minutes=30)
    node.comes("2")
    assert (node.images(), len(node.told())) == ([4], 1)


def test_growing_does_not_prolong_the_wait(node: Waiting) -> None:
    """More of the same series after 15 minutes: it still ends 20 minutes after `when` first held."""
    node.comes()
    end = node.until()
    node.pass_(minutes=15)
    node.comes()
    assert node.until() == end
    node.pass_(minutes=5)
    assert node.images() == [4]


def test_a_study_that_is_arriving_when_the_time_is_over_is_decided_with_what_arrives(node: Waiting) -> None:
    """The second series is on its way: not run on half of it."""
    node.comes()
    node.site.receive(2, series="2")
    node.pass_(minutes=25)
    assert node.images() == []
    node.site.complete()
    node.route.run_once()
    assert node.images() == [4]


def test_of_a_held_study_nothing_is_decided_until_it_is_released(node: Waiting) -> None:
    """A correction arrived: the time goes on, what follows waits for a person."""
    node.comes()
    with node.site.ledger.transaction() as database:
        studies.hold(database, node.site.clock.now(), STUDY, "a correction arrived")
    node.pass_(minutes=30)
    assert node.outcomes() == [(1, 0, "waiting")]
    with node.site.ledger.transaction() as database:
        studies.unhold(database, node.site.clock.now(), STUDY, "admin")
    node.route.run_once()
    assert node.images() == [2]


def test_a_wait_is_ended_by_the_rules_that_began_it_and_growth_is_decided_by_those_in_force(node: Waiting) -> None:
    """A rule that is gone still does what it promised to this study, but not if the study grows before."""
    node.comes()
    node.use(rule("nothing", name="other"))
    node.pass_(minutes=20)
    assert (node.last().rule, str(node.last().outcome), node.images()) == ("pair", "matched", [2])

    second = Waiting(node.site.folder / "second")
    second.comes()
    second.use(rule("nothing", name="other"))
    second.comes()
    second.pass_(minutes=20)
    assert [(d.rule, str(d.outcome)) for d in decisions.of_study(second.database, STUDY)] == [
        ("pair", "waiting"),
        ("other", "waiting"),
        ("other", "not_matched"),
    ]


def test_a_rule_that_does_not_wait_any_more_ends_its_wait(node: Waiting) -> None:
    """The rule of this name has been changed, and the study has grown: what it once promised is past."""
    node.use(rule("notify"))
    node.comes()
    node.use(rule(wait=None))
    node.comes()
    assert (node.images(), node.until()) == ([4], [])
    node.pass_(minutes=25)
    assert node.told() == []


def test_a_clock_that_is_set_back_prolongs_no_wait(node: Waiting) -> None:
    """Fault 57: an hour back after ten minutes; ten minutes later it is over."""
    node.comes()
    node.pass_(minutes=10)
    assert isinstance(node.site.clock, HandClock)
    node.site.clock.jump(hours=-1)
    node.pass_(minutes=10)
    assert node.images() == [2]


def test_a_rule_that_cannot_be_read_any_more_is_an_alert_and_stops_nothing(node: Waiting) -> None:
    """A later program may not know what an old rule says."""
    node.comes()
    with node.site.ledger.transaction() as database:
        database.execute('UPDATE rule_sets SET content=\'[{"name": "pair", "of old": 1}]\'')
    node.pass_(minutes=20)
    (alert,) = history.open_alerts(node.database)
    assert alert.kind == "study.decision-failed"
    assert node.until() == []


@pytest.mark.parametrize(
    ("otherwise", "outcome", "images"),
    [("run", "matched", [2]), ("notify", "matched", []), ("nothing", "not_matched", [])],
)
def test_a_person_ends_the_wait_and_the_rule_decides_as_at_its_deadline(
    node: Waiting, otherwise: str, outcome: str, images: list[int]
) -> None:
    """At once, what `otherwise` says, also over a restart; the trace says why it did not wait longer, the event who."""
    node.use(rule(otherwise))
    node.comes()
    node.pass_(minutes=3)
    done = actions.complete(node.site.ledger, STUDY, node.site.clock.now(), ALICE)
    assert done.sentence == f"nothing more of study {STUDY} is waited for: pair decides as at its deadline"
    node.use(rule(otherwise))
    for _ in range(2):
        node.route.run_once()
        assert node.outcomes() == [(1, 0, "waiting"), (1, 1, outcome)]
    assert (node.images(), node.until()) == (images, [])
    assert (
        node.last()
        .trace["why"]
        .startswith("when holds, but what it waited for did not come before a person ended the wait")
    )
    (event,) = history.of_kind(node.database, "rule.wait-ended")
    assert (event.actor, event.detail) == ("os:alice", {"rule": "pair"})


def test_a_wait_that_a_person_ended_is_over_for_what_comes_before_it_is_decided_too(node: Waiting) -> None:
    """More came in the same moment: the new revision is decided with all of it, and waits no more."""
    node.use(rule().model_copy(update={"name": "other"}), rule())
    node.comes()
    actions.complete(node.site.ledger, STUDY, node.site.clock.now(), ALICE, "pair")
    node.comes("1")
    names = {each.rule: str(each.outcome) for each in decisions.of_study(node.database, STUDY) if each.revision == 2}
    assert names == {"pair": "matched", "other": "waiting"}


def test_where_nothing_waits_no_wait_is_ended(node: Waiting) -> None:
    """The refusal says what is the case."""
    node.comes()
    with pytest.raises(NotFoundError, match="rule another does not wait"):
        actions.complete(node.site.ledger, STUDY, node.site.clock.now(), ALICE, "another")
    node.site.receive(1, series="3")
    with pytest.raises(PermanentError, match="is still being received"):
        actions.complete(node.site.ledger, STUDY, node.site.clock.now(), ALICE, "pair")
