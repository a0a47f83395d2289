"""Tests beside rules: a study in few lines, and what is said where a rule does something else."""

from __future__ import annotations

from typing import Any

import pytest

from rules import example_runs, given
from rules.engine import decide
from rules.examples import Example
from rules.model import DICTIONARY
from tests.unit.rules.building import Dictionary, make_rule, make_series, make_study

THIN = make_rule(
    {"Modality": "CT", "calling_ae_title": ["CT1"]},
    name="thin",
    choose={"where": {"SliceThickness": {"at_most": 1.5}}, "prefer": [{"SliceThickness": "smallest"}]},
)
STUDY = {
    "Modality": "CT",
    "calling_ae_title": "CT1",
    "series": [{"SliceThickness": 5, "images": 30}, {"SliceThickness": 1, "SeriesNumber": 7, "images": 300}],
}


def told(study: Any, expected: Any, *rules: Any) -> list[str]:
    plain = {"name": "x", "given": study, "expect": {"thin": expected}}
    example = Example.model_validate(plain, context={DICTIONARY: Dictionary()})
    return [found.message for found in example_runs.failures([example], rules or [THIN])]


@pytest.mark.parametrize("expected", ["match", {"series": 7}, {"series": [7], "run": ["plugin"]}, {"run": ["plugin"]}])
def test_what_is_as_expected_is_not_told(expected: Any) -> None:
    """A match, the chosen series, the steps."""
    assert told(STUDY, expected) == []


@pytest.mark.parametrize(
    ("changed", "expected", "said"),
    [
        ({}, "no match", 'the test "x" fails: thin matches: when holds, and 1 series chosen'),
        ({"calling_ae_title": "CT2"}, "match", "all but: calling_ae_title: [CT1]"),
        ({"series": [{"SliceThickness": 5}]}, {"series": 1}, "does not match: when holds, but no series is left"),
        ({}, {"series": 1}, "chooses series 7, and not series 1"),
        ({}, {"run": ["other"]}, "runs plugin, and not other"),
    ],
)
def test_what_is_not_as_expected_is_told_with_the_reason(changed: dict[str, Any], expected: Any, said: str) -> None:
    """What the rule did, and what was in the way."""
    [message] = told({**STUDY, **changed}, expected)
    assert said in message


def test_a_rule_that_is_not_there_is_told() -> None:
    """With the one that was probably meant."""
    example = Example.model_validate({"name": "x", "given": STUDY, "expect": {"thinn": "match"}})
    [found] = example_runs.failures([example], [THIN])
    assert (found.place, found.suggestion) == ((0, "expect", "thinn"), "thin")


def test_roles_are_held_against_each_other() -> None:
    """`{t1: 1, flair: 2}`."""
    two = [{"role": role, "where": {"SeriesDescription": role}} for role in ("t1", "flair")]
    rule = make_rule({"Modality": "MR"}, name="thin", choose=two)
    study = {"Modality": "MR", "series": [{"SeriesDescription": "T1"}, {"SeriesDescription": "FLAIR"}]}
    assert told(study, {"series": {"t1": 1, "flair": 2}}, rule) == []
    assert told(study, {"series": {"t1": 2, "flair": 1}}, rule) != []


def test_a_disabled_rule_is_tested_too() -> None:
    """That is how one tries what is not yet to decide anything."""
    assert told(STUDY, "match", THIN.model_copy(update={"enabled": False})) == []


@pytest.mark.parametrize(
    ("study", "place", "said"),
    [
        ({"Modalty": "CT"}, ("Modalty",), "did you mean Modality?"),
        ({"modality": "CT"}, ("modality",), "did you mean Modality?"),
        ({"series": []}, ("series",), "is a list"),
        ({"series": [{"calling_ae_title": "X"}]}, ("series", 0, "calling_ae_title"), "said of the study"),
        ({"image_count": 3}, ("image_count",), "worked out by the node"),
        ({"Modality": "CT", "images": "many"}, ("images",), "a number, or a list"),
        ({"Modality": "CT", "images": 10**9}, ("images",), "20000 images are the most"),
        ({"Modality": "CT", "received": "yesterday"}, ("received",), "2024-03-01 09:30"),
        ({"ViewCodeSequence": "CC"}, ("ViewCodeSequence",), "as in SCT:"),
        ([], (), "a study is written as"),
    ],
)
def test_a_mistake_in_a_study(study: Any, place: tuple[str | int, ...], said: str) -> None:
    """Named where it stands."""
    facts, [problem] = given.read(study, Dictionary())
    assert facts is None
    assert (problem.place, said in str(problem)) == (place, True), problem


