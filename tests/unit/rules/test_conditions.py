"""What each operator asks, what missing means, and how many images have to satisfy a condition."""

from __future__ import annotations

from typing import Any

import pytest

from rules import reading
from rules.engine import decide
from rules.facts import Element, StudyFacts
from tests.unit.rules.building import Dictionary, make_rule, make_series, make_study


def holds(when: object, study: StudyFacts) -> bool | None:
    """True, False, or None where the rule is in doubt."""
    trace = decide([make_rule(when)], study)[0].trace
    passed: bool | None = trace["when"]["passed"]
    return passed


def one(**values: Any) -> StudyFacts:
    return make_study(make_series("1.1", "CT", [values]))


CODE = {"CodeValue": "51185008", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Chest"}
CASES: list[tuple[object, dict[str, Any], bool]] = [
    ({"Modality": "ct"}, {}, True),
    ({"Modality": ["MR", "PT"]}, {}, False),
    ({"StudyDescription": "ct  chest"}, {"StudyDescription": " CT  Chest "}, True),
    ({"StudyDescription": {"is": "CT", "case_sensitive": True}}, {"StudyDescription": "Ct"}, False),
    ({"StudyDescription": {"matches": "*chest*"}}, {"StudyDescription": "THORAX/CHEST routine"}, True),
    ({"StudyDescription": {"matches": "chest"}}, {"StudyDescription": "chest routine"}, False),
    ({"StudyDescription": {"matches": "chest (1.0)*"}}, {"StudyDescription": "Chest (1.0) B30"}, True),
    ({"StudyDescription": {"matches": "chest (1.0)*"}}, {"StudyDescription": "Chest (1x0) B30"}, False),
    ({"StudyDescription": {"matches": "*흉부*"}}, {"StudyDescription": "흉부 CT"}, True),
    ({"StudyDescription": {"matches": "stra\u00dfe*"}}, {"StudyDescription": "STRASSE 5"}, True),
    ({"StudyDescription": {"regex": r"\bt1\b"}}, {"StudyDescription": "Ax T1 post"}, True),
    ({"StudyDescription": {"regex": "^t1"}}, {"StudyDescription": "Ax T1 post"}, False),
    ({"ImageType": {"contains": ["AXIAL", "ORIGINAL"]}}, {"ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}, True),
    ({"ImageType": {"contains": ["AXIAL", "DERIVED"]}}, {"ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}, False),
    ({"SliceThickness": {"at_most": 0.3}}, {"SliceThickness": 0.30000001192092896}, True),
    ({"SliceThickness": {"below": 0.3}}, {"SliceThickness": 0.2999999999}, False),
    ({"SliceThickness": {"is": 1, "tolerance": 0.25}}, {"SliceThickness": "1.25"}, True),
    ({"SliceThickness": {"is": 1}}, {"SliceThickness": 1.25}, False),
    ({"SliceThickness": {"above": 1, "below": 2}}, {"SliceThickness": 2}, False),
    ({"SliceThickness": {"between": [1, 2]}}, {"SliceThickness": 2}, True),
    ({"SliceThickness": [1, 1.25]}, {"SliceThickness": 1.25}, True),
    ({"SliceThickness": {"at_most": 5}}, {"SliceThickness": "abc"}, False),
    ({"PixelSpacing": {"at_most": 0.8}}, {"PixelSpacing": (0.7, 1.2)}, False),
    ({"PixelSpacing": {"in": [0.7, 0.8]}}, {"PixelSpacing": (0.7, 0.8)}, True),
    ({"StudyDate": {"after": "today - 2 years"}}, {"StudyDate": "20220302"}, True),
    ({"StudyDate": {"after": "today - 2 years"}}, {"StudyDate": "20220301"}, False),
    ({"AcquisitionDate": {"before": "StudyDate"}}, {"AcquisitionDate": "20240229", "StudyDate": "20240301"}, True),
    ({"AcquisitionDate": {"before": "StudyDate"}}, {"AcquisitionDate": "20240229"}, False),
    ({"AcquisitionDateTime": {"is": "2024-02-29"}}, {"AcquisitionDateTime": "20240229101500.5+0900"}, True),
    ({"StudyDate": {"between": ["2024-01-01", "2024-12-31"]}}, {"StudyDate": "2024.12.31"}, True),
    ({"StudyTime": {"between": ["08:00", "17:59"]}}, {"StudyTime": "175930.123"}, False),
    ({"StudyTime": {"before": "08:00"}}, {"StudyTime": "0759"}, True),
    ({"patient_age": {"at_most": 17}}, {"PatientBirthDate": "20060901", "StudyDate": "20240301"}, True),
    ({"patient_age": {"at_least": 18}}, {"PatientBirthDate": "20060301", "StudyDate": "20240301"}, True),
    ({"patient_age": {"at_least": 18}}, {"PatientBirthDate": "20060302", "StudyDate": "20240301"}, False),
    ({"patient_age": {"below": "6 months"}}, {"PatientAge": "005M"}, True),
    ({"patient_age": {"below": "6 months"}}, {"PatientAge": "006M"}, False),
    (
        {"patient_age": {"at_least": 18}},
        {"PatientAge": "012Y", "PatientBirthDate": "19600101", "StudyDate": "20240301"},
        False,
    ),
    ({"AnatomicRegionSequence": {"code": "SCT:51185008"}}, {"AnatomicRegionSequence": [CODE]}, True),
    ({"AnatomicRegionSequence": {"code": "SRT:51185008"}}, {"AnatomicRegionSequence": [CODE]}, False),
    ({"AnatomicRegionSequence.CodeMeaning": "chest"}, {"AnatomicRegionSequence": [{}, CODE]}, True),
    ({"ContrastBolusAgent": {"present": False}}, {"ContrastBolusAgent": ""}, True),
    ({"ContrastBolusAgent": {"present": False}}, {"ContrastBolusAgent": "Iomeron"}, False),
    ({"AnatomicRegionSequence": {"present": True}}, {"AnatomicRegionSequence": [CODE]}, True),
    ({"(0018,0050)": {"at_most": 2}}, {"SliceThickness": 1}, True),
    ({"(0029,SIEMENS CSA HEADER,08)": "image num 4"}, {"(0029,SIEMENS CSA HEADER,08)": "IMAGE NUM 4"}, True),
    ({"(0029,GEMS.PARM 01,A1)": {"at_least": 7}}, {"(0029,GEMS.PARM 01,a1)": "7"}, True),
    ({"calling_ae_title": "pacs"}, {}, True),
    ({"received_weekday": "friday", "received_time": {"before": "09:30"}}, {}, True),
    ({"image_count": 20, "series_count": 1}, {"frames": 20}, True),
    ({"marks": {"contains": "lossy"}}, {"marks": ["lossy"]}, True),
    ({"TransferSyntaxUID": "1.2.840.10008.1.2.1"}, {}, True),
    ({"PatientName": {"matches": "hong^*"}}, {"PatientName": "Hong^Gildong"}, True),
]


@pytest.mark.parametrize(("when", "values", "expected"), CASES, ids=[str(case[0]) for case in CASES])
def test_an_operator_on_one_instance(when: object, values: dict[str, Any], expected: bool) -> None:
    """One instance, one clause: what is asked and what the header holds decide."""
    assert holds(when, one(**values)) is expected
    assert holds({"not": when}, one(**values)) is not expected


@pytest.mark.parametrize(
    ("missing", "expected"), [({}, False), ({"missing": True}, True), ({"missing": "error"}, None)]
)
@pytest.mark.parametrize("value", [None, "", "  ", "abc"])
def test_absent_empty_and_unreadable_are_missing(missing: dict[str, Any], expected: bool | None, value: Any) -> None:
    """Missing counts as false unless the clause says otherwise; an error is a problem and matches nothing."""
    when = {"SliceThickness": {"at_most": 2, **missing}}
    (decision,) = decide([make_rule(when)], one(SliceThickness=value))
    assert decision.trace["when"]["passed"] is expected
    assert decision.matched is (expected is True)
    assert bool(decision.problems) is (expected is None)


SLICES = [{"SliceThickness": 1.0}] * 272 + [{"SliceThickness": 5.0}] * 3
MIXED = make_study(make_series("1.1", "CT", SLICES), make_series("1.2", "SR", [{"frames": 0}]))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"Modality": "CT"}, True),
        ({"not": {"Modality": "SR"}}, False),
        ({"SliceThickness": {"at_most": 2}}, True),
        ({"not": {"SliceThickness": {"at_most": 2}}}, False),
        ({"any_series": {"SliceThickness": {"at_most": 2}}}, None),
        ({"no_series": {"SliceThickness": {"at_most": 2}}}, None),
        ({"not": {"any_series": {"SliceThickness": {"at_most": 2}}}}, None),
        ({"any_series": {"SliceThickness": {"at_most": 5}}}, True),
        ({"every_series": {"Modality": ["CT", "SR"]}}, True),
        ({"every_series": {"Modality": "CT"}}, False),
        ({"any_series": {"any_image": {"SliceThickness": 5}}}, True),
        ({"any_image": {"SliceThickness": 5}}, True),
        ({"every_image": {"SliceThickness": {"at_most": 5}}}, False),
        ({"every_image": {"SliceThickness": {"at_most": 5, "missing": True}}}, True),
        ({"no_image": {"SliceThickness": {"above": 5}}}, True),
        ({"count_images": {"where": {"SliceThickness": 1}, "is": 272}}, True),
        ({"count_images": {"where": {"SliceThickness": 1}, "above": 272}}, False),
        ({"count_series": {"where": {"Modality": ["CT", "SR"]}, "at_least": 2}}, True),
        ({"count_series": {"where": {"SliceThickness": 1}, "is": 1}}, None),
        ({"image_count": 275}, True),
        ({"any_series": {"Modality": "SR", "SliceThickness": {"present": True}}}, False),
    ],
    ids=str,
)
def test_how_many_images_have_to_satisfy(when: object, expected: bool | None) -> None:
    """272 thin and 3 thick slices in one series, and a report: any image for `when`, all images for a series."""
    assert holds(when, MIXED) is expected


def test_images_that_disagree_keep_a_series_from_being_chosen_and_the_trace_says_how_many() -> None:
    """3 of 275 slices are thicker: not chosen, under `not` neither, and the trace counts both values."""
    for where in ({"SliceThickness": {"at_most": 2}}, {"not": {"SliceThickness": {"above": 2}}}):
        (decision,) = decide([make_rule({"Modality": "CT"}, choose={"where": {"Modality": "CT", **where}})], MIXED)
        candidate = decision.trace["choose"][0]["parts"][0]
        assert (decision.matched, candidate["passed"], candidate["why"]) == (
            False,
            None,
            "its images disagree on where",
        )
        assert "5 in 3 of 275 instances" in str(candidate)


def test_fault_77_a_regular_expression_cannot_blow_up() -> None:
    """Nested quantifiers on 400 kB that almost match: linear, where backtracking would outlast the universe."""
    study = one(StudyDescription="a" * 400_000 + "!")
    assert holds({"StudyDescription": {"regex": "(a+)+$"}}, study) is False
    assert holds({"StudyDescription": {"matches": "a*a*a*a*a*a*a*a*b"}}, study) is False


def test_values_that_cannot_be_encoded_or_printed_are_shown_harmlessly() -> None:
    """Surrogates and terminal escapes from a header neither raise nor reach a trace."""
    study = one(StudyDescription="\x1b[31mchest \udcff")
    (decision,) = decide([make_rule({"StudyDescription": {"matches": "*chest*"}})], study)
    assert decision.matched
    assert str(decision.trace).encode("utf-8").isascii() is False
    assert "\x1b" not in str(decision.trace["when"]["why"])


def test_a_study_level_code_in_the_three_names_of_srt() -> None:
    """SNM3 and 99SDM are older designators of SRT (PS3.16 8)."""
    item = {"CodeValue": Element("SH", ("T-D3000",)), "CodingSchemeDesignator": Element("SH", ("SNM3",))}
    study = make_study(make_series("1.1", "CT", [{"AnatomicRegionSequence": [{"CodeValue": "x"}]}]))
    study.series[0].instances[0].attributes["AnatomicRegionSequence"] = Element("SQ", (item,))  # type: ignore[index]
    assert holds({"AnatomicRegionSequence": {"code": "SRT:T-D3000"}}, study) is True


CC, MLO = ({"CodeValue": value, "CodingSchemeDesignator": "SCT"} for value in ("399162004", "399368009"))
SPOT, MAGNIFIED = ({"CodeValue": value, "CodingSchemeDesignator": "SCT"} for value in ("399055006", "399163009"))


def modified(view: dict[str, Any], *modifiers: dict[str, Any]) -> dict[str, Any]:
    return {**view, "ViewModifierCodeSequence": list(modifiers)}


@pytest.mark.parametrize(
    ("views", "asked", "expected"),
    [
        ([modified(CC, SPOT)], "SCT:399055006", True),
        ([modified(CC, MAGNIFIED, SPOT)], "SCT:399055006", True),
        ([modified(CC, MAGNIFIED)], ["SCT:399055006", "SCT:399163009"], True),
        ([modified(CC)], "SCT:399055006", False),
        ([CC, modified(MLO, SPOT)], "SCT:399055006", False),
        ([SPOT], "SCT:399055006", False),
    ],
)
def test_a_modifier_counts_only_in_the_item_of_its_code(views: Any, asked: Any, expected: bool) -> None:
    """A cranio-caudal view with spot compression: not one beside another view that has it."""
    image = {"ViewCodeSequence": views}
    study = make_study(make_series("1.1", "MG", [image]))
    assert holds({"ViewCodeSequence": {"code": "SCT:399162004", "modifier": asked}}, study) is expected
    if expected:
        [decision] = decide([make_rule({"ViewCodeSequence": {"code": "SCT:399162004", "modifier": asked}})], study)
        assert "SCT:399162004 + SCT:399" in decision.trace["when"]["why"]


@pytest.mark.parametrize(
    "asked", [{"modifier": "SCT:1"}, {"code": "SCT:1", "modifier": "spot"}, {"code": "SCT:1", "modifier": []}]
)
def test_a_modifier_that_says_nothing_is_refused(asked: Any) -> None:
    """Without a code beside it, or no code itself."""
    _, problems = reading.condition({"ViewCodeSequence": asked}, "study", Dictionary())
    assert [each.place[-1] for each in problems if "modifier" in each.message]
