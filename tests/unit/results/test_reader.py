"""The reader reads reports of other makers, and says the same to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import DataElement, Dataset, dcmread

from node.config.encoding import EncodingProfile
from node.dicom.report_classes import SRClass
from node.reading.as_result import as_result
from node.reading.reader import NotAReportError, read_sr, sc_png
from node.results.encode import encode
from node.results.tracking import finding_identifiers
from plugins import encoding
from plugins.contract import Box, Code, Finding, Measurement, Point, ReferenceRange, Result, ResultStatus, Score, Unit
from tests.support.results import reports
from tests.support.shared_data import shared_data

CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
OTHERS = [
    ("ImagingDataCommons_highdicom/data/test_files/sr_document.dcm", 1, "Area of defined region", 1.7),
    ("QIICR_dcmqi/data/sr-example/sr.dcm", 1, "SUVbw", 6.01529),
    ("dcmjs-org_dcmjs/test/sample-sr.dcm", 1, "Long Axis", 64.4505437946691),
]


@pytest.mark.parametrize(("name", "findings", "concept", "value"), OTHERS)
def test_reports_of_other_makers_are_read(name: str, findings: int, concept: str, value: float) -> None:
    """highdicom's, dcmqi's and dcmjs's own example reports, down to the number."""
    report = read_sr(shared_data(name))
    assert len(report.findings) == findings
    first = report.findings[0].measurements[0]
    assert (first.concept.meaning, first.value) == (concept, pytest.approx(value))


def test_lines_are_for_people_and_json_is_for_programs(tmp_path: Path) -> None:
    """The demo prints the one, a script reads the other; both hold findings, sides, numbers and units."""
    paths = reports.write_series("ct", tmp_path / "in")
    made = encode(reports.request(paths, reports.nodule(reports.reference("ct"))), tmp_path / "out")
    report = read_sr(made[-1].path)
    lines = report.lines()
    assert lines[1].startswith("AI-INV lung_density: Investigational AI result")
    assert lines[2] == "One nodule in the right lung."
    assert "Solitary nodule of lung (Lung, Right): PRESENT" in lines
    assert "  Length: 12.4 mm" in lines
    assert "Pneumothorax: ABSENT" in lines
    read_back = json.loads(json.dumps(as_result(report)))
    assert read_back["findings"][0]["measurements"][0]["value"] == 12.4
    assert read_back["findings"][1]["present"] is False


def _as_a_report_can_hold_it(result: Result) -> Result:
    """The result without what no report holds, and with what the node adds: names of lesions, sites of numbers."""
    findings = []
    for finding, name in zip(result.findings, finding_identifiers(result), strict=True):
        numbers = tuple(
            replace(m, site=m.site or finding.site, decimals=2, unit=m.unit if m.value is not None else NO_UNIT)
            for m in finding.measurements
        )
        regions = tuple(
            Box(np.sort(region.points, axis=0), region.image) if isinstance(region, Box) else region
            for region in finding.regions
        )
        findings.append(replace(finding, tracking_id=name, measurements=numbers, regions=regions, segments=()))
    keys = tuple(replace(key, window=None) for key in result.key_images)
    return Result(result.status, result.summary, tuple(findings), key_images=keys, quality=result.quality)


