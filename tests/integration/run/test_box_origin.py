"""Rules that say `origin: answer`: asked when a vendor's box has answered, without a revision and without a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.config.models import Configuration
from node.ledger import decisions, jobs, looks, studies
from node.ledger.decisions import DecisionOutcome
from node.ledger.job import Job, JobOutcome
from node.route.stage import RouteStage
from node.run import catalogue
from rules.model import Rule
from tests.support.dimse.vendor_box import VendorBox
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.shared_data import shared_data
from tests.support.sites.box_room import BoxRoom
from tests.support.sites.job_site import NOT_ISOLATED

Make = Callable[..., BoxRoom]
CT: dict[str, Any] = {"Modality": "CT"}
FIRST = {"name": "first", "when": CT}
SECOND = {"name": "second", "when": {"origin": "answer", "answered_by": "cad", "answer_modality": "SR"}}


class RoutedRoom:
    """A room whose jobs are decided by rules."""

    def __init__(self, room: BoxRoom, *rules: dict[str, Any]) -> None:
        made = [
            Rule.model_validate({"choose": {"where": CT}, "run": "cad", "send": ["pacs"], "mode": "pilot"} | each)
            for each in rules
        ]
        configuration: Configuration = room.configuration.model_copy(update={"rules": tuple(made)})
        boxes, data = configuration.boxes, room.data_folder.data
        plugins = catalogue.load(configuration.plugins, data, NOT_ISOLATED, boxes=boxes)
        self.room = room
        self.route = RouteStage(room.node, configuration, lambda _: plugins)

    def receive(self, *numbers: int) -> None:
        """These slices come, the study is complete, and the rules decide."""
        for number in numbers:
            arrive(self.room.data_folder, ct(number))
        self.room.index.run_once()
        self.room.clock.pass_(minutes=10)  # type: ignore[attr-defined]
        self.room.index.run_once()
        self.decide()

    def decide(self) -> None:
        """What has ended is looked at, and what comes of it."""
        self.route.run_once()
        self.route.run_once()
        self.room.send()

    def answer(self, *objects: Any) -> None:
        """The box answers with these."""
        self.room.arrives(objects)
        self.room.passes(seconds=31)
        self.decide()

    @property
    def jobs(self) -> list[Job]:
        """Of the study."""
        return jobs.of_study(self.room.ledger.database, STUDY)

    def outcomes(self, rule: str) -> list[tuple[int, str]]:
        """The look and the outcome of each decision of a rule."""
        found = decisions.of_study(self.room.ledger.database, STUDY)
        return [(each.look, str(each.outcome)) for each in found if each.rule == rule]


def test_a_rule_that_says_so_decides_on_what_a_box_answered(make: Make, box: VendorBox) -> None:
    """At the revision that the study has; no other rule is asked, and what it runs never asks it again."""
    routed = RoutedRoom(make(), FIRST, SECOND)
    routed.receive(1, 2)
    assert [each.rule for each in routed.jobs] == ["first"]
    routed.answer(box.report())
    assert [(each.rule, each.look) for each in routed.jobs] == [("first", 0), ("second", 1)]
    assert len(box.received) == 4
    routed.answer(box.report(box.received[2:], InstanceNumber=2))
    assert [each.outcome for each in routed.jobs] == [JobOutcome.FINDINGS] * 2
    assert (routed.outcomes("first"), routed.outcomes("second")) == (
        [(0, DecisionOutcome.MATCHED)],
        [(0, DecisionOutcome.NOT_MATCHED), (1, DecisionOutcome.MATCHED)],
    )
    assert looks.undecided(routed.room.ledger.database) == []
    study = studies.get(routed.room.ledger.database, STUDY)
    assert study is not None
    assert study.revision == 1


def test_a_rule_decides_by_the_findings_of_the_answer(make: Make, box: VendorBox) -> None:
    """A measurement report that does not say whether the thing is there: it is unknown, and never present."""
    unknown = {"name": "unknown", "when": {"origin": "answer", "answer_unknown": {"present": True}}}
    present = {"name": "present", "when": {"origin": "answer", "answer_present": {"present": True}}}
    routed = RoutedRoom(make(), FIRST, unknown, present)
    routed.receive(1, 2)
    routed.answer(box.play(shared_data("ImagingDataCommons_highdicom/data/test_files/sr_document.dcm")))
    (first, *_) = routed.jobs
    states = {each["present"] for each in (first.found or {})["findings"]}
    matched = {name for name in ("unknown", "present") if (1, DecisionOutcome.MATCHED) in routed.outcomes(name)}
    assert matched == {name for name, state in (("unknown", None), ("present", True)) if state in states}
    assert states


def test_no_answer_asks_no_rule(make: Make, box: VendorBox) -> None:
    """Silence is reported by the job itself."""
    routed = RoutedRoom(make(use={"deadline": "20m"}), FIRST, SECOND)
    routed.receive(1, 2)
    routed.room.passes(minutes=21)
    routed.decide()
    assert [each.outcome for each in routed.jobs] == [JobOutcome.FAILED]
    assert routed.outcomes("second") == [(0, DecisionOutcome.NOT_MATCHED)]


def test_a_study_that_grew_before_the_rule_was_asked_is_looked_at_as_it_is_now(make: Make, box: VendorBox) -> None:
    """The answer is not forgotten; and after a restart it is asked all the same, once."""
    routed = RoutedRoom(make(), FIRST, {**SECOND, "choose": {"where": {"Modality": "CT"}, "take": "all"}})
    routed.receive(1, 2)
    routed.room.arrives([box.report()])
    routed.room.passes(seconds=31)
    routed.route.run_once()  # the look is kept, and the study grows before it is decided
    arrive(routed.room.data_folder, ct(3))
    routed.room.index.run_once()
    routed.room.restart()
    routed.decide()
    routed.receive()
    routed.decide()
    (row,) = [each for each in routed.jobs if each.rule == "second"]
    assert len([receipt for given in row.inputs for receipt in given.receipts]) in (2, 3)
    assert looks.undecided(routed.room.ledger.database) == []
