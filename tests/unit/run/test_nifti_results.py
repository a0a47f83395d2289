"""What files and tables say by the mapping of a manifest: findings, numbers, and never a negative by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plugins.coding import Code, Site, Unit
from plugins.contract import Result
from plugins.measurements import NoValue
from plugins.nifti_mapping import EmptyMask
from plugins.untrusted import ExchangeError
from tests.support.sites.nifti_room import (
    LIVER,
    NiftiRoom,
    absent_if_empty,
    folders,
    grid,
    heatmap,
    number,
    organ,
    score,
    segment,
)

SHAPE = (6, 20, 30)
VOXEL_ML = 3.0 * 0.5 * 0.8 / 1000


@pytest.fixture
def room(tmp_path: Path) -> NiftiRoom:
    return NiftiRoom(tmp_path, grid(SHAPE))


def block(value: int = 1) -> np.ndarray:
    """A block of 80 voxels."""
    made = np.zeros(SHAPE, np.uint8)
    made[2:4, 5:9, 10:20] = value
    return made


def shown(result: Result) -> list[tuple[str, bool | None, list[float | None]]]:
    return [(each.code.meaning, each.present, [one.value for one in each.measurements]) for each in result.findings]


def test_a_label_is_a_finding_with_its_volume(room: NiftiRoom) -> None:
    """Code, side, colour, segment and mL are those of the mapping; labels that are ignored are nothing."""
    site = Site(Code("39607008", "SCT", "Lung"), "left")  # type: ignore[arg-type]  # the contract takes sides as words
    labels = block(4)
    labels[0, 0, :5] = 9
    room.save(labels)
    said = folders(segment(label=4, site=site, colour=(1, 2, 3)), ignored_labels=(9,))
    result = room.read(said).result
    (finding,), (made,) = result.findings, result.segmentation.segments
    assert (finding.present, finding.site, finding.segments, result.status) == (True, site, (1,), "findings")
    assert finding.measurements[0].value == pytest.approx(80 * VOXEL_ML)
    assert (finding.measurements[0].unit.code, made.colour, made.site, made.label) == ("mL", (1, 2, 3), site, "Nodule")
    assert result.segmentation.frames == room.grid.frames
    assert np.array_equal(result.segmentation.labels, block(1))
    assert result.summary == "Nodule found: 0.10 mL."


def test_a_label_may_be_several_lesions(room: NiftiRoom) -> None:
    """A finding for each connected part that is large enough; the rest is counted; too small is not absent."""
    labels = block(4)
    labels[0, 0, :5] = 4
    room.save(labels)
    result = room.read(folders(replace(segment(label=4), parts=5, part_minimum_ml=0.05))).result
    assert shown(result) == [("Nodule", True, [pytest.approx(80 * VOXEL_ML), pytest.approx(10, abs=3)])]
    assert result.quality == ("Not listed, further parts of Nodule: 1, together 0.01 mL.",)
    assert result.summary.startswith("Nodule 1 found: 0.10 mL")
    assert len(result.findings[0].regions) == 1
    assert np.array_equal(result.segmentation.labels, labels > 0)
    none = room.read(folders(absent_if_empty(replace(segment(label=4), parts=5, part_minimum_ml=9.0)))).result
    assert none.status == "not_applicable"
    assert none.summary.endswith("Not listed, further parts of Nodule: 2, together 0.10 mL.")


def test_an_organ_is_measured_and_neither_present_nor_absent(room: NiftiRoom) -> None:
    """It is a heading of its volume."""
    room.save(block(), "liver.nii.gz")
    result = room.read(folders(organ("Liver", "liver.nii.gz"))).result
    assert shown(result) == [("Liver", None, [pytest.approx(80 * VOXEL_ML)])]
    assert result.summary == "Liver: 0.10 mL."


def test_an_empty_mask_says_nothing_unless_the_mapping_says_what(room: NiftiRoom) -> None:
    """Unknown: not applicable, in words that are no negative. Absent: no findings, and no segment."""
    room.save(block() * 0)
    unknown = room.read(folders(segment())).result
    assert (unknown.status, unknown.findings) == ("not_applicable", ())
    assert unknown.summary == "The program found none of: Nodule. This does not say that there is none."
    absent = room.read(folders(absent_if_empty(segment()))).result
    assert (absent.status, shown(absent), absent.segmentation) == ("no_findings", [("Nodule", False, [])], None)
    assert absent.summary == "Nodule not found."
    room.save(block(), "liver.nii.gz")
    both = room.read(folders(segment(), organ("Liver", "liver.nii.gz"))).result
    assert (both.status, [each.code for each in both.findings]) == ("findings", [LIVER])
    assert both.quality == ("Nothing was outlined for: Nodule.",)


def test_numbers_go_to_the_finding_that_they_are_of(room: NiftiRoom) -> None:
    """Of a mask, at its site; another code or site is a finding of its own. A blank cell has no value."""
    room.save(block())
    (room.out / "numbers.csv").write_text("hu;cysts ; empty\r\n41.5;2;\r\n")
    cyst = Code("CYST", "99T", "Cysts")
    said = folders(
        segment(),
        numbers=(number("hu"), number("cysts", finding=cyst, concept=cyst, unit=Unit("1")), number("empty")),
    )
    result = room.read(said).result
    assert shown(result) == [
        ("Nodule", True, [pytest.approx(80 * VOXEL_ML), 41.5, None]),
        ("Cysts", None, [2.0]),
    ]
    assert result.findings[0].measurements[2].no_value is NoValue.CANNOT_BE_COMPUTED
    assert "Attenuation Coefficient 41.50 HU, Attenuation Coefficient cannot be computed" in result.summary


def test_one_empty_cell_is_a_number_without_a_value(room: NiftiRoom) -> None:
    """As csv.writer leaves it; of what is absent it says nothing more. A blank line is no row."""
    (room.out / "numbers.csv").write_text('hu\r\n""\r\n\r\n')
    assert shown(room.read(folders(numbers=(number("hu"),))).result) == [("Nodule", None, [None])]
    room.save(block() * 0)
    result = room.read(folders(absent_if_empty(segment()), numbers=(number("hu"),))).result
    assert (result.status, shown(result)) == ("no_findings", [("Nodule", False, [])])


def test_rows_and_ways_through_json_are_found(room: NiftiRoom) -> None:
    """A long CSV by its first column; statistics.json of TotalSegmentator; a list of one record, as of pandas."""
    (room.out / "numbers.csv").write_text("\ufeffname,mean\nspleen,50\nliver,61.25\n", encoding="utf-8")
    (room.out / "statistics.json").write_text(json.dumps({"liver": {"volume": 1e6, "intensity": 58.5}}))
    (room.out / "records.json").write_text(json.dumps([{"hu": 3, "none": None}]))
    said = folders(
        numbers=(
            number("mean", row="liver"),
            number("liver.intensity", "statistics.json"),
            number("0.hu", "records.json"),
            number("0.none", "records.json"),
        )
    )
    assert shown(room.read(said).result) == [("Nodule", None, [61.25, 58.5, 3.0, None])]


@pytest.mark.parametrize(
    ("value", "below", "status", "present"),
    [
        (0.5, EmptyMask.UNKNOWN, "findings", True),
        (0.49, EmptyMask.UNKNOWN, "findings", None),
        (0.49, EmptyMask.ABSENT, "no_findings", False),
    ],
)
def test_a_score_makes_present_and_denies_only_where_the_mapping_says_so(
    room: NiftiRoom, value: float, below: EmptyMask, status: str, present: bool | None
) -> None:
    """From the threshold on; below it, without a word of the mapping, it is a number only."""
    (room.out / "numbers.csv").write_text(f"p\n{value}\n")
    result = room.read(folders(numbers=(score("p", below=below),))).result
    (finding,) = result.findings
    assert (result.status, finding.present, finding.score.value) == (status, present, value)
    assert (finding.score.threshold, finding.score.concept.value) == (0.5, "111012")


def test_a_score_without_a_value_is_no_result(room: NiftiRoom) -> None:
    """Nothing else is there: not applicable, and no negative."""
    (room.out / "numbers.csv").write_text("p,q\n,1\n")
    result = room.read(folders(numbers=(score("p"),))).result
    assert result.status == "not_applicable"
    assert "This does not say that there is none." in result.summary


TABLES = [
    (b"hu\n", "has 1 rows with the headings, expected 2 to 10000"),
    (b"hu\n1\n2\n", "has 2 rows below the headings, expected one"),
    (b"other\n1\n", "has 0 columns 'hu', expected one"),
    (b"hu,hu\n1,2\n", "has 2 columns 'hu', expected one"),
    (b"x,hu\n1\n", "has a row that ends before the column 'hu'"),
    (b"hu\nnan\n", "hu: 'nan' is not a number; leave the cell empty where there is no value"),
    (b"hu\n-inf\n", "'-inf' is not a number"),
    (b"hu\n1e999\n", "value: inf is not a finite number"),
    (b'hu\n"1,5"\n', "'1,5' is not a number"),
    (b"hu\n1_0\n", "'1_0' is not a number"),
    (b"hu\n=1+1\n", "'=1+1' is not a number"),
    (b"hu\n\xff\xfe\n", "is not CSV in UTF-8"),
    (b'hu\n"1\n', "is not CSV in UTF-8"),
    (b"hu\n" + b"1\n" * 20_000, "rows with the headings, expected 2 to 10000"),
    (b"hu\n" + b"1" * 2**21, "has more than 1 MiB"),
]


@pytest.mark.parametrize(("content", "words"), TABLES, ids=[words[:40] for _, words in TABLES])
def test_fault_110_a_table_that_is_none_is_refused_in_words(room: NiftiRoom, content: bytes, words: str) -> None:
    """The error names the file, and the column where it is about one."""
    (room.out / "numbers.csv").write_bytes(content)
    with pytest.raises(ExchangeError) as caught:
        room.read(folders(numbers=(number("hu"),)))
    assert words in str(caught.value)
    assert str(caught.value).startswith("out/")


JSON = [
    (b"{", "is not valid JSON in UTF-8"),
    (b'{"hu": NaN}', "NaN is not a number in JSON"),
    (b'{"hu": "3"}', "hu: '3' is not a number"),
    (b'{"hu": true}', "'True' is not a number"),
    (b'{"hu": 1, "hu": 2}', "a key occurs twice"),
    (b'{"liver": 1}', "hu: there is no 'hu'"),
    (b'{"hu": 1e999}', "hu: is too large for a number"),
    (b'{"hu": ' + b"1" * 4000 + b"}", "hu: is too large for a number"),
    (b"[" * 100_000, "out/numbers.json"),
]


@pytest.mark.parametrize(("content", "words"), JSON, ids=[words[:40] for _, words in JSON])
def test_json_that_is_none_is_refused_in_words(room: NiftiRoom, content: bytes, words: str) -> None:
    """As with CSV."""
    (room.out / "numbers.json").write_bytes(content)
    with pytest.raises(ExchangeError) as caught:
        room.read(folders(numbers=(number("hu", "numbers.json"),)))
    assert words in str(caught.value)


def test_a_file_says_that_the_images_are_not_what_it_is_for(room: NiftiRoom) -> None:
    """Its first line is the reason; no other file is looked at."""
    (room.out / "not_applicable.txt").write_text("There is no contrast medium.\nmore\n")
    said = folders(segment(), not_applicable_file="not_applicable.txt")
    result = room.read(said).result
    assert (result.status, result.summary) == ("not_applicable", "There is no contrast medium.")


def test_impossible_numbers_are_refused_and_strays_are_named(room: NiftiRoom) -> None:
    """A volume below zero; files that the mapping does not name are left alone and told."""
    volume = Code("118565006", "SCT", "Volume")
    (room.out / "numbers.csv").write_text("ml\n-3\n")
    with pytest.raises(ExchangeError, match="below 0"):
        room.read(folders(numbers=(number("ml", concept=volume, unit=Unit("mL")),)))
    room.save(block())
    (room.out / "plans.json").write_text("{}")
    assert set(room.read(folders(segment())).ignored) == {"numbers.csv", "plans.json"}


def test_masks_can_stay_out_of_the_result_and_maps_come_in(room: NiftiRoom) -> None:
    """A manifest whose outputs do not list segmentation gets volumes alone; a map has its quantity."""
    from node.run.nifti import reading

    room.save(block())
    room.save(np.full(SHAPE, 0.5, np.float32), "probability.nii.gz")
    answer = room.answer(folders(segment(), heatmaps=(heatmap(),)))
    result = reading.read(replace(answer, has_segmentation=False)).result
    assert (result.segmentation, result.findings[0].segments) == (None, ())
    assert (result.heatmaps[0].quantity.meaning, result.heatmaps[0].frames) == ("Saliency", room.grid.frames)


def test_a_hundred_organs_fit_into_the_summary(room: NiftiRoom) -> None:
    """It is cut between sentences, and says how many are left out."""
    labels = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 120
    room.save(labels.astype(np.uint8))
    segments = [segment(f"Organ number {label}", label=label, finding=None) for label in range(1, 120)]
    result = room.read(folders(*segments)).result
    assert len(result.findings) == 119
    assert len(result.summary) <= 1024
    assert result.summary.endswith(" more.")
