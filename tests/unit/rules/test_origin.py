"""Which images an AI made, and which are original: told by what is in them, and by the makers that a site names."""

from __future__ import annotations

from typing import Any

import pytest

from rules.engine import decide
from rules.explain import lines
from rules.facts import SeriesFacts, StudyFacts
from rules.model import DICTIONARY, RuleSet, of_site
from tests.unit.rules.building import Dictionary, make_rule, make_series, make_study

THIN = {"Modality": "CT", "SliceThickness": 0.5, "SeriesNumber": 9}
PROCESSING = {"CodeValue": "109102", "CodingSchemeDesignator": "DCM"}
ALGORITHM = {
    "ConceptNameCodeSequence": [{"CodeValue": "111001", "CodingSchemeDesignator": "DCM"}],
    "TextValue": "Nodules",
}


def study(*series: SeriesFacts) -> StudyFacts:
    own = make_series(
        "1.1", "CT", [{}] * 3, SliceThickness=1.0, SeriesNumber=2, ImageType=("ORIGINAL", "PRIMARY", "AXIAL")
    )
    return make_study(own, *series)


def chosen(facts: StudyFacts, **choose: Any) -> list[str]:
    choose = {"where": {"Modality": "CT"}, "prefer": [{"SliceThickness": "smallest"}], **choose}
    (decision,) = decide([make_rule({"Modality": "CT"}, choose=choose)], facts)
    return [each.series_instance_uid for run in decision.runs for each in run.inputs]


@pytest.mark.parametrize(
    "made",
    [
        {"ContributingEquipmentSequence": [{"PurposeOfReferenceCodeSequence": [PROCESSING]}]},
        {"SegmentSequence": [{"SegmentAlgorithmType": "AUTOMATIC"}]},
        {"SegmentSequence": [{"SegmentationAlgorithmIdentificationSequence": [{"AlgorithmName": "x"}]}]},
        {"ContentSequence": [{"ContentSequence": [ALGORITHM]}]},
    ],
    ids=["109102", "automatic", "segmentation algorithm", "report of an algorithm"],
)
def test_finding_t4_what_an_ai_made_is_known_by_what_is_in_it(made: dict[str, Any]) -> None:
    """`made_by_ai` holds for it and not for the images beside it; its thinner slices are not chosen."""
    facts = study(make_series("1.9", "CT", [{**THIN, **made}]))
    assert decide([make_rule({"any_image": {"made_by_ai": True}})], facts)[0].matched
    assert decide([make_rule({"any_image": {"made_by_ai": False}})], facts)[0].matched
    assert not decide([make_rule({"not": {"made_by_ai": "yes"}})], facts)[0].matched
    assert decide([make_rule({"made_by_ai": False})], study())[0].matched
    assert chosen(facts) == ["1.1"]
    assert chosen(facts, images="any") == ["1.9"]


def test_finding_t4_a_cad_report_is_made_by_ai() -> None:
    """By its SOP class alone (PS3.4 B.5)."""
    report = make_series("1.9", "SR", [{}])
    image = report.instances[0]._replace(sop_class_uid="1.2.840.10008.5.1.4.1.1.88.50")
    assert decide([make_rule({"made_by_ai": True})], study(SeriesFacts("1.9", "SR", (image,))))[0].matched


def test_finding_t4_choices_take_original_images_unless_a_rule_says_any() -> None:
    """A denoised DERIVED series and a secondary capture are thinner: neither is chosen, and the trace says why."""
    derived = make_series("1.8", "CT", [{**THIN, "ImageType": ("DERIVED", "PRIMARY", "AXIAL")}])
    capture = make_series("1.9", "CT", [THIN])
    captured = capture.instances[0]._replace(sop_class_uid="1.2.840.10008.5.1.4.1.1.7")
    facts = study(derived, SeriesFacts("1.9", "CT", (captured,)))
    assert chosen(facts) == ["1.1"]
    assert chosen(facts, images="any", where={"ImageType": {"contains": "DERIVED"}}) == ["1.8"]
    said = "\n".join(lines(decide([make_rule({"Modality": "CT"})], facts)[0].trace))
    assert "none of its images is original (derived); images: any takes others, too" in said
    assert "none of its images is original (secondary capture)" in said


@pytest.mark.parametrize("modality", ["DX", "MG", "CR", "US"])
def test_finding_t4_a_projection_processed_for_presentation_is_original(modality: str) -> None:
    """Radiographs for presentation say DERIVED\\PRIMARY (PS3.3 C.8.11.3.1.1); what was derived later says SECONDARY."""
    for second, found in (("PRIMARY", ["1.1"]), ("SECONDARY", [])):
        facts = make_study(make_series("1.1", modality, [{"Modality": modality, "ImageType": ("DERIVED", second)}]))
        (decision,) = decide([make_rule({"Modality": modality})], facts)
        assert [each.series_instance_uid for run in decision.runs for each in run.inputs] == found


@pytest.mark.parametrize(
    ("vendor", "taken"),
    [
        ({"manufacturer": "*acme ai*"}, "1.1"),
        ({"ae_title": "ACME_BOX"}, "1.1"),
        ({"ae_title": "ACME_BOX", "manufacturer": "other"}, "1.9"),
        ({"ae_title": "OTHER"}, "1.9"),
    ],
    ids=str,
)
def test_finding_t4_a_vendor_is_known_by_title_or_manufacturer(vendor: dict[str, str], taken: str) -> None:
    """Commercial results say nothing of how they were made: the site names who makes them."""
    made = make_series("1.9", "CT", [{**THIN, "Manufacturer": "Acme AI Inc."}])
    sent = made.instances[0]._replace(calling_ae_title="ACME_BOX")
    plain = {
        "name": "r",
        "when": {"Modality": "CT"},
        "choose": {"where": {"Modality": "CT"}, "prefer": [{"SliceThickness": "smallest"}]},
        "run": "plugin",
        "mode": "shadow",
    }
    file = RuleSet.model_validate({"vendors": [vendor], "rules": [plain]}, context={DICTIONARY: Dictionary()})
    (decision,) = decide(of_site(file.rules, (), file.vendors), study(SeriesFacts("1.9", "CT", (sent,))))
    assert [each.series_instance_uid for each in decision.runs[0].inputs] == [taken]
