"""The reader reads reports of other makers, and says the same to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pydicom import DataElement, Dataset, dcmread

from node.results.encode import encode
from node.results.reader import NotAReportError, read_sr, sc_png
from tests.support import reports
from tests.support.shared_data import shared_data

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
    read_back = json.loads(report.to_json())
    assert read_back["findings"][0]["measurements"][1]["value"] == 12.4
    assert read_back["findings"][1]["present"] is False


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
