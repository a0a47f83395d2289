"""The example of docs/rules.md that keeps phantoms from clinical models, attacked.

With patients whose words are those of quality control, with signals that contradict each other, and with real files.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from node.config.models import Configuration
from node.desk import files
from rules.engine import decide
from rules.model import Rule, of_site
from tests.support.shared_data import shared_data
from tests.unit.rules.building import NOW, make_series, make_study
from tests.unit.rules.test_docs import TEXT, named

FILE = named("ct1-daily-qa")
RULES: tuple[Rule, ...] = tuple(of_site(FILE.rules, FILE.ignore, FILE.vendors))
CLINICAL, DOUBT = "chest-ct-clinical", "phantom-or-patient"
WORDS = (
    "water enema",
    "Wasser Einlauf",
    "QC Smith",
    "QA^John",
    "phantom limb pain",
    "Phantomschmerz",
    "팬텀 사지통",
    "물 관장",
    "품질 관리 연구 환자",
    "research protocol 7, calibration of insulin pump",
    "Calibration",
    "service dog bite",
    "SERVICE ER",
    "daily QA of pacemaker",
    "Catphan",
    "ACR",
    "test",
    "RES-12",
    "QA-CT1",
)


def matched(*series: Any, **changed: Any) -> set[str]:
    return {each.rule.name for each in decide(RULES, make_study(*series, **changed)) if each.matched}


def ct(**attributes: Any) -> Any:
    shared = {"Modality": "CT", "StationName": "CT1", "PatientID": "4711", "StudyDescription": "CT chest"}
    shared["ImageOrientationPatient"] = (1, 0, 0, 0, 1, 0)  # type: ignore[assignment]
    return make_series("1.2.1", "CT", [{}] * 80, **{**shared, **attributes})


@pytest.mark.parametrize("keyword", ["PatientName", "SeriesDescription", "ProtocolName", "PatientComments", "StudyID"])
@pytest.mark.parametrize("text", WORDS)
def test_no_words_make_a_patient_a_phantom(keyword: str, text: str) -> None:
    """Whatever is in a name, a description or a comment: the clinical model runs, and nothing else."""
    assert matched(ct(**{keyword: text})) == {CLINICAL}


@pytest.mark.parametrize("text", WORDS)
def test_no_study_description_makes_a_patient_a_phantom(text: str) -> None:
    """Before and after the words that the clinical model asks for."""
    assert matched(ct(StudyDescription=f"CT chest, {text}")) == {CLINICAL}
    assert matched(ct(StudyDescription=f"{text} chest")) == {CLINICAL}


@pytest.mark.parametrize(
    "number", ["QA", "qa-ct", "XQA-CT1", "4QA-CT1", "QC-CT1", "PHANTOM", "QA-4711", "RES", "RESEARCH1"]
)
def test_a_patient_id_that_is_nearly_a_phantoms_is_a_patient(number: str) -> None:
    """Only those that the site keeps for its phantoms and its research."""
    assert matched(ct(PatientID=number)) == {CLINICAL}


def test_what_contradicts_itself_runs_nothing_and_is_told() -> None:
    """A patient under the phantom's protocol, on one scanner or another; never the plugin of the phantoms."""
    assert matched(ct(QualityControlImage="YES")) == {DOUBT}
    assert matched(ct(QualityControlImage="YES", StationName="CT9")) == {DOUBT}
    assert matched(ct(QualityControlImage="NO")) == {CLINICAL}
    assert matched(ct(QualityControlImage="BOTH")) == {CLINICAL}  # a patient beside a test object (PS3.3 C.7.6.1)


@pytest.mark.parametrize("more", [{}, {"QualityControlImage": "YES"}, {"PatientName": "Kim^Patient"}])
def test_a_phantom_reaches_the_plugin_of_its_scanner_alone(more: dict[str, str]) -> None:
    """By its Patient ID and scanner, marked or not; the same phantom on another scanner runs nothing."""
    phantom = {"PatientID": "QA-CT1", "StudyDescription": "Chest QA", **more}
    assert matched(ct(**phantom)) == {"ct1-daily-qa"}
    assert matched(ct(**phantom, StationName="CT2")) == set()


def test_no_real_file_is_taken_for_a_phantom(*, full_length: bool) -> None:
    """None for quality control, and none in doubt: two folders of CT, and every real file with --full-length."""
    folders = [shared_data()] if full_length else [shared_data("neurolabusc_dcm_qa_ct"), shared_data("audit")]
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}})
    seen = Counter[str]()
    for study in files.studies_in(folders, NOW, configuration).studies:
        seen["CT"] += any(each.modality == "CT" for each in study.series)
        seen.update(each.rule.name for each in decide(RULES, study) if each.matched)
    assert seen["CT"] >= 1
    assert f"Of {seen['CT']} CT studies of public collections the rules take none" in TEXT or not full_length
    assert seen["ct1-daily-qa"] == seen["ct2-daily-qa"] == seen[DOUBT] == 0
