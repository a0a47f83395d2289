"""Rules that are asked before a study is complete: when its series are, or every so often while it grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from node.config.dictionary import DataDictionary
from node.index import looking
from node.ledger import decisions, facts, jobs, looks, studies
from node.ledger.job import Job, JobOutcome, JobStatus
from node.ledger.studies import StudyStatus
from node.route.recorded import recorded_facts
from node.route.stage import RouteStage
from rules.model import DICTIONARY, Rule
from tests.support.images.receipts import SERIES, STUDY, arrive, ct
from tests.support.sites.configurations import ruled
from tests.support.sites.index_room import Room, configuration

SECOND = f"{STUDY}.2"
ZONE = ZoneInfo("Asia/Seoul")


class Plugins:
    def parameters_for(self, name: str, asked: Mapping[str, object]) -> Mapping[str, object]:
        return dict(asked)


def rule(decide: str = "series complete", **fields: Any) -> dict[str, Any]:
    return {
        "name": "early",
        "when": {"Modality": "CT"},
        "decide": decide,
        "choose": {"take": "all"},
        "run": "good",
        "send": "pacs",
        "mode": "pilot",
    } | fields


class Growing:
    """An indexer and a router on one ledger."""

    def __init__(self, room: Room, *rules: Mapping[str, Any]) -> None:
        self.room = room
        self.rules = [Rule.model_validate(each, context={DICTIONARY: DataDictionary()}) for each in rules]
        settings = configuration(destinations={"pacs": {"ae_title": "P", "host": "h", "port": 1}}, rules=rules)
        room.configuration = settings
        room.index.use(settings)
        self.route = RouteStage(room.node, ruled(self.rules, ZONE), lambda _: Plugins())

    def comes(self, number: int, series: str = SERIES, **changes: Any) -> None:
        self.come(ct(number, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}", **changes))

    def come(self, dataset: Any) -> None:
        arrive(self.room.data_folder, dataset)
        self.run()

    def run(self) -> None:
        self.room.index.run_once()
        self.route.run_once()

    def pass_(self, **duration: float) -> None:
        self.room.clock.pass_(**duration)
        self.run()

    def restart(self) -> None:
        self.room.restart()
        self.route = RouteStage(self.room.node, ruled(self.rules, ZONE), lambda _: Plugins())

    @property
    def database(self) -> Any:
        return self.room.ledger.database

    def jobs(self) -> list[Job]:
        return jobs.of_study(self.database, STUDY)

    def given(self) -> list[dict[str, int]]:
        """Of each job that was not cancelled: series → images."""
        return [
            {each.series_instance_uid: len(each.receipts) for each in job.inputs}
            for job in self.jobs()
            if job.status is not JobStatus.CANCELLED
        ]

    def decided(self) -> list[tuple[int, int, str, str]]:
        return [(d.revision, d.look, d.rule, str(d.outcome)) for d in decisions.of_study(self.database, STUDY)]

    def status(self) -> StudyStatus:
        row = studies.get(self.database, STUDY)
        assert row is not None
        return row.status


def test_a_complete_series_is_decided_while_the_next_one_comes(room: Room) -> None:
    """On one association that stays open: the first series runs after its quiet period, the second with the study."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule(once="series"), rule("complete", name="late"))
        node.comes(1)
        node.pass_(seconds=40)
        node.comes(1, SECOND)
        node.pass_(seconds=19)
        assert node.decided() == []
        node.pass_(seconds=1)
        assert node.decided() == [(0, 1, "early", "matched")]
        assert (node.given(), node.status()) == ([{SERIES: 1}], StudyStatus.RECEIVING)
        trace = decisions.of_study(node.database, STUDY)[0].trace
        assert trace["seen"] == {"complete": False, "series": {SERIES: 1, SECOND: 1}, "growing": [SECOND]}
    node.pass_(seconds=60)
    assert node.decided()[1:] == [(1, 0, "early", "matched"), (1, 0, "late", "matched")]
    assert node.given() == [{SERIES: 1}, {SECOND: 1}, {SERIES: 1, SECOND: 1}]


def test_a_complete_series_that_grows_is_decided_again(room: Room) -> None:
    """A slice that comes late: the job on the series as it was, which has not begun, is overtaken."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule())
        node.comes(1)
        node.pass_(seconds=60)
        assert node.given() == [{SERIES: 1}]
        node.comes(2)
        node.pass_(seconds=30)
        assert len(node.decided()) == 1
        node.pass_(seconds=30)
    assert node.given() == [{SERIES: 2}]
    first, second = node.jobs()
    assert (first.status, second.supersedes) == (JobStatus.CANCELLED, first.id)
    assert "more of the study has come" in str(first.error)
    node.pass_(seconds=60)
    assert node.decided() == [(0, 1, "early", "matched"), (0, 2, "early", "matched"), (1, 0, "early", "unchanged")]


def test_a_job_that_has_begun_is_not_overtaken(room: Room) -> None:
    """What runs is let run: its result is then replaced by the next one's, as ever."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule())
        node.comes(1)
        node.pass_(seconds=60)
        with room.ledger.transaction() as database:
            jobs.started(database, room.clock.now(), node.jobs()[0].id, {})
        node.comes(2)
        node.pass_(seconds=60)
    assert node.given() == [{SERIES: 1}, {SERIES: 2}]


