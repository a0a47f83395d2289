"""A plain SR reader of another maker (dcmtk's dsr2html) shows the text that was intended."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from node.config.encoding import EncodingProfile
from node.results.tracking import shown_numbers
from plugins.contract import Finding, Result
from tests.support.programs.peers import dcmtk
from tests.support.results import reports

NO_VALUE = "Measurement failure"


def text_of(path: Path) -> list[str]:
    """Headings and `name: value` of what dsr2html shows at its main size, in order; without the small print."""
    done = subprocess.run([dcmtk("dsr2html"), "+U8", str(path)], capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    body = done.stdout.partition("<hr>")[2].partition("<h1>Annex</h1>")[0]  # before it patient and study
    page = re.sub(r"<small>.*?</small>", "", body, flags=re.DOTALL)
    parts = re.findall(r"<h[1-6]>(.*?)</h[1-6]>|<b>(.*?):</b><br>\s*(.*?)\s*(?:<p>|</div>)", page, re.DOTALL)
    return [_plain(heading or f"{name}: {value}") for heading, name, value in parts]


def _plain(text: str) -> str:
    """Without marks, and without the code behind a meaning."""
    words = html.unescape(re.sub(r"<[^>]*>", "", text))
    return re.sub(r"\s+", " ", re.sub(r" \([^()]*, [^()]*\)$", "", words))


def intended(result: Result, group: Finding) -> list[str]:
    """One measurement group as a radiologist should read it."""
    lines = [f"Finding: {group.code.meaning}"]
    if group.score is not None:
        lines.append(f"{group.score.meaning}: {group.score.value:g} 1")
    for number in group.measurements:
        value = NO_VALUE if number.value is None else f"{number.value} {number.unit.code}"
        lines.append(f"{number.concept.meaning}: {value}")
    if group.present is not None:
        lines.append(f"{group.code.meaning}: {'Present' if group.present else 'Absent'}")
    return lines


def groups_in(text: list[str]) -> list[list[str]]:
    """The lines of each measurement group."""
    start, end = text.index("Imaging Measurements"), text.index("Qualitative Evaluations")
    groups: list[list[str]] = []
    for line in text[start + 1 : end]:
        if line == "Measurement Group":
            groups.append([])
        else:
            groups[-1].append(line)
    return groups


@pytest.mark.parametrize("editable", [False, True])
@pytest.mark.parametrize("name", ["measured", "nodule", "regions", "no-findings"])
def test_findings_and_numbers_stand_there_in_order(tmp_path: Path, name: str, editable: bool) -> None:
    """Marking and summary first; in each group the finding, its numbers with units, and present or absent."""
    result = reports.RESULTS[name](reports.reference("ct"))
    profile = EncodingProfile(kinds=frozenset({"sr"}), editable=editable)
    (made,) = reports.whole(
        reports.request(reports.write_series("ct", tmp_path / "in"), result, profile=profile), tmp_path / "out"
    )
    text = text_of(made.path)
    # For OHIF, what has no region is no group: a Qualitative Evaluation, of a report with another title if that is all.
    grouped = [(one, number) for one, number in zip(result.findings, shown_numbers(result), strict=True) if one.regions]
    if not editable:
        grouped = list(zip(result.findings, shown_numbers(result), strict=True))
    assert text[0] == ("Imaging Measurement Report" if grouped else "AI result")
    assert text[1].startswith("Status of this AI result: AI-INV lung_density: Investigational AI result")
    assert text[2] == f"Summary: {result.summary}"
    shown = groups_in(text) if grouped else []
    assert len(shown) == len(grouped)
    for finding in result.findings:
        said = {True: "Present", False: "Absent"}.get(finding.present) if finding.present is not None else None
        assert (f"{finding.code.meaning}: {said}" if said else f"Finding: {finding.code.meaning}") in text
    apart = ("Image Region", "Illustration of ROI", "Geometric purpose of region", "Comment", "Number of the finding")
    for group, (finding, number) in zip(shown, grouped, strict=True):
        lines = [line for line in group if not line.startswith(apart)]
        assert lines == intended(result, finding)
        numbers = [line for line in group if line.startswith("Number of the finding")]
        assert numbers == ([] if number is None else [f"Number of the finding: {number}"])
        comments = [line.removeprefix("Comment: ") for line in group if line.startswith("Comment")]
        assert comments == [*(["URGENT"] if finding.urgent else []), *([finding.comment] if finding.comment else [])]


@pytest.mark.parametrize("name", ["failed", "not-applicable"])
def test_what_was_not_analysed_is_no_negative_in_it(tmp_path: Path, name: str) -> None:
    """The reason is there in words, and neither "absent" nor "no finding"."""
    result = reports.RESULTS[name](reports.reference("ct"))
    profile = EncodingProfile(kinds=frozenset({"sr"}))
    (made,) = reports.whole(
        reports.request(reports.write_series("ct", tmp_path / "in"), result, profile=profile), tmp_path / "out"
    )
    text = text_of(made.path)
    assert "This is not a negative result." in text[2]
    assert f"Reason for not analysed: {result.summary}" in text
    assert not re.search("absent|no finding", "\n".join(text), re.IGNORECASE)
