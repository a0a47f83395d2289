"""Values as conditions read them: what is there and not kept, numbers, texts, dates and times."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import pytest

from rules import values
from rules.engine import decide
from rules.explain import lines
from rules.facts import Element, SeriesFacts
from tests.unit.rules.building import make_rule, make_series, make_study


def matches(when: object, *images: dict[str, Any], **choose: Any) -> bool:
    rule = make_rule(when, **({"choose": choose} if choose else {}))
    return decide([rule], make_study(make_series("1.1", "CT", images)))[0].matched


def series_with_unkept(uid: str = "1.1", vr: str = "LT", keyword: str = "AdditionalPatientHistory") -> SeriesFacts:
    made = make_series(uid, "CT", [{}])
    instance = made.instances[0]
    instance = instance._replace(attributes={**instance.attributes, keyword: Element(vr, (), kept=False)})
    return SeriesFacts(uid, "CT", (instance,))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"AdditionalPatientHistory": {"present": True}}, True),
        ({"AdditionalPatientHistory": {"present": False}}, False),
        ({"not": {"AdditionalPatientHistory": {"present": False}}}, True),
        ({"AdditionalPatientHistory": {"matches": "*x*"}}, None),
        ({"not": {"AdditionalPatientHistory": {"matches": "*x*"}}}, None),
        ({"AdditionalPatientHistory": {"matches": "*x*", "missing": True}}, None),
        ({"any": [{"Modality": "CT"}, {"AdditionalPatientHistory": {"matches": "*x*"}}]}, True),
    ],
)
def test_finding_q1_a_value_that_is_not_kept_is_present_and_otherwise_undecidable(
    condition: dict[str, Any], holds: bool | None
) -> None:
    """1,400 bytes of history: there for `present`; every other question stays open, also under `not`, and says so."""
    study = make_study(series_with_unkept())
    for rule in (make_rule(condition), make_rule({"Modality": "CT"}, choose={"where": condition})):
        decision = decide([rule], study)[0]
        assert decision.matched is (holds is True)
        if holds is None:
            assert "is in doubt" in decision.why
            said = "\n".join(lines(decision.trace))
            assert "(there, not kept) in the only instance, so nothing but its presence can be decided" in said


def test_finding_q1_one_value_that_fits_decides_beside_one_that_is_not_kept() -> None:
    """Under `when` one image is enough: an unkept value beside it changes nothing; alone it leaves doubt."""
    rule = make_rule({"AdditionalPatientHistory": {"matches": "*x*"}})
    kept = make_series("1.2", "CT", [{"AdditionalPatientHistory": "axb"}])
    other = make_series("1.2", "CT", [{"AdditionalPatientHistory": "ab"}])
    assert decide([rule], make_study(series_with_unkept(), kept))[0].matched
    assert "in doubt" in decide([rule], make_study(series_with_unkept(), other))[0].why


def test_finding_q2_overlay_and_curve_groups_are_asked_by_tag() -> None:
    """`no_image: {"(6000,0010)": {present: true}}` does not match an image with an overlay."""
    no_overlay = {"no_image": {"(6000,0010)": {"present": True}}}
    assert matches(no_overlay, {"Modality": "CT"})
    assert not matches(no_overlay, {"(6000,0010)": 512})
    assert matches({"(5000,0005)": {"at_least": 2}}, {"(5000,0005)": 2})


def test_finding_q5_a_count_is_certain_where_every_number_it_may_be_answers_alike() -> None:
    """One series surely fits, another is in doubt: the count is not 0, so `not: {is: 0}` holds."""
    sure = make_series("1.1", "CT", [{"SliceThickness": 1.0}])
    doubtful = make_series("1.2", "CT", [{"SliceThickness": 1.0}, {"SliceThickness": 5.0}])
    thin = {"SliceThickness": {"at_most": 1.5}}
    study = make_study(sure, doubtful)
    assert decide([make_rule({"not": {"count_series": {"where": thin, "is": 0}}})], study)[0].matched
    assert "in doubt" in decide([make_rule({"count_series": {"where": thin, "is": 1}})], study)[0].why


def test_finding_q6_reduced_and_retired_dates_are_put_in_order() -> None:
    """`202403` of a DT is March 2024 and not 20:24:03; `2024.01.02` is a date."""

    def chosen(keyword: str, *stated: str) -> int:
        study = make_study(*(make_series(f"1.{n}", "CT", [{keyword: value}]) for n, value in enumerate(stated)))
        rule = make_rule({"Modality": "CT"}, choose={"prefer": [{keyword: "newest"}]})
        (run,) = decide([rule], study)[0].runs
        return int(run.inputs[0].series_instance_uid[2:])

    assert chosen("AcquisitionDateTime", "20240229235959", "202403", "20240115") == 1
    assert chosen("AcquisitionDateTime", "2023", "20220101") == 0
    assert chosen("SeriesDate", "20240101", "2024.01.02") == 1
    assert chosen("SeriesTime", "101500.5", "101500.7", "1015") == 1


@pytest.mark.parametrize("written", ["1_0", "1 0", "nan", "inf", "0x10", "١٠", ""])
def test_finding_q7_only_a_decimal_number_is_a_number(written: str) -> None:
    """`1_0` is not 10: a value that DICOM does not know as a number is missing (PS3.5 6.2, DS and IS)."""
    assert values.number(written) is None
    assert not matches({"SliceThickness": {"at_least": 0}}, {"SliceThickness": written})


def test_finding_q8_whole_numbers_are_exact_and_decimal_ones_are_not() -> None:
    """SeriesNumber 1000001 is not 1000002; a thickness stored as 0.30000001 is 0.3."""
    assert not matches({"SeriesNumber": 1000002}, {"SeriesNumber": 1000001})
    assert not matches({"SeriesNumber": {"above": 1000000}}, {"SeriesNumber": 1000000})
    assert matches({"SeriesNumber": {"is": 1000002, "tolerance": 1}}, {"SeriesNumber": 1000001})
    assert matches({"SliceThickness": {"at_most": 0.3}}, {"SliceThickness": 0.30000001})


@pytest.mark.parametrize("test", [{"regex": "흉부"}, {"is": "흉부 CT", "case_sensitive": True}, {"matches": "흉부*"}])
def test_finding_q9_a_text_is_the_same_however_it_is_composed(test: dict[str, Any]) -> None:
    """Hangul in conjoining letters (NFD), in the header or in the rule, equals its syllables for every operator."""
    decomposed = unicodedata.normalize("NFD", "흉부 CT")
    assert matches({"StudyDescription": test}, {"StudyDescription": decomposed})
    turned = {key: value if value is True else value.replace("흉부", decomposed[:-3]) for key, value in test.items()}
    assert matches({"StudyDescription": turned}, {"StudyDescription": "흉부 CT"})


def test_finding_q10_what_is_no_date_is_none_and_fractions_of_a_second_count() -> None:
    """`20240101XYZ` is unreadable; 12:00:00.5 is after 12:00; a DT compares by its day."""
    assert not matches({"StudyDate": {"is": "2024-01-01"}}, {"StudyDate": "20240101XYZ"})
    assert matches({"StudyTime": {"after": "12:00"}}, {"StudyTime": "120000.500000"})
    assert matches({"AcquisitionDateTime": {"is": "2024-01-01"}}, {"AcquisitionDateTime": "20240101083000.5+0900"})


def test_finding_q10_a_side_that_means_nothing_hides_no_other() -> None:
    """ImageLaterality X is not a side: Laterality L then says it."""
    assert matches({"laterality": "left"}, {"ImageLaterality": "X", "Laterality": "L"})


@pytest.mark.parametrize(("degrees", "plane"), [(36.95, "axial"), (37.05, "oblique")])
def test_finding_q10_a_slice_is_axial_up_to_37_degrees(degrees: float, plane: str) -> None:
    """As the documentation says, and not up to 36.87."""
    tilt = math.radians(degrees)
    orientation = (1.0, 0.0, 0.0, 0.0, math.cos(tilt), math.sin(tilt))
    assert matches({"slice_plane": plane}, {"ImageOrientationPatient": orientation})


def test_finding_q10_each_documented_mark_can_be_asked_for() -> None:
    """`cut-header` is a mark, so a rule may name it."""
    assert matches({"marks": {"contains": "cut-header"}}, {"marks": ("cut-header",)})


def test_finding_q10_one_image_with_another_study_date_disables_no_clause() -> None:
    """StudyDate in a relative day is that of most images."""
    images = [{"StudyDate": "20240301", "AcquisitionDate": "20240302"}] * 3
    within = {"AcquisitionDate": {"between": ["StudyDate", "StudyDate + 1 day"]}}
    assert matches(within, *images, {"StudyDate": "19990101"})
