"""docs/rules.md is held to the language: every example loads, every operator and fact is in it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rules import names, operators, reading
from rules.engine import decide
from rules.example_runs import failures
from rules.examples import RuleFile
from rules.explain import lines
from rules.model import DICTIONARY, of_site
from tests.unit.rules.building import NOW, Dictionary, make_series, make_study

DOCS = Path(__file__).parents[3] / "docs" / "rules.md"
TEXT = DOCS.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml ?(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def load(text: str) -> Any:
    return YAML(typ="safe").load(text)


def named(text: str) -> RuleFile:
    (found,) = (body for _, body in EXAMPLES if f"- name: {text}\n" in body)
    return RuleFile.model_validate(load(found), context={DICTIONARY: Dictionary()})


@pytest.mark.parametrize(("level", "text"), EXAMPLES)
def test_every_example_loads_and_checks_without_a_problem(level: str, text: str) -> None:
    """An example of the documentation is a valid rule set or a valid condition."""
    plain = load(text)
    if "rules" in plain:
        file = RuleFile.model_validate(plain, context={DICTIONARY: Dictionary()})
        assert file.rules
        assert list(failures(file.tests, of_site(file.rules, file.ignore, file.vendors))) == []
    else:
        assert level in ("", "series")
        assert reading.condition(plain, "series" if level else "study", Dictionary())[1] == []


def test_every_operator_fact_and_block_has_an_example_or_an_entry() -> None:
    """Nothing that the language knows is left out of its documentation."""
    examples = "\n".join(body for _, body in EXAMPLES)
    for operator in (*operators.OPERATORS, *operators.MODIFIERS):
        assert re.search(rf"[{{ ,]{operator}: ", examples), operator
    for block in reading.BLOCKS["study"]:
        assert re.search(rf"(^|[{{ ,]){block}:", examples, re.MULTILINE), block
        assert f"`{block}`" in TEXT, block
    for name in names.FACTS:
        assert f"`{name}`" in TEXT, name


SITUATIONS = (
    "chest-ct-density",
    "mammography",
    "chest-x-ray",
    "head-ct-emergency",
    "brain-lesions",
    "off-peak",
    "originals-only",
)


@pytest.mark.parametrize("name", SITUATIONS)
def test_an_example_of_a_whole_rule_carries_a_test_of_what_it_decides(name: str) -> None:
    """On a study as it comes; `test_every_example_loads_and_checks_without_a_problem` has run them."""
    assert any(name in test.expect for test in named(name).tests)


def test_the_chest_ct_example_takes_the_thin_soft_series_and_leaves_the_localizer_out() -> None:
    """Non-contrast chest CT: thinnest, then softest; localizers, thick and contrast series are not chosen."""
    shared = {"StudyDescription": "CT Thorax", "PatientAge": "045Y", "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}
    shared["ImageOrientationPatient"] = (1, 0, 0, 0, 1, 0)  # type: ignore[assignment]
    scout = {"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}

    def series(number: int, count: int, **own: Any) -> Any:
        return make_series(f"1.{number}", "CT", [{}] * count, **{**shared, "SeriesNumber": number, **own})

    study = make_study(
        make_series("1.1", "CT", [scout], **{**shared, **scout, "SeriesNumber": 1}),
        series(2, 60, SliceThickness=5.0, ConvolutionKernel="B31f"),
        series(3, 120, SliceThickness=1.0, ConvolutionKernel="B70f"),
        make_series("1.4", "CT", [scout, *[{}] * 120], **shared, SliceThickness=1.0, ConvolutionKernel=("Br40d", "3")),
        series(5, 120, SliceThickness=0.6, ConvolutionKernel="B31f", ContrastBolusAgent="Iomeron"),
        series(6, 20, SliceThickness=0.6, ConvolutionKernel="B31f"),
    )
    (decision,) = decide(named("chest-ct-density").rules, study)
    assert [each.series_instance_uid for each in decision.runs[0].inputs] == ["1.4"]
    assert len(decision.runs[0].inputs[0].sop_instance_uids) == 120
    assert "1.4.0" not in decision.runs[0].inputs[0].sop_instance_uids
    said = "\n".join(lines(decision.trace))
    assert "series 3 (CT) — another series is preferred: by ConvolutionKernel" in said
    assert "ContrastBolusAgent" in said


@pytest.mark.parametrize(
    ("changed", "matches"),
    [
        ({}, True),
        ({"PatientAge": "017Y"}, False),
        ({"PatientAge": None, "PatientBirthDate": "20060301"}, True),
        ({"PatientAge": None, "PatientBirthDate": "20060302"}, False),
        ({"StationName": "XRAY-1"}, False),
        ({"SeriesDescription": "Chest AP portable"}, False),
        ({"ViewPosition": "LL"}, False),
    ],
)
def test_the_chest_x_ray_example(changed: dict[str, Any], matches: bool) -> None:
    """Adults on the day of the study, PA, not portable, from the two rooms."""
    shared = {"PatientAge": "018Y", "StudyDate": "20240301", "StationName": "xray-2", "ViewPosition": "PA"}
    study = make_study(make_series("1.1", "DX", [{}], **{**shared, **changed}))
    assert decide(named("chest-x-ray").rules, study)[0].matched is matches


VIEWS = [("L", "CC", "399162004"), ("R", "CC", "399162004"), ("L", "MLO", "399368009"), ("R", "MLO", "399368009")]


def mammogram(side: str, position: str | None, code: str) -> dict[str, Any]:
    item = {"CodeValue": code, "CodingSchemeDesignator": "SCT"}
    intent = {"PresentationIntentType": "FOR PRESENTATION", "ImageLaterality": side}
    return {**intent, "ViewPosition": position} if position else {**intent, "ViewCodeSequence": [item]}


@pytest.mark.parametrize("by_code", [True, False])
@pytest.mark.parametrize("one_series", [True, False])
def test_the_mammography_example_needs_all_four_views(by_code: bool, one_series: bool) -> None:
    """Laterality by view, each view by code or position, in one series or in four; three views are a near miss."""
    images = [mammogram(side, None if by_code else position, code) for side, position, code in VIEWS]
    raw = {**images[0], "PresentationIntentType": "FOR PROCESSING"}

    def study(chosen: list[dict[str, Any]]) -> Any:
        groups = [chosen] if one_series else [[each] for each in chosen]
        return make_study(*(make_series(f"1.{index}", "MG", group) for index, group in enumerate([[raw], *groups])))

    (complete,) = decide(named("mammography").rules, study(images))
    assert sum(len(each.sop_instance_uids) for each in complete.runs[0].inputs) == 4
    (short,) = decide(named("mammography").rules, study(images[:3]))
    assert not short.matched
    assert short.near_miss is not None
    assert "mlo" in short.near_miss
    assert "laterality: right" in short.near_miss


def test_the_brain_example_hands_over_roles_and_never_one_series_twice() -> None:
    """T1 and FLAIR under their roles; a `t1 flair` series fills one role, and without a T1 nothing runs."""
    shared = {"StudyDescription": "MR Brain"}
    flair = make_series("1.1", "MR", [{}], **shared, SeriesDescription="t1 FLAIR dark fluid", SliceThickness=1.0)
    flat = make_series(
        "1.2", "MR", [{}], **shared, SeriesDescription="T1 tse", MRAcquisitionType="2D", SliceThickness=1
    )
    deep = make_series(
        "1.3", "MR", [{}], **shared, SeriesDescription="T1 mprage", MRAcquisitionType="3D", SliceThickness=1
    )
    (decision,) = decide(named("brain-lesions").rules, make_study(flair, flat, deep))
    expected = [("flair", "1.1"), ("t1", "1.3")]
    assert [[(each.role, each.series_instance_uid) for each in run.inputs] for run in decision.runs] == [expected] * 2
    assert [run.plugin for run in decision.runs] == ["brain-lesions", "brain-volumes"]
    (alone,) = decide(named("brain-lesions").rules, make_study(flair))
    assert (alone.matched, alone.why) == (False, "when holds, but no series is left to choose as t1")


EMERGENCY = {"StudyDescription": "CT HEAD", "StationName": "ed-ct1", "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}


def test_the_head_ct_example_runs_two_at_once_and_names_the_third() -> None:
    """From the emergency department by room or by service; elsewhere not."""
    (decision,) = decide(named("head-ct-emergency").rules, make_study(make_series("1.1", "CT", [{}], **EMERGENCY)))
    assert [(run.step, run.priority) for run in decision.runs] == [
        ("haemorrhage", "urgent"),
        ("midline-shift", "urgent"),
    ]
    assert [(each.step, each.needs) for each in decision.later] == [("haematoma-volume", ("haemorrhage",))]
    ward = {**EMERGENCY, "StationName": "CT9"}
    assert not decide(named("head-ct-emergency").rules, make_study(make_series("1.1", "CT", [{}], **ward)))[0].matched


def test_the_example_of_originals_leaves_out_what_another_ai_made() -> None:
    """Derived images, secondary captures and those that another maker contributed to; the original is given."""
    original = {"ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"), "Manufacturer": "SIEMENS"}
    touched = {**original, "ContributingEquipmentSequence": [{"Manufacturer": "Acme AI Inc."}]}
    derived = {**original, "ImageType": ("DERIVED", "SECONDARY")}
    for images, left in (([original, touched, derived], ["1.1.0"]), ([touched, derived], [])):
        (decision,) = decide(named("originals-only").rules, make_study(make_series("1.1", "CT", images)))  # type: ignore[arg-type]
        given = [uid for run in decision.runs for each in run.inputs for uid in each.sop_instance_uids]
        assert given == left


@pytest.mark.parametrize(("views", "outcome"), [(4, "run"), (3, "waits")])
def test_the_screening_example_waits_for_all_four_views(views: int, outcome: str) -> None:
    """Four views: one run on the set; three: wait for the fourth, and then tell the desk."""
    images = [mammogram(side, position, code) for side, position, code in VIEWS[:views]]
    rules = [rule for rule in named("screening").rules if rule.name == "screening"]
    (decision,) = decide(rules, make_study(make_series("1.1", "MG", images)))
    assert (len(decision.runs), decision.waits_until is not None) == ((1, False) if outcome == "run" else (0, True))
    if outcome == "waits":
        late = make_study(make_series("1.1", "MG", images), completed_at=NOW - timedelta(minutes=20))
        assert [each.whom for each in decide(rules, late)[0].notify] == [("mammography-desk",)]


def test_the_forwarding_examples_decide_to_whom_and_with_what_changed() -> None:
    """Everything from one modality untouched; from one station with two attributes overwritten."""
    rules = named("forward-ultrasound").rules
    ultrasound = decide(rules, make_study(make_series("1.1", "US", [{}])))
    assert [(each.rule.name, each.forward and each.forward.to) for each in ultrasound if each.matched] == [
        ("forward-ultrasound", ("cardiology-archive",))
    ]
    coerced = [
        each for each in decide(rules, make_study(make_series("1.1", "CT", [{}], StationName="CT-4"))) if each.forward
    ]
    assert coerced[0].forward is not None
    assert coerced[0].forward.coerce == {"InstitutionName": "Site A", "ReferringPhysicianName": None}


def test_the_follow_up_example_asks_for_a_prior() -> None:
    """A chest CT within two years from the PACS, under the role `prior`."""
    rules = [rule for rule in named("nodule-follow-up").rules if rule.name == "nodule-follow-up"]
    (decision,) = decide(rules, make_study(make_series("1.1", "CT", [{}], StudyDescription="CT Chest")))
    assert decision.fetch is not None
    assert (decision.fetch.role, decision.fetch.source, decision.fetch.within) == ("prior", "pacs", "2 years")


def test_the_example_of_late_results_says_when_they_are_late() -> None:
    """Two hours after the images were complete, and whom to tell then."""
    (rule,) = named("head-ct-late").rules
    (decision,) = decide([rule], make_study(make_series("1.1", "CT", [{}], StationName="ED-CT1")))
    assert decision.runs[0].expires_at == NOW + timedelta(hours=2)
    assert rule.expires is not None
    assert rule.expires.notify is not None