def test_a_study_in_few_lines_is_the_study_that_it_says() -> None:
    """Shared attributes, counts, images that differ, frames, marks, codes, the moment of arrival."""
    plain = {
        "PatientAge": "045Y",
        "received": "2024-03-02 23:10",
        "series": [
            {"Modality": "CT", "images": [{"count": 2, "SliceThickness": 1}, {"SliceThickness": 5, "marks": "lossy"}]},
            {"Modality": "MG", "frames": 60, "ViewCodeSequence": "SCT:399162004"},
        ],
    }
    facts, problems = given.read(plain, Dictionary())
    assert problems == []
    assert facts is not None
    for when in (
        {"received_weekday": "saturday", "received_time": {"after": "23:00"}, "patient_age": 45},
        {"any_series": {"Modality": "CT", "image_count": 3, "any_image": {"marks": "lossy"}}},
        {"any_series": {"Modality": "MG", "image_count": 60, "SeriesNumber": {"present": False}}},
        {"ViewCodeSequence": {"code": "SCT:399162004"}, "count_images": {"where": {"SliceThickness": 1}, "is": 2}},
    ):
        assert decide([make_rule(when)], facts)[0].matched, when


def test_a_recorded_study_written_down_decides_the_same_and_says_no_more() -> None:
    """Only what the rules ask for is written, and equal images together."""
    shared = {"Modality": "CT", "PatientName": "Hong^Gildong", "PatientAge": "045Y"}
    study = make_study(
        make_series("1.1", "CT", [{"SliceThickness": 5.0}] * 30, **shared, SeriesNumber=1),
        make_series("1.2", "CT", [{"SliceThickness": 1.0}] * 20 + [{"SliceThickness": 3.0}], **shared, SeriesNumber=2),
        calling_ae_titles=frozenset({"CT1"}),
    )
    rules = [
        THIN,
        make_rule({"patient_age": {"at_least": 18}, "count_images": {"where": {"SliceThickness": 1}, "is": 20}}),
    ]
    plain = given.write(study, example_runs.asked_for(rules))
    assert "Hong" not in str(plain)
    assert plain["PatientAge"] == "045Y"
    assert [each["images"] for each in plain["series"]] == [
        30,
        [{"SliceThickness": 1.0, "count": 20}, {"SliceThickness": 3.0, "count": 1}],
    ]
    again, problems = given.read(plain, Dictionary())
    assert problems == []
    assert again is not None
    for ours, theirs in zip(decide(rules, again), decide(rules, study), strict=True):
        assert (ours.matched, ours.why) == (theirs.matched, theirs.why)


def test_rules_that_wait_ask_early_or_let_results_expire_are_tested_like_others() -> None:
    """As of when the study is complete: what waits for more does not match yet."""
    rule = make_rule(
        {"Modality": "CT"},
        name="thin",
        wait={"until": {"series_count": {"at_least": 2}}, "at_most": "20 minutes"},
        decide="every 5 minutes",
        expires={"after": "2 hours", "then": "withhold"},
        send_when=["findings", "failed"],
    )
    assert told(STUDY, "match", rule) == []
    assert told({**STUDY, "series": [{"images": 3}]}, "no match", rule) == []
    (message,) = told({**STUDY, "series": [{"images": 3}]}, "match", rule)
    assert "more is awaited until" in message


@pytest.mark.parametrize(
    ("study", "when"),
    [
        ({"Modality": "SR"}, {"image_count": 0}),
        ({"Modality": "MR"}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}),
        ({"Modality": "US", "NumberOfFrames": 30}, {"image_count": 30}),
        (
            {"Modality": "CT", "ImageType": "ORIGINAL\\PRIMARY\\AXIAL"},
            {"ImageType": {"contains": ["AXIAL", "PRIMARY"]}},
        ),
        ({"Modality": "CT", "LossyImageCompression": "01"}, {"marks": {"contains": "lossy"}}),
        ({"Modality": "CT", "TransferSyntaxUID": "1.2.840.10008.1.2.4.50"}, {"marks": "lossy"}),
        ({"Modality": "CT"}, {"SeriesNumber": {"present": False}}),
        ({"Modality": "CT", "AdditionalPatientHistory": "x" * 1400}, {"AdditionalPatientHistory": {"present": True}}),
        ({"Modality": "CT", "StudyDescription": "(there, not kept)"}, {"StudyDescription": {"present": True}}),
        ({"Modality": "CT"}, {"PixelData": {"present": True}}),
        ({"Modality": "CT", "(0029,ACME,08)": "x"}, {"(0029,ACME,08)": "x"}),
        ({"Modality": "CT", "StudyDescription": "흉부"}, {"StudyDescription": {"matches": "*흉부*"}}),
        (
            {
                "Modality": "CT",
                "SharedFunctionalGroupsSequence": [{"PixelMeasuresSequence": [{"SliceThickness": 0.5}]}],
            },
            {"SliceThickness": {"at_most": 1}},
        ),
    ],
    ids=str,
)
def test_finding_q4_a_test_sees_what_the_node_sees(study: dict[str, Any], when: dict[str, Any]) -> None:
    """Frames, SOP class, several values, functional groups, marks and what is not kept: read as of a received image."""
    facts, problems = given.read(study, Dictionary())
    assert problems == []
    assert facts is not None
    assert decide([make_rule(when, choose={"images": "any", "take": "all"})], facts)[0].matched
