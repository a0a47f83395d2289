"""Real files of many makers, as they came: all are indexed; the reader agrees with pydicom."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword

from node.index.header import read
from node.ledger import instances
from node.store.arrival import Arrival, file_header
from node.store.layout import DataFolder
from tests.support.shared_data import SHARED_DATA, shared_data
from tests.support.sites.index_room import Room

_COMPARED = (
    "PatientID",
    "Modality",
    "SeriesInstanceUID",
    "StudyDate",
    "Rows",
    "SliceThickness",
    "ImagePositionPatient",
)


def _rows() -> list[dict[str, str]]:
    with shared_data("MANIFEST.csv").open() as manifest:
        return [row for row in csv.DictReader(manifest) if row["storable"] == "yes"]


def _arrive(data_folder: DataFolder, path: Path, at: object) -> tuple[str, Dataset]:
    """As the receiver would have written it: the dataset's own bytes behind meta information of ours."""
    dataset = dcmread(path, stop_before_pixels=True, force=True)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    if content[128:132] != b"DICM" or content[132:136] != b"\2\0\0\0":
        pytest.skip("no meta information")
    arrival = Arrival(
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        str(dataset.file_meta.TransferSyntaxUID),
        "CT1",
        "PACSNODE",
        "127.0.0.1",
        "association-1",
        at,  # type: ignore[arg-type]
    )
    receipt = data_folder.new_receipt()
    data_folder.arrived(receipt).write_bytes(file_header(arrival) + content[start:])
    return receipt, dataset


def _has_meta(row: dict[str, str]) -> bool:
    with (SHARED_DATA / row["path"]).open("rb") as file:
        return file.read(136)[128:] == b"DICM\2\0\0\0"


@pytest.mark.filterwarnings("ignore")
def test_every_storable_real_file_is_indexed(room: Room) -> None:
    """All of them, a row each, and only the deliberately damaged are marked as such; nothing stays in incoming/."""
    rows = [row for row in _rows() if _has_meta(row)]
    for row in rows:
        _arrive(room.data_folder, SHARED_DATA / row["path"], room.clock.now())
    room.index.run_once()
    assert room.data_folder.waiting() == []
    found = list(room.ledger.database.query("SELECT status, marks FROM instances"))
    assert len(found) == len(rows)
    statuses = Counter(row["status"] for row in found)
    assert statuses["unreadable"] == 0
    assert statuses["correction"] == 0
    assert sum("unreadable-header" in row["marks"] for row in found) <= 2
    assert sum("truncated" in row["marks"] for row in found) <= 8
    assert not any("undecodable" in row["marks"] for row in found)


@pytest.mark.filterwarnings("ignore")
def test_reader_agrees_with_pydicom(room: Room) -> None:
    """Every tenth file: the attributes that decisions rest on have the values that pydicom reads."""
    for row in [row for row in _rows() if _has_meta(row)][::10]:
        receipt, dataset = _arrive(room.data_folder, SHARED_DATA / row["path"], room.clock.now())
        reading = read(room.data_folder.arrived(receipt))
        for keyword in _COMPARED:
            if tag_for_keyword(keyword) not in dataset:  # type: ignore[operator]
                continue
            expected = dataset[keyword].value
            expected = [] if expected in (None, "") else list(expected) if dataset[keyword].VM > 1 else [expected]
            assert reading.header[keyword][1] == expected, (row["path"], keyword)


def test_chest_ct_is_complete_and_fit(room: Room) -> None:
    """LIDC-IDRI-0314, 275 slices: all current, one series, one frame each; no mark for stale group lengths."""
    shared_data("LIDC-IDRI-0314")
    rows = [row for row in _rows() if "LIDC-IDRI-0314" in row["path"] and row["modality"] == "CT"]
    for row in rows:
        _arrive(room.data_folder, SHARED_DATA / row["path"], room.clock.now())
    room.quiet()
    found = instances.of_study(room.ledger.database, rows[0]["study_uid"])
    assert len(found) == 275
    assert {(one.frames, *one.marks) for one in found} == {(1,)}
    assert room.events("instance.marked") == []
    assert len(room.events("study.complete")) == 1


def test_enhanced_mr_and_tomosynthesis_are_lifted(room: Room) -> None:
    """A Philips enhanced MR of 64 frames and a Hologic tomosynthesis: what rules ask for stands at the instance."""
    files = ("neurolabusc_dcm_qa_enh/In/Philips/IM_0027_fMAP.dcm", "medcognetics_dicom-utils/tests/jpeg2k_3d.dcm")
    headers = []
    for name in files:
        receipt, _ = _arrive(room.data_folder, shared_data(name), room.clock.now())
        headers.append(read(room.data_folder.arrived(receipt)).header)
    brain, breast = headers
    assert brain["SliceThickness"] == ["DS", [4.0]]
    assert brain["EffectiveEchoTime"] == ["FD", [1.52, 0.0]]
    assert len(brain["ImagePositionPatient"][1]) % 3 == 0
    assert len(brain["PerFrameFunctionalGroupsSequence"][1]) == 1
    assert (breast["FrameLaterality"], breast["ViewPosition"]) == (["CS", ["L"]], ["CS", ["CC"]])
