"""What products on the market put out is expressible: report, pages and maps of each, whole, and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from node.config.encoding import EncodingProfile
from node.reading import reader
from tests.support.results import reports
from tests.support.results.page_words import canvases_of, context_of, words_of
from tests.support.results.vendors import VENDORS

EVERYTHING = EncodingProfile(kinds=frozenset(("sr", "sc", "seg", "pm", "ko", "pr")))


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("kind", ["ct", "dx", "mg", "mr"])
def test_each_is_reported_with_every_number(name: str, kind: str, tmp_path: Path) -> None:
    """No object is missing, codes of more than 16 characters included; the report has the findings and numbers, and
    declares each private scheme that it uses (PS3.3 C.12.1.1.7)."""
    files = reports.write_series(kind, tmp_path / "in")
    result = VENDORS[name](reports.reference(kind))
    made = reports.whole(reports.request(files, result, profile=EVERYTHING), tmp_path / "out")
    assert {"sr", "sc"} <= {each.kind for each in made}
    (dataset,) = (dcmread(each.path) for each in made if each.kind == "sr")
    read = reader.read_sr(dataset)
    found = {(m.concept.value, m.value) for each in read.findings for m in each.measurements}
    assert {(m.concept.value, m.value) for each in result.findings for m in each.measurements} <= found
    assert [each.present for each in read.findings] == [each.present for each in result.findings]
    if result.findings[0].score:
        assert {each.score.value for each in result.findings if each.score} <= {value for _, value in found}
    private = {m.concept.scheme for each in result.findings for m in each.measurements if m.concept.scheme[:2] == "99"}
    declared = {str(item.CodingSchemeDesignator) for item in dataset.get("CodingSchemeIdentificationSequence", ())}
    assert private <= declared


def test_each_landmark_is_named_on_the_page_beside_its_number(tmp_path: Path) -> None:
    """It is neither present nor absent, and nothing is measured of it: which point is the nasion has to be said."""
    files = reports.write_series("dx", tmp_path)
    words = words_of(canvases_of(context_of(files, VENDORS["cephalometry"](reports.reference("dx")))))
    for number, name in enumerate(("Sellaturcica", "Nasion", "PointA(subspinale)", "PointB(supramentale)"), start=1):
        assert f"{number}{name}:Cephalometriclandmark,{name}" in words