NO_UNIT = Unit("1", "unknown")
THIRDS = ReferenceRange(1 / 3, 2 / 3, "A source")
RESULTS = {
    **reports.RESULTS,
    "segmented": lambda _image: reports.segmented(reports.frames("ct")),
    "partly": lambda _image: Result(
        ResultStatus.FINDINGS,
        "x",
        (
            Finding(
                reports.DENSITY,
                site=reports.Site(reports.LUNG, reports.LEFT),
                measurements=(
                    *reports.density(reports.LEFT, 0.1 + 0.2, 1e-7, None),
                    Measurement(reports.DENSITY, 3.3, reports.PERCENT, reference_range=THIRDS),
                ),
            ),
        ),
    ),
    "many-regions": lambda image: Result(
        ResultStatus.FINDINGS,
        "Two.",
        (
            Finding(
                reports.NODULE,
                present=True,
                score=Score(87.5, 1 / 3, "Suspicion", reports.PERCENT),
                tracking_id="A",
                regions=(Point(np.array([[1.1, 2.2]]), image), Box(np.array([[3.3, 4.4], [5.5, 6.6]]), image)),
            ),
            Finding(
                reports.PNEUMOTHORAX,
                present=True,
                score=Score(0.7, concept=CERTAINTY, meaning=CERTAINTY.meaning),
                regions=(Point(np.array([[7.7, 8.8]]), image),),
            ),
        ),
    ),
    "names-alike": lambda image: Result(
        ResultStatus.FINDINGS,
        "Two.",
        (
            Finding(
                reports.NODULE,
                present=True,
                tracking_id="A",
                regions=tuple(Point(np.array([[x, 2.2]]), image) for x in (1.1, 2.2, 3.3)),
            ),
            Finding(reports.NODULE, present=True, tracking_id="A (2)", regions=(Point(np.array([[4.4, 2.2]]), image),)),
        ),
    ),
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize(
    ("sr_class", "editable"), [("comprehensive", False), ("comprehensive-3d", False), ("comprehensive", True)]
)
def test_our_own_results_come_back_as_they_went(tmp_path: Path, name: str, sr_class: SRClass, editable: bool) -> None:
    """Result → report → `--json` → result: equal, to the last bit of every number, and lesions by their own names."""
    paths = reports.write_series("ct", tmp_path / "in")
    result = RESULTS[name](reports.reference("ct"))
    profile = EncodingProfile(sr_class=sr_class, kinds=frozenset({"sr", "seg"}), editable=editable)
    made = encode(reports.request(paths, result, profile=profile), tmp_path / "out")
    document = json.loads(json.dumps(as_result(read_sr(made[-1].path))))
    assert document.pop("report")["sop_instance_uid"] == made[-1].sop_instance_uid
    segments = [tuple(finding.pop("segments", ())) for finding in document.get("findings", [])]
    assert segments == [finding.segments for finding in result.findings]
    for number in (number for finding in document.get("findings", []) for number in finding.get("measurements", [])):
        if number["value"] is None:
            assert "unit" not in number  # it stands with the value (C.18.1)
            number["unit"] = encoding.encode(NO_UNIT)
    decoder = encoding.Decoder()
    read_back = decoder.decode(Result, document)
    expected = _as_a_report_can_hold_it(result)
    assert encoding.encode(read_back) == encoding.encode(expected)


def test_a_report_of_another_maker_is_in_the_same_words() -> None:
    """dcmjs: two axes as lines on one image, with their lengths; highdicom: an area in a circle, here an ellipse."""
    lines = as_result(read_sr(shared_data("dcmjs-org_dcmjs/examples/data/structured_report.dcm")))
    axes = next(finding for finding in lines["findings"] if len(finding.get("measurements", ())) == 2)
    assert [number["concept"]["meaning"] for number in axes["measurements"]] == ["Long Axis", "Short Axis"]
    assert [region["type"] for region in axes["regions"]] == ["Polyline", "Polyline"]
    circle = as_result(read_sr(shared_data("ImagingDataCommons_highdicom/data/test_files/sr_document.dcm")))
    assert [region["type"] for region in circle["findings"][0]["regions"]] == ["Ellipse"]


@pytest.mark.parametrize("name", ["reportsi.dcm", "test-SR.dcm"])
def test_a_report_that_is_no_measurement_report_is_refused(name: str) -> None:
    """What it says would be missing without a word: it is named instead."""
    with pytest.raises(NotAReportError, match="no measurement report"):
        read_sr(shared_data(f"pydicom_pydicom/src/pydicom/data/test_files/{name}"))


def test_a_page_becomes_a_png(tmp_path: Path) -> None:
    """What a person looks at where there is no viewer."""
    paths = reports.write_series("ct", tmp_path / "in")
    made = encode(reports.request(paths, reports.measured()), tmp_path / "out")
    picture = sc_png(made[0].path, tmp_path / "page.png")
    with Image.open(picture) as image:
        assert image.width == 1024


@pytest.mark.parametrize("name", [each[0] for each in OTHERS])
def test_a_report_with_any_one_attribute_missing_or_empty_is_still_read(name: str) -> None:
    """A report that is hard to read still has to be read: nothing that is wrong with one item raises."""
    document = dcmread(shared_data(name))
    elements = [(item, element) for item in _items(document) for element in item]
    for item, element in elements:
        for damaged in (None, DataElement(element.tag, element.VR, [] if element.VR == "SQ" else None)):
            del item[element.tag]
            if damaged is not None:
                item.add(damaged)
            try:
                read_sr(document).lines()
            except NotAReportError:
                assert item is document  # its content tree is gone, or its root is none
            item[element.tag] = element


def _items(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in item.get("ContentSequence") or ():
        yield from _items(child)
        for keyword in ("MeasuredValueSequence", "ConceptNameCodeSequence", "ConceptCodeSequence"):
            yield from child.get(keyword) or ()
