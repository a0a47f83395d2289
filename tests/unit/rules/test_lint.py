"""Lint: what can never match is told, where, and is never told of a rule that can; the unlikely is a warning."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import conditions
from rules.conditions import StudyView
from rules.contradictions import Contradiction
from rules.engine import decide
from rules.facts import StudyFacts
from rules.lint import lint
from tests.unit.rules.building import Dictionary, make_rule, make_series, make_study
from tests.unit.rules.test_properties import ON_SERIES, ON_STUDY, STUDIES, combined


def findings(when: Any, **changed: Any) -> list[Contradiction]:
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


@pytest.mark.parametrize(
    "when",
    [
        {"StudyDate": {"between": ["today", "today - 2 years"]}},
        {"any_image": {"AcquisitionDate": {"after": "StudyDate + 3 days", "before": "StudyDate"}}},
        {"any_series": {"SliceThickness": {"above": 5, "at_most": 5}}},
        {"any_series": {"KVP": {"above": 5, "below": 5}}},
        {"image_count": 1.5},
        {"series_count": {"above": 1, "below": 2}},
        {"count_series": {"where": {"Modality": "CT"}, "is": 0.5}},
        {"patient_age": {"at_least": 18, "below": "6 months"}},
        {"patient_age": {"between": ["3 years", "20 months"]}},
        {"patient_age": {"above": 17, "below": 18}},
        {"StudyDate": {"after": "2024-01-01", "before": "2024-01-02"}},
    ],
    ids=str,
)
def test_finding_q11_a_contradiction_is_an_error(when: Any) -> None:
    """Relative days, open ends, parts of an image, ages in other units: what no study can satisfy does not load."""
    assert [each.certain for each in findings(when)] == [True]


@pytest.mark.parametrize(
    "when",
    [
        {"StudyDate": {"between": ["today - 2 years", "today"]}},
        {"StudyDate": {"after": "2024-01-01", "before": "today"}},
        {"any_series": {"SliceThickness": {"at_least": 5, "at_most": 5}}},
        {"patient_age": {"at_least": "6 months", "below": 18}},
        {"patient_age": {"at_least": "216 months", "at_most": 18}},
        {"patient_age": {"above": 16, "below": 18}},
        {"series_count": {"above": 1, "below": 3}},
        {"image_count": {"is": 1.5, "tolerance": 1}},
    ],
    ids=str,
)
def test_finding_q11_what_some_study_satisfies_loads(when: Any) -> None:
    """Beside each of the contradictions stands one that is none."""
    assert findings(when) == []


@pytest.mark.parametrize(
    "when",
    [{"every_series": {"Modality": "CT"}}, {"not": {"Modality": "MR"}}, {"every_image": {"Modality": "CT"}}],
    ids=str,
)
def test_finding_q11_when_and_where_must_not_exclude_each_other(when: Any) -> None:
    """Every series of the study is a CT, and an MR is to be chosen."""
    (found,) = findings(when, choose={"where": {"Modality": "MR"}})
    assert found.certain
    assert found.place[:3] == (0, "choose", "where")
    assert findings(when, choose={"where": {"Modality": "CT"}}) == []


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"PatientSex": "male"}, "hardly ever 'male'"),
        ({"ImageLaterality": "left"}, "hardly ever 'left'"),
        ({"Modality": "SC"}, "hardly ever 'SC'"),
        ({"any_image": {"Modality": ["CT", "XRAY"]}}, "hardly ever 'XRAY'"),
        ({"AcquisitionType": "HELICAL"}, "hardly ever 'HELICAL'"),
    ],
    ids=str,
)
def test_finding_o13_a_value_that_the_standard_does_not_define_is_a_warning(when: Any, said: str) -> None:
    """Real files hold such values, so that the rule loads, as the documentation says."""
    (found,) = findings(when)
    assert not found.certain
    assert said in found.message


@pytest.mark.parametrize(
    ("when", "said", "meant"),
    [
        ({"StudyDescription": {"matches": "CT?chest*"}}, "? stands for itself", "CT*chest*"),
        ({"StudyDescription": {"matches": "chest"}}, "only the whole text 'chest' matches", "*chest*"),
        ({"StudyDescription": {"matches": ["*thorax*", "chest"]}}, "only the whole text 'chest' matches", "*chest*"),
        ({"StationName": "“CT1”"}, "typographic quotes", "CT1"),
        ({"any_image": {"ImageType": "ORIGINAL\\PRIMARY"}}, "write {contains: [ORIGINAL, PRIMARY]}", None),
        ({"any_image": {"ImageType": {"matches": "ORIGINAL\\PRIMARY*"}}}, "a backslash separates values", None),
    ],
    ids=str,
)
def test_finding_o7_a_pattern_that_was_meant_otherwise_is_a_warning(when: Any, said: str, meant: str | None) -> None:
    """The DICOM wildcard, quotes of a word processor, a pattern without star, several values in one text."""
    found = [each for each in findings(when) if said in each.message]
    assert found, findings(when)
    assert (found[0].certain, found[0].suggestion) == (False, meant)


def test_finding_q11_a_star_itself_can_be_written() -> None:
    r"""`T2*` is a sequence: in `matches`, `\*` is a star and nothing else."""
    rule = make_rule({"SeriesDescription": {"matches": "*t2\\**"}})
    for text, holds in (("ax T2* gre", True), ("ax T2 tse", False)):
        study = make_study(make_series("1.1", "MR", [{"SeriesDescription": text}]))
        assert decide([rule], study)[0].matched is holds
    assert findings({"SeriesDescription": {"matches": "*t2\\**"}}) == []


def test_finding_o8_a_share_below_one_per_cent_is_asked_about() -> None:
    """`0.1 %` was perhaps meant as a tenth."""
    (found,) = findings({"Modality": "CT"}, sample="0.1 %")
    assert not found.certain
    assert "0.1 % is one study in 1,000" in found.message
    assert findings({"Modality": "CT"}, sample="10 %") == []


def test_finding_q11_three_thousand_rules_are_looked_at_in_seconds() -> None:
    """Each pair was compared before: 1,000 rules took 41 s. All of these run the same plugin on the same series."""
    rules = [make_rule({"Modality": "CT", "StationName": f"CT{n}"}, name=f"r{n}") for n in range(3000)]
    began = time.process_time()
    found = list(lint([*rules, make_rule({"Modality": "CT"}, name="all")], Dictionary()))
    assert time.process_time() - began < 60
    assert [each.message.split(",")[0] for each in found] == [f"matches whatever the rule r{n} does" for n in range(3)]


@pytest.mark.parametrize("where", [{"ImageType": {"contains": "DERIVED"}}, {"made_by_ai": True}], ids=str)
def test_finding_t4_a_choice_of_original_images_that_asks_for_others_is_a_warning(where: Any) -> None:
    """A rule for reformatted series has to say `images: any`."""
    (found,) = findings({"Modality": "CT"}, choose={"where": where})
    assert (found.certain, found.place[:3]) == (False, (0, "choose", "where"))
    assert "write images: any" in found.message
    assert findings({"Modality": "CT"}, choose={"where": where, "images": "any"}) == []
