"""How far a rule was from matching, read from its trace."""

from __future__ import annotations

from typing import Any

import pytest

from rules.engine import decide
from rules.shortfall import Shortfall, StopPoint, shortfall
from tests.unit.rules.building import make_rule, make_series, make_study


def lacked(when: Any, **rule: Any) -> Shortfall:
    """What a rule lacks for a CT study: a scout of one image and a thick series of three."""
    series = (
        make_series("1.1", "CT", [{}], SeriesNumber=1, SliceThickness=5.0, PatientSex="F", PatientID="SECRET"),
        make_series("1.2", "CT", [{}] * 3, SeriesNumber=2, SliceThickness=5.0, PatientSex="F", PatientID="SECRET"),
    )
    (decision,) = decide([make_rule(when, **rule)], make_study(*series))
    found = shortfall(decision.trace)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("when", "summary", "words"),
    [
        (
            {"Modality": "CT", "PatientSex": "M"},
            "when: 1 of 2 hold, all but PatientSex: M",
            ("PatientSex: M — F in all 4 instances, fails",),
        ),
        (
            {"Modality": "MR"},
            "when: 0 of 1 hold, all but Modality: MR",
            ("Modality: MR — CT in all 4 instances, fails",),
        ),
        (
            {"Modality": "CT", "any": [{"PatientSex": "M"}, {"SliceThickness": {"below": 1}}]},
            "when: 1 of 2 hold, all but (PatientSex: M or SliceThickness: {below: 1})",
            (
                "PatientSex: M — F in all 4 instances, fails"
                " or SliceThickness: {below: 1} — 5 in all 4 instances, fails",
            ),
        ),
        (
            {"any_series": {"Modality": "CT", "SliceThickness": {"below": 1}}},
            "when: 0 of 1 hold, all but any_series",
            (
                "any_series — 0 of 2 series; closest series 2 (CT): "
                "SliceThickness: {below: 1} — 5 in all 3 instances, fails",
            ),
        ),
    ],
)
def test_finding_o1_what_does_not_hold_is_said_with_what_the_study_has(
    when: Any, summary: str, words: tuple[str, ...]
) -> None:
    """In one line without values of the study, and clause by clause with them."""
    found = lacked(when)
    assert (found.stopped, found.summary, found.words) == (StopPoint.WHEN, summary, words)


def test_finding_o1_what_tells_who_the_patient_is_is_not_shown() -> None:
    """The clause is the rule's own; the value is the study's."""
    (line,) = lacked({"PatientID": "T-1"}).words
    assert line.startswith("PatientID: T-1 — it does not hold")
    assert "SECRET" not in line


def test_finding_o1_where_no_series_is_left_the_closest_one_says_why() -> None:
    """The series with more images, of two that lack as much."""
    found = lacked({"Modality": "CT"}, choose={"where": {"Modality": "CT", "SliceThickness": {"at_most": 1.5}}})
    assert (found.stopped, found.where) == (StopPoint.CHOOSE, "series 2 (CT)")
    assert found.words == ("SliceThickness: {at_most: 1.5} — 5 in all 3 instances, fails",)
    assert found.summary == "choose, closest series 2 (CT): 1 of 2 hold, all but SliceThickness: {at_most: 1.5}"


def test_finding_o1_the_later_a_rule_stopped_the_closer_it_was() -> None:
    """Limits before series before `when`; of two that stop at `when` the one that lacks less."""
    drawn = lacked({"Modality": "CT"}, sample="0.001%")
    thin = lacked({"Modality": "CT"}, choose={"where": {"SliceThickness": {"below": 1}}})
    one = lacked({"Modality": "CT", "PatientSex": "M"})
    two = lacked({"Modality": "MR", "PatientSex": "M"})
    assert drawn.stopped is StopPoint.LATER
    assert drawn.nearness > thin.nearness > one.nearness > two.nearness


def test_a_rule_that_matched_lacks_nothing() -> None:
    """None; nor does one whose trace says nothing of its clauses."""
    (decision,) = decide([make_rule({"Modality": "CT"})], make_study(make_series("1.1", "CT", [{}])))
    assert shortfall(decision.trace) is None
    assert shortfall({"why": "x"}) is None
