"""Finding R1: each measurement stands beside the finding that it was made of, under one number everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from node.config.encoding import EncodingProfile
from node.reading.reader import read_sr
from node.results.context import Context, prepare
from node.results.encode import encode
from node.results.pages.key_slice import decode, key_slices
from node.results.pages.sheets import draw, sheets
from node.results.pages.tables import PageTable, tables
from node.results.texts import ENGLISH, KOREAN
from plugins.contract import (
    Box,
    Code,
    Finding,
    ImageReference,
    Measurement,
    ReferenceRange,
    Result,
    ResultStatus,
    Site,
    Unit,
)
from tests.support.results import reports
from tests.support.results.reports import BOTH, LEFT, LUNG, MM, NODULE, RIGHT

LONG, SHORT = Code("103339001", "SCT", "Long axis"), Code("103340004", "SCT", "Short axis")
AREA, MM2 = Code("42798000", "SCT", "Area"), Unit("mm2", "square millimetre")


def _box(image: int, left: float = 10.0) -> Box:
    return Box(np.array([[left, 10.0], [left + 8, 20.0]]), ImageReference(f"{reports.STUDY_UID}.2.{image}"))


def _finding(
    side: Code | None, numbers: dict[Code, float], name: str | None = None, *, image: int = 0, unit: Unit = MM
) -> Finding:
    return Finding(
        NODULE,
        present=True,
        site=Site(LUNG, side) if side else None,
        measurements=tuple(Measurement(code, value, unit, decimals=1) for code, value in numbers.items()),
        regions=(_box(image),) if image else (),
        tracking_id=name,
    )


def _result(*findings: Finding) -> Result:
    return Result(ResultStatus.FINDINGS, "Nodules.", findings)


def _rows(table: PageTable) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def _three() -> Result:
    return _result(
        _finding(RIGHT, {LONG: 8.0, SHORT: 6.0}, "Nodule 1", image=1),
        _finding(LEFT, {LONG: 5.0}, "Nodule 2", image=2),
        _finding(LEFT, {SHORT: 11.9}, "Nodule 3", image=2),
    )


def _context(folder: Path, result: Result) -> Context:
    return prepare(reports.request(reports.write_series("ct", folder), result))


def test_finding_r1_two_nodules_of_one_side_never_share_a_column() -> None:
    """The long axis of one left nodule and the short axis of another are two rows, each with its nodule."""
    (table,) = tables(_three(), ENGLISH)
    assert table.head == ("Finding", "Measurement", "Site", "Value", "Unit")
    assert _rows(table) == [
        ["1 · Nodule 1", "Long axis", "Lung, Right", "8.0", "mm"],
        ["1 · Nodule 1", "Short axis", "Lung, Right", "6.0", "mm"],
        ["2 · Nodule 2", "Long axis", "Lung, Left", "5.0", "mm"],
        ["3 · Nodule 3", "Short axis", "Lung, Left", "11.9", "mm"],
    ]


@pytest.mark.parametrize("marked", [True, False])
def test_finding_r1_numbers_without_names_belong_to_somebody(marked: bool) -> None:
    """Four areas of four findings that the plugin gave no name, marked on images or not: a number for each."""
    areas = [_finding(None, {AREA: 10.0 * n}, image=n if marked else 0, unit=MM2) for n in (1, 2, 3)]
    (table,) = tables(_result(*areas), ENGLISH)
    assert _rows(table) == [["1", "10.0"], ["2", "20.0"], ["3", "30.0"]]


def test_finding_r1_a_finding_without_numbers_counts_too() -> None:
    """Of two nodules one was measured: the row says which."""
    (table,) = tables(_result(_finding(LEFT, {}, image=1), _finding(LEFT, {LONG: 5.0}, image=2)), ENGLISH)
    assert [row[0] for row in _rows(table)] == ["2"]


_SETS: tuple[dict[Code, float], ...] = ({LONG: 5.0}, {SHORT: 6.0}, {LONG: 7.0, SHORT: 4.0}, {})
_CASES = [
    tuple(zip(sides, numbers, strict=True))
    for sides in itertools.product((RIGHT, LEFT, None), repeat=3)
    for numbers in itertools.product(_SETS, repeat=3)
]


@pytest.mark.parametrize("named", [True, False])
def test_finding_r1_whatever_was_measured_where_no_row_mixes_findings(named: bool) -> None:
    """1,728 combinations of three findings of one code: each value stands in one row, beside its owner."""
    for case in _CASES:
        values = itertools.count(1)
        findings = [
            _finding(side, {code: float(next(values)) for code in numbers}, f"Lesion {n}" if named else None)
            for n, (side, numbers) in enumerate(case, start=1)
        ]
        for table in tables(_result(*findings), ENGLISH):
            _assert_owned(table, findings)


def _assert_owned(table: PageTable, findings: Sequence[Finding]) -> None:
    for number, finding in enumerate(findings, start=1):
        owner = finding.tracking_id or str(number)
        for measured in finding.measurements:
            (row,) = (row for row in _rows(table) if f"{measured.value:.1f}" in row)
            assert owner in row, (table, owner)


def test_finding_r1_sides_stand_beside_each_other_where_nothing_is_lost() -> None:
    """The density of right, left and both lungs, whose names are their sides: columns, as before."""
    for names in (("Right lung", "Left lung", "Both lungs"), (None, None, None)):
        density = reports.measured()
        findings = tuple(replace(f, tracking_id=name) for f, name in zip(density.findings, names, strict=True))
        (table,) = tables(replace(density, findings=findings), KOREAN)
        assert table.head == ("측정 항목", "우측", "좌측", "양측", "단위", "참고 범위")
        assert _rows(table)[0] == ["Lung volume", "2,801", "2,401", "5,203", "mL", ""]


@pytest.mark.parametrize("why", ["names", "images", "ranges", "regions", "units"])
def test_finding_r1_sides_that_differ_otherwise_are_rows(why: str) -> None:
    """Names, numbers on the images, reference ranges, parts of the body or units that a column would hide."""
    right, left = _finding(RIGHT, {LONG: 8.0}), _finding(LEFT, {LONG: 5.0})
    if why == "names":
        right, left = replace(right, tracking_id="A"), replace(left, tracking_id="B")
    if why == "images":
        right, left = replace(right, regions=(_box(1),)), replace(left, regions=(_box(2),))
    if why == "ranges":
        right, left = (_ranged(each, high) for each, high in ((right, 6.0), (left, 7.0)))
    if why == "regions":
        left = replace(left, site=Site(Code("45653009", "SCT", "Upper lobe of lung"), LEFT))
    if why == "units":
        left = replace(left, measurements=(replace(left.measurements[0], unit=Unit("cm", "cm")),))
    (table,) = tables(_result(right, left), ENGLISH)
    assert ENGLISH.laterality[BOTH.value] not in table.head
    assert "Right" not in table.head
    assert len({row[0] for row in _rows(table)}) == 2


def _ranged(finding: Finding, high: float) -> Finding:
    (number,) = finding.measurements
    return replace(finding, measurements=(replace(number, reference_range=ReferenceRange(None, high, "A source")),))


def test_finding_r1_one_number_in_row_table_image_and_report(tmp_path: Path) -> None:
    """The finding without a region comes first in the result, and takes no number away from those on the images."""
    result = _three()
    result = replace(result, findings=(_finding(RIGHT, {LONG: 3.0}, "Nodule 0"), *result.findings))
    context = _context(tmp_path / "in", result)
    words = {placed.text for canvas in draw(context, sheets(context)) for placed in canvas.placed}
    assert {"2 · Nodule 2", "2 Nodule 2: Solitary nodule of lung, Left", "Nodule 0"} <= words
    (_, second) = key_slices(context)
    assert [(drawn.number, drawn.legend[:8]) for drawn in second.regions] == [(2, "Nodule 2"), (3, "Nodule 3")]
    profile = EncodingProfile(kinds=frozenset({"sr", "pr"}))
    made = encode(replace(context.request, profile=profile), tmp_path / "out")
    state, report = (dcmread(one.path) for one in made)
    shown = {item.TextObjectSequence[0].UnformattedTextValue for item in state.GraphicAnnotationSequence}
    assert shown == {f"{number} Solitary nodule of lung" for number in (1, 2, 3)}
    told = [(group.tracking_identifier, group.number) for group in read_sr(report).findings]
    assert told == [("Nodule 0", ""), ("Nodule 1", "1"), ("Nodule 2", "2"), ("Nodule 3", "3")]


def test_finding_r1_all_regions_of_a_finding_have_its_number(tmp_path: Path) -> None:
    """One nodule marked twice on an image, and another: 1, 1 and 2, and the legend names each once."""
    twice = replace(_finding(LEFT, {LONG: 5.0}, "Nodule A"), regions=(_box(1), _box(1, 40.0)))
    context = _context(tmp_path, _result(twice, _finding(LEFT, {LONG: 7.0}, "Nodule B", image=1)))
    (key,) = key_slices(context)
    assert [drawn.number for drawn in key.regions] == [1, 1, 2]
    lines = decode(context, key).lines[1:]
    assert lines == ["1  Nodule A: Solitary nodule of lung, Left", "2  Nodule B: Solitary nodule of lung, Left"]


def test_finding_r1_comments_of_what_is_only_measured_name_their_finding(tmp_path: Path) -> None:
    """Two cysts with a comment each: each comment stands behind the cyst's own name."""
    cysts = [
        replace(_finding(LEFT, {LONG: 5.0}, f"Cyst {n}"), present=None, comment=f"Comment {n}.") for n in ("A", "B")
    ]
    context = _context(tmp_path, _result(*cysts))
    words = " ".join(placed.text for canvas in draw(context, sheets(context)) for placed in canvas.placed)
    for name in ("A", "B"):
        assert f"Cyst {name}: Solitary nodule of lung, Left: Comment {name}." in words
