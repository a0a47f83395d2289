"""How findings become groups of a report: by template, under which names, with which words, for which destination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node.config.destinations import DicomDestination
from node.reading.as_result import as_result
from node.reading.reader import read_sr
from node.results.encode import encode
from node.results.errors import NotEncodableError
from plugins.contract import (
    Box,
    Code,
    Finding,
    ImageReference,
    Measurement,
    Point,
    ReferenceRange,
    Region,
    Result,
    ResultStatus,
    Score,
    Unit,
)
from tests.support.results import matrix, reports
from tests.support.results.viewer_rules import every_item
from tests.support.sites.result_site import PACS

PRESETS = ("any-pacs", "ai-results", "research", "ohif")
ABSENT = Finding(reports.PNEUMOTHORAX, present=False, score=Score(0.02, 0.5))
REGION, SEGMENT, FRAME, ILLUSTRATION = "111030", "121191", "121214", "121200"


def _made(folder: Path, result: Result, kind: str = "ct", **destination: object) -> Dataset:
    """The report of a result for a destination."""
    profile = DicomDestination.model_validate(PACS | destination).encoding
    made = encode(reports.request(reports.write_series(kind, folder / "in"), result, profile=profile), folder / "out")
    assert not made.reasons
    return dcmread(next(one.path for one in made if one.kind == "sr"))


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue) if "ConceptNameCodeSequence" in item else ""


def _groups(report: Dataset) -> list[Dataset]:
    return [item for item in every_item(report) if item.ValueType == "CONTAINER" and _name(item) == "125007"]


def _templates(report: Dataset) -> list[tuple[str, list[str]]]:
    """Of each group its template, and what says where it is."""
    where = {REGION, SEGMENT, FRAME, ILLUSTRATION}
    return [
        (
            str(group.ContentTemplateSequence[0].TemplateIdentifier),
            [_name(item) for item in group.ContentSequence if _name(item) in where],
        )
        for group in _groups(report)
    ]


def _evaluations(report: Dataset) -> dict[str, Dataset]:
    """The items of Qualitative Evaluations, by their names."""
    holder = next(item for item in report.ContentSequence if _name(item) == "C0034375")
    return {_name(item): item for item in holder.ContentSequence}


def _mixed(kind: str) -> Result:
    """A region, segments of a volume, one on a single slice, and a negative."""
    lesion = matrix.RESULTS["lesion"](kind)
    box = Finding(reports.NODULE, True, regions=(Box(np.array([[5.0, 5.0], [20.0, 20.0]]), reports.reference(kind)),))
    return replace(lesion, findings=(box, *lesion.findings, ABSENT))


@pytest.mark.parametrize("preset", ["any-pacs", "ai-results", "research"])
def test_finding_v2_each_group_has_the_template_that_suits_it(tmp_path: Path, preset: str) -> None:
    """TID 1500 rows 7 to 9 allow all in one report: 1410 for a region and a mask of one slice, 1501 without either."""
    report = _made(tmp_path, _mixed("ct"), preset=preset)
    assert _templates(report) == [("1410", [REGION]), ("1410", [FRAME]), ("1501", [])]


def test_finding_v2_volumes_are_volumes_beside_negatives(tmp_path: Path) -> None:
    """TID 1411 with Referenced Segment, though another finding of the report has none."""
    report = _made(tmp_path, matrix.RESULTS["segmented-mixed"]("ct"))
    assert _templates(report) == [("1411", [SEGMENT])] * 3 + [("1501", [])]


def test_finding_v2_what_ohif_would_lose_decides_for_ohif_alone(tmp_path: Path) -> None:
    """A box without area beside a line of four points: illustrations for OHIF, Image Regions for all others."""
    result = matrix.RESULTS["regions"]("ct")
    for preset in ("any-pacs", "ai-results", "research"):
        report = _made(tmp_path / preset, result, preset=preset)
        assert {template for template, _ in _templates(report)} == {"1410"}
        assert all(where == [REGION] for _, where in _templates(report))


@pytest.mark.parametrize("name", sorted(matrix.RESULTS))
def test_finding_v1_no_group_without_a_region_for_ohif(tmp_path: Path, name: str) -> None:
    """One such group leaves OHIF black; every finding still comes back from the report, with all that it says."""
    result = matrix.RESULTS[name]("ct")
    report = _made(tmp_path, result, preset="ohif", send_when={})
    for group in _groups(report):
        assert any(item.ValueType == "SCOORD" for item in group.ContentSequence)
    assert (_name(report) == "126000") == bool(_groups(report)), "OHIF shows other titles as texts"
    read = as_result(read_sr(report)).get("findings", [])
    plain = as_result(read_sr(_made(tmp_path / "plain", result, send_when={}))).get("findings", [])
    assert [_without_digits(each) for each in read] == [_without_digits(each) for each in plain]


def _without_digits(finding: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in finding.items() if name not in {"segments"}}


def test_finding_v1_a_negative_is_said_where_ohif_shows_it(tmp_path: Path) -> None:
    """Present and absent: the nodule is drawn, the pneumothorax a qualitative evaluation that says Absent."""
    nodule = Finding(reports.NODULE, True, regions=(Point(np.array([20.5, 21.5]), reports.reference("ct")),))
    report = _made(tmp_path, Result(ResultStatus.FINDINGS, "One.", (nodule, ABSENT)), preset="ohif")
    assert len(_groups(report)) == 1
    said = _evaluations(report)[reports.PNEUMOTHORAX.value]
    assert (said.ValueType, said.ConceptCodeSequence[0].CodeMeaning) == ("CODE", "Absent")
    (score,) = (item for item in said.ContentSequence if item.ValueType == "NUM")
    assert (score.RelationshipType, float(score.MeasuredValueSequence[0].NumericValue)) == ("HAS PROPERTIES", 0.02)


# --- one lesion in several places ---------------------------------------------------------------------


def _views(*points: tuple[int, float]) -> Result:
    """A mass seen at these columns of these views."""
    regions: Sequence[Region] = [
        Point(np.array([column, 20.5]), ImageReference(f"{reports.STUDY_UID}.2.{view}")) for view, column in points
    ]
    mass = Finding(
        reports.NODULE,
        True,
        Score(0.91, 0.5),
        measurements=(Measurement(Code("410668003", "SCT", "Length"), 12.0, Unit("mm", "mm")),),
        regions=tuple(regions),
        tracking_id="L1",
    )
    return Result(ResultStatus.FINDINGS, "One mass.", (mass,))


def _told(report: Dataset) -> list[tuple[str, str, bool | None, int]]:
    """Of each group as it was read: identifier, UID, present, how many numbers."""
    return [
        (one.tracking_identifier, one.tracking_uid, one.present, len(one.measurements))
        for one in read_sr(report).findings
    ]


def test_finding_r8_a_lesion_on_two_views_is_one_lesion(tmp_path: Path) -> None:
    """Same identifier, UID, presence and score on CC and MLO, the length once; whoever counts UIDs counts one."""
    report = _made(tmp_path, _views((1, 10.5), (2, 30.5)), "mg")
    (first, second) = _told(report)
    assert first[:3] == second[:3]
    assert (first[0], first[2], first[3], second[3]) == ("L1", True, 2, 1)
    (read,) = as_result(read_sr(report))["findings"]
    assert (len(read["regions"]), read["score"]["value"], len(read["measurements"])) == (2, 0.91, 1)


def test_finding_r8_a_second_region_in_the_same_place_has_its_own_name(tmp_path: Path) -> None:
    """On one image, or on slices of one volume, two regions are not two views of one lesion."""
    for kind, views in (("mg", ((1, 10.5), (1, 30.5))), ("ct", ((1, 10.5), (2, 30.5)))):
        told = _told(_made(tmp_path / kind, _views(*views), kind))
        assert [(one[0], one[2]) for one in told] == [("L1", True), ("L1 (2)", None)], kind
        assert told[0][1] != told[1][1]


def test_finding_r8_ohif_draws_one_region_of_a_uid(tmp_path: Path) -> None:
    """So there each has its own (tests/viewer watches it)."""
    told = _told(_made(tmp_path, _views((1, 10.5), (2, 30.5)), "mg", preset="ohif"))
    assert [one[0] for one in told] == ["L1", "L1 (2)"]
    assert told[0][1] != told[1][1]


# --- words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "unit", "words"),
    [
        (None, 0.5, "1", "<= 0.5"),
        (-910.0, None, "[hnsf'U]", ">= -910 HU"),
        (4.0, 6.0, "L", "4 to 6 L"),
        (None, 140.0, "mm[Hg]", "<= 140 mmHg"),
        (0.0, 3.0, "{score}", "0 to 3"),
    ],
)
def test_finding_r7_ranges_are_what_people_read(
    tmp_path: Path, low: float | None, high: float | None, unit: str, words: str
) -> None:
    """A number without unit has none, Hounsfield units are HU; in ASCII, so that every character set can say it."""
    measured = Measurement(
        Code("X1", "99TEST", "Something"),
        0.25,
        Unit(unit, "unit"),
        reference_range=ReferenceRange(low, high, "Somebody"),
    )
    report = _made(
        tmp_path, Result(ResultStatus.FINDINGS, "A number.", (Finding(reports.DENSITY, measurements=(measured,)),))
    )
    texts = [str(item.TextValue) for item in every_item(report) if item.ValueType == "TEXT"]
    assert words in texts
    (read,) = as_result(read_sr(report))["findings"][0]["measurements"]
    assert (read["reference_range"].get("low"), read["reference_range"].get("high")) == (low, high)


@pytest.mark.parametrize(
    ("present", "value", "said"),
    [
        (True, 0.12, "Called present by the software, although the score is below its threshold."),
        (False, 0.91, "Called absent by the software, although the score is above its threshold."),
        (True, 0.5, ""),
        (True, 0.91, ""),
        (False, 0.12, ""),
        (None, 0.12, ""),
    ],
)
def test_finding_r11_an_answer_against_its_threshold_is_said(
    tmp_path: Path, present: bool | None, value: float, said: str
) -> None:
    """The report says it in the group; a program that reads the result does not take it for the plugin's comment."""
    status = ResultStatus.NO_FINDINGS if present is False else ResultStatus.FINDINGS
    finding = Finding(reports.NODULE, present=present, score=Score(value, 0.5))
    report = _made(tmp_path, Result(status, "An answer.", (finding,)))
    assert [str(item.TextValue) for item in every_item(report) if _name(item) == "AGAINSTTHRESHOLD"] == [said] * bool(
        said
    )
    (read,) = as_result(read_sr(report))["findings"]
    assert "comment" not in read


# --- places that cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "refused"), [(10_000.0, True), (-60.0, False), (200.0, False)])
def test_finding_r14_a_point_far_from_all_images_is_refused(tmp_path: Path, x: float, refused: bool) -> None:
    """10 m beside the patient: nothing leaves, and the error names the region; somewhat beside is said in words."""
    point = Point(np.array([[x, -80.0, 10.0]]), frame_of_reference_uid=reports.FRAME_OF_REFERENCE)
    result = Result(ResultStatus.FINDINGS, "A point.", (Finding(reports.NODULE, True, regions=(point,)),))
    if refused:
        with pytest.raises(NotEncodableError, match=r"Point.points.*lie \d+ mm outside of all images"):
            _made(tmp_path, result)
    else:
        assert len(_groups(_made(tmp_path, result))) == 1