def test_the_facts_of_a_look_are_kept_for_job_and_explanation(room: Room) -> None:
    """What a job is given is found under its look; the study, still arriving, can be explained whole."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule())
        node.comes(1)
        node.pass_(seconds=60)
        node.comes(1, SECOND)
        (job,) = node.jobs()
        kept = facts.of_study(node.database, STUDY, job.revision, job.look)
        assert [(one.series_instance_uid, len(one.instances)) for one in kept] == [(SERIES, 1)]
        row = studies.get(node.database, STUDY)
        assert row is not None
        seen = recorded_facts(node.database, row, ZONE)
        assert [(s.series_instance_uid, len(s.instances), s.complete) for s in seen.series] == [
            (SERIES, 1, True),
            (SECOND, 1, False),
        ]
        assert seen.series[0].instances[0].attributes["Rows"].values == (64,)
        assert not seen.complete
    node.pass_(seconds=60)
    (first, second) = facts.of_study(node.database, STUDY, 1)
    assert (len(first.instances), len(second.instances)) == (1, 1)


@pytest.mark.parametrize("restart", [False, True])
def test_a_rule_is_asked_every_five_minutes_while_the_study_grows(room: Room, restart: bool) -> None:
    """Five minutes after the first image, then only if more has come; other rules wait for the end."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule("every 5 minutes"), rule("complete", name="late"))
        node.comes(1)
        node.pass_(minutes=3)
        if restart:
            node.restart()
        node.pass_(seconds=119)
        assert node.decided() == []
        node.pass_(seconds=1)
        assert node.decided() == [(0, 1, "early", "matched")]
        node.pass_(seconds=270)
        node.comes(2)
        assert len(node.decided()) == 1
        node.pass_(seconds=30)
        assert len(node.decided()) == 2
        node.pass_(minutes=5)
        assert len(node.decided()) == 2
        node.comes(3)
        assert node.decided()[2:] == [(0, 3, "early", "matched")]
    node.pass_(minutes=1)
    assert node.decided()[3:] == [(1, 0, "early", "unchanged"), (1, 0, "late", "matched")]
    assert node.given() == [{SERIES: 3}, {SERIES: 3}]


def test_what_is_decided_on_a_part_says_so_to_its_readers(room: Room) -> None:
    """The question that report and page repeat: about the images that had come so far, unless the series was whole."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule("every 5 minutes", description="Blood?"), rule(name="whole", description="Blood?"))
        node.comes(1)
        node.pass_(seconds=60)
        node.pass_(seconds=230)
        node.comes(2)
        node.pass_(seconds=10)
        asked = {job.rule: job.asked for job in node.jobs()}
    assert asked == {"early": "Blood? (on the images that had come so far)", "whole": "Blood?"}


def test_a_later_step_does_not_wait_for_the_end_of_the_study(room: Room) -> None:
    """The result of a job from a look asks for the next step at once, on the images of that look."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule(run=["good", {"plugin": "next", "after": "good"}]))
        node.comes(1)
        node.pass_(seconds=60)
        (job,) = node.jobs()
        node.comes(1, SECOND)
        with room.ledger.transaction() as database:
            now = room.clock.now()
            jobs.started(database, now, job.id, {})
            jobs.ended(database, now, job.id, JobOutcome.FINDINGS, "results/x")
        node.run()
        assert node.status() is StudyStatus.RECEIVING
        assert [(each.step, each.look) for each in node.jobs()] == [("good", 1), ("next", 1)]
        assert node.given() == [{SERIES: 1}, {SERIES: 1}]


def test_nothing_is_looked_at_of_a_study_that_is_held(room: Room) -> None:
    """It may be another patient's."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule(), rule("every 5 minutes", name="often"))
        node.comes(1)
        with room.ledger.transaction() as database:
            studies.hold(database, room.clock.now(), STUDY, "two patients")
        node.pass_(minutes=6)
        assert node.decided() == []


def test_a_look_that_is_past_is_not_decided_any_more(room: Room) -> None:
    """Complete before the rules were asked: they are asked about the whole, once."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule())
        node.comes(1)
        room.clock.pass_(seconds=60)
        room.index.run_once()
        assert len(looks.undecided(node.database)) == 1
    room.index.run_once()
    node.route.run_once()
    assert node.decided() == [(1, 0, "early", "matched")]
    assert looks.undecided(node.database) == []


@pytest.mark.parametrize("hours", [-2, 2])
def test_fault_57_a_jump_of_the_wall_clock_does_not_keep_a_growing_study_from_its_looks(room: Room, hours: int) -> None:
    """Back: five minutes later at the latest; forward: at once, which harms nobody."""
    with room.data_folder.association("association-1"):
        node = Growing(room, rule("every 5 minutes"))
        node.comes(1)
        room.clock.jump(hours=hours)
        node.run()
        node.pass_(minutes=5)
        assert [look for _, look, _, _ in node.decided()] == [1]


def test_a_study_that_cannot_be_looked_at_is_decided_when_it_is_complete(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect nobody foresaw costs the early look, with one alert."""

    def fails(*_: Any) -> None:
        raise KeyError(STUDY)

    monkeypatch.setattr(looking, "keep_facts", fails)
    with room.data_folder.association("association-1"):
        node = Growing(room, rule())
        node.comes(1)
        node.pass_(seconds=60)
        node.pass_(seconds=60)
        assert len(room.events("study.not-looked-at")) == 1
    node.pass_(seconds=60)
    assert node.decided() == [(1, 0, "early", "matched")]
