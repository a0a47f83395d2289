"""Lint: what can never match is told, where, and is never told of a rule that can; the unlikely is a warning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import conditions
from rules.conditions import StudyView
from rules.engine import decide
from rules.facts import StudyFacts
from rules.lint import Finding, lint
from tests.unit.rules.building import Dictionary, make_rule
from tests.unit.rules.test_properties import ON_SERIES, ON_STUDY, STUDIES, combined


def findings(when: Any, **changed: Any) -> list[Finding]:
    return list(lint([make_rule(when, **changed)], Dictionary()))


@pytest.mark.parametrize(
    ("when", "place"),
    [
        ({"SliceThickness": {"at_least": 5, "at_most": 3}}, ("SliceThickness",)),
        ({"any_series": {"SliceThickness": {"above": 5}, "all": [{"SliceThickness": 2}]}}, ("any_series", "all", 0)),
        ({"any_series": {"all": [{"Modality": "CT"}, {"Modality": "MR"}]}}, ("any_series", "all", 1, "Modality")),
        ({"any_image": {"Modality": "CT", "not": {"Modality": ["CT", "MR"]}}}, ("any_image", "Modality")),
        ({"received_weekday": "friday", "all": [{"received_weekday": "monday"}]}, ("all", 0, "received_weekday")),
        ({"received_time": {"between": ["22:00", "06:00"]}}, ("received_time",)),
        ({"StudyDate": {"after": "2024-02-01", "before": "2024-01-01"}}, ("StudyDate",)),
        ({"patient_age": {"at_least": 18, "below": 18}}, ("patient_age",)),
        ({"StationName": {"present": False}, "all": [{"StationName": "CT1"}]}, ("all", 0, "StationName")),
        ({"all": [{"StationName": "A"}, {"not": {"StationName": "A"}}]}, ("all", 0, "StationName")),
        ({"any": [{"KVP": {"above": 5, "below": 3}}, {"KVP": {"above": 7, "below": 3}}]}, ("any", 0, "KVP")),
        ({"count_series": {"where": {"Modality": "CT"}, "at_least": 3, "at_most": 2}}, ("count_series",)),
        ({"count_images": {"where": {"KVP": {"above": 5, "below": 3}}, "is": 2}}, ("count_images", "where", "KVP")),
        ({"series_count": {"at_least": 4}, "all": [{"series_count": 2}]}, ("all", 0, "series_count")),
    ],
    ids=str,
)
def test_what_can_never_match_is_told_at_its_line(when: Any, place: tuple[str | int, ...]) -> None:
    """Empty ranges, values that exclude each other, presence and absence, a condition and its negation."""
    found = [each for each in findings(when) if each.certain]
    assert found, when
    assert found[0].place[: len(place) + 2] == (0, "when", *place)


@pytest.mark.parametrize(
    "when",
    [
        {"all": [{"Modality": "CT"}, {"Modality": "MR"}]},
        {"all": [{"SliceThickness": {"above": 5}}, {"SliceThickness": {"below": 2}}]},
        {"SliceThickness": {"at_least": 5, "at_most": 3, "missing": True}},
        {"any_series": {"all": [{"ImageType": {"contains": "AXIAL"}}, {"ImageType": {"contains": "MPR"}}]}},
        {"any_series": {"all": [{"ConvolutionKernel": "B30"}, {"ConvolutionKernel": "3"}]}},
        {"SliceThickness": {"at_least": 1.5, "at_most": 1.5}},
        {"any": [{"KVP": {"above": 5, "below": 3}}, {"Modality": "CT"}]},
        {"no_series": {"KVP": {"above": 5, "below": 3}}},
        {"count_series": {"where": {"KVP": {"above": 5, "below": 3}}, "at_most": 2}},
        {"patient_age": {"at_least": 18, "below": "19 years"}},
        {"StationName": {"present": False}, "all": [{"StationName": {"is": "A", "missing": True}}]},
    ],
    ids=str,
)
def test_what_can_match_is_not_told(when: Any) -> None:
    """Two images of a study may differ, a missing value may count, several values may stand in one attribute."""
    assert findings(when) == []


def test_a_choice_that_excludes_what_it_asks_is_told() -> None:
    """`where` on images that `only_images` has left out."""
    choose = {"only_images": {"SliceThickness": {"at_most": 1}}, "where": {"SliceThickness": {"at_least": 3}}}
    [found] = findings({"Modality": "CT"}, choose=choose)
    assert (found.place, found.certain) == ((0, "choose", "where"), True)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"BurnedInAnnotation": "N"}, "YES, NO"),
        ({"any_image": {"PresentationIntentType": {"matches": "*PRESENT"}}}, "matches none of the usual values"),
        ({"MRAcquisitionType": ["3D", "4D"]}, "hardly ever '4D'"),
    ],
)
def test_a_value_that_the_standard_does_not_list_is_a_warning(when: Any, said: str) -> None:
    """No more than that: a vendor may write it."""
    [found] = findings(when)
    assert (found.certain, said in found.message) == (False, True), found
    assert findings({"PresentationIntentType": {"matches": "*presentation"}, "BurnedInAnnotation": "no"}) == []


def test_rules_that_do_the_same_are_told_once_each() -> None:
    """The same condition, or one that holds whenever the other does; another choice, plugin or parameter is another."""
    wide = make_rule({"Modality": "CT"}, name="wide")
    narrow = make_rule({"Modality": "CT", "StationName": "A"}, name="narrow")
    same = make_rule({"Modality": "CT"}, name="same")
    messages = [found.message for found in lint([wide, narrow, same], Dictionary())]
    assert [message.split(",")[0] for message in messages] == [
        "the rule wide matches whatever this one does",
        "asks the same as the rule wide",
        "matches whatever the rule narrow does",
    ]
    others = [
        make_rule({"Modality": "CT"}, name="plugin", run="other"),
        make_rule({"Modality": "CT"}, name="choice", choose={"take": "one"}),
        make_rule({"Modality": "CT"}, name="off", enabled=False),
    ]
    assert list(lint([wide, *others], Dictionary())) == []


RANGES = st.builds(
    lambda keyword, low, high, missing: {keyword: {low[0]: low[1], high[0]: high[1], **missing}},
    st.sampled_from(["SliceThickness", "SeriesNumber", "PixelSpacing", "series_count"]),
    st.tuples(st.sampled_from(["above", "at_least", "is"]), st.integers(0, 4)),
    st.tuples(st.sampled_from(["below", "at_most"]), st.integers(0, 4)),
    st.sampled_from([{}, {}, {"missing": True}]),
)
TEXTS = st.sampled_from(
    [{"Modality": "CT"}, {"Modality": "SR"}, {"Modality": ["CT", "SR"]}, {"StudyDescription": {"is": "CT"}}]
)
PRESENCE = st.builds(
    lambda keyword, present: {keyword: {"present": present}},
    st.sampled_from(["SliceThickness", "StudyDescription"]),
    st.booleans(),
)
PRONE = st.recursive(st.one_of(RANGES, TEXTS, PRESENCE), combined, max_leaves=4)
ON_SERIES_PRONE = st.builds(
    lambda quantity, parts: {quantity: {"all": parts}},
    st.sampled_from(["any_series", "every_series", "any_image", "no_series"]),
    st.lists(PRONE.filter(lambda each: "series_count" not in str(each)), min_size=1, max_size=3),
)


@settings(max_examples=600, deadline=None)
@given(st.one_of(ON_STUDY, PRONE, ON_SERIES_PRONE), st.one_of(ON_SERIES, PRONE), STUDIES)
def test_what_is_said_never_to_match_never_matches(when: Any, where: Any, study: StudyFacts) -> None:
    """Whatever the facts: no false alarm. Held against `when` alone and against whole rules."""
    rule = make_rule(when, choose={"where": where, "take": "all"})
    found = [each for each in lint([rule], Dictionary()) if each.certain]
    view = StudyView(study)
    if any(each.place[1] == "when" for each in found) and view.series:  # a study without instances matches nothing
        assert conditions.study(rule.condition, view) is not True, found
    if found:
        assert not decide([rule], study)[0].matched, found


@pytest.mark.parametrize(
    ("until", "place"),
    [
        ({"any_series": {"Modality": "CT", "all": [{"Modality": "MR"}]}}, ("any_series", "all", 0, "Modality")),
        ({"not": {"Modality": "CT"}}, ()),
        ({"series_count": {"below": 1, "above": 3}}, ("series_count",)),
    ],
)
@pytest.mark.parametrize(("otherwise", "certain"), [("nothing", True), ("run", False)])
def test_what_is_waited_for_in_vain_is_told(until: Any, place: Any, otherwise: str, certain: bool) -> None:
    """Also where `when` asks the opposite; refused where the rule does nothing otherwise, else a warning."""
    wait = {"until": until, "at_most": "20 minutes", "otherwise": otherwise}
    found = findings({"Modality": "CT"}, wait=wait)
    assert [(each.place, each.certain) for each in found] == [((0, "wait", "until", *place), certain)]


def test_what_is_waited_for_is_looked_at_like_when() -> None:
    """Unlikely values; what may come is not told."""
    wait = {"until": {"any_series": {"BodyPartExamined": "CHES"}}, "at_most": "20 minutes"}
    [found] = findings({"Modality": "CT"}, wait=wait)
    assert (found.suggestion, found.certain) == ("CHEST", False)
    assert not findings({"Modality": "CT"}, wait=wait | {"until": {"series_count": {"at_least": 4}}})


def test_a_value_of_its_own_is_not_taken_for_misspelt() -> None:
    """What is far from every well-known value, or says several things, may be a vendor's."""
    for own in ("CHEST_ABD", "HEAD NECK", "M_SE", "THORACIC"):
        assert not findings({"BodyPartExamined": own})
