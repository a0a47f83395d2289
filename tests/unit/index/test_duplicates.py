"""The same SOP Instance UID, twice: duplicate, correction or conflict; and what triggers nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from node import ourselves
from node.ledger import instances, studies
from node.ledger.studies import StudyStatus
from node.store import device
from tests.support import history
from tests.support.images.receipts import SERIES, STUDY, arrive, code, compressed, ct, encoded
from tests.support.sites.index_room import Room


def test_fault_32_identical_duplicate_is_stored_once_and_not_re_run(room: Room) -> None:
    """Sent twice, three slices count once, the study keeps its revision, and one event says so."""
    for number in (1, 2, 3):
        arrive(room.data_folder, ct(number))
    room.quiet()
    for number in (1, 2, 3):
        arrive(room.data_folder, ct(number))
    room.quiet()
    assert room.statuses() == ["current"] * 3 + ["duplicate"] * 3
    study = studies.get(room.ledger.database, STUDY)
    assert (study.status, study.revision) == (StudyStatus.COMPLETE, 1)
    (event,) = room.events("instance.duplicate")
    assert event.detail["instances"] == 3


def test_duplicate_within_one_batch(room: Room) -> None:
    """Two receipts of one instance that wait together: the first counts, the second is its duplicate."""
    arrive(room.data_folder, ct())
    arrive(room.data_folder, ct())
    room.index.run_once()
    assert room.statuses() == ["current", "duplicate"]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encoding_of_the_same_instance_is_a_duplicate(room: Room, syntax: str) -> None:
    """The bytes differ, the instance does not: the syntax is no reason to run anything again."""
    arrive(room.data_folder, ct())
    room.index.run_once()
    again = ct()
    if syntax == ExplicitVRBigEndian:
        again.PixelData = np.frombuffer(again.PixelData, "<i2").astype(">i2").tobytes()
        again["PixelData"].VR = "OW"
    arrive(room.data_folder, again, syntax=syntax)
    room.index.run_once()
    assert room.statuses() == ["current", "duplicate"]


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_lossless_compression_of_the_same_instance_is_a_duplicate(room: Room, syntax: str) -> None:
    """Compared after decoding, in a child process: equal pixels are the same image."""
    arrive(room.data_folder, ct())
    room.index.run_once()
    arrive(room.data_folder, compressed(ct(), syntax), syntax=syntax)
    room.index.run_once()
    assert room.statuses() == ["current", "duplicate"]


def test_compressed_copy_with_other_pixels_is_a_conflict(room: Room) -> None:
    """Decoding shows that one pixel differs."""
    arrive(room.data_folder, ct())
    room.index.run_once()
    again = ct(PixelData=(np.arange(4096, dtype="<i2") + 1 + (np.arange(4096) == 9)).astype("<i2").tobytes())
    arrive(room.data_folder, compressed(again, JPEGLSLossless), syntax=JPEGLSLossless)
    room.index.run_once()
    assert room.statuses() == ["current", "conflict"]
    assert room.events("instance.conflict")[0].detail["differences"] == ["PixelData"]


def test_trivial_differences_are_recorded_by_name_and_change_nothing(room: Room) -> None:
    """Padding, an issuer that only one states, caret padding, a new description: a duplicate, differences named."""
    arrive(room.data_folder, ct())
    room.index.run_once()
    again = ct(PatientName="Hong^Gildong^^", PatientID="P1 ", IssuerOfPatientID="HOSPITAL", SeriesDescription="chest")
    arrive(room.data_folder, again)
    room.index.run_once()
    assert room.statuses() == ["current", "duplicate"]
    assert "SeriesDescription" in room.events("instance.duplicate")[0].detail["differences"]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"PixelData": b"\1" * 8192}, "PixelData"),
        ({"ImagePositionPatient": [0, 0, 77]}, "ImagePositionPatient"),
        ({"Laterality": "L"}, "Laterality"),
        ({"RescaleSlope": 2}, "RescaleSlope"),
        ({"SeriesInstanceUID": f"{STUDY}.2"}, "SeriesInstanceUID"),
        ({"StudyInstanceUID": "1.2.3.2"}, "StudyInstanceUID"),
    ],
)
def test_fault_33_34_other_content_under_one_uid_is_quarantined(
    room: Room, changes: dict[str, Any], difference: str
) -> None:
    """First kept, second quarantined, alert: other pixels, another place or side, another series or study."""
    first = arrive(room.data_folder, ct())
    arrive(room.data_folder, ct(2))
    room.quiet()
    arrive(room.data_folder, ct(**changes))
    room.quiet()
    assert instances.current(room.ledger.database, f"{SERIES}.1").receipt == first
    (event,) = room.events("instance.conflict")
    assert [alert.kind for alert in history.open_alerts(room.ledger.database)] == ["instance.conflict"]
    assert event.detail["differences"] == [difference]
    assert studies.get(room.ledger.database, STUDY).revision == 1
    assert studies.get(room.ledger.database, "1.2.3.2") is None


def test_the_same_conflict_again_alerts_nobody_again(room: Room) -> None:
    """What is quarantined already is a duplicate when it is sent once more."""
    for dataset in (ct(), ct(PixelData=b"\1" * 8192), ct(PixelData=b"\1" * 8192)):
        arrive(room.data_folder, dataset)
        room.index.run_once()
    assert room.statuses() == ["current", "conflict", "duplicate"]
    assert len(room.events("instance.conflict")) == 1


def test_changed_report_under_one_uid_is_a_conflict(room: Room) -> None:
    """An object without pixels is what its content says."""
    report: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33",
        "Modality": "SR",
        "PixelData": None,
        "Rows": None,
    }
    arrive(room.data_folder, ct(**report, ContentSequence=[_text("no nodule")]))
    arrive(room.data_folder, ct(**report, ContentSequence=[_text("nodule of 12 mm")]))
    room.index.run_once()
    assert room.statuses() == ["current", "conflict"]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_report_in_another_encoding_is_a_duplicate(room: Room, syntax: str) -> None:
    """The same report, implicit or deflated, says the same."""
    report: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33",
        "Modality": "SR",
        "PixelData": None,
        "Rows": None,
    }
    dataset = ct(**report, ContentSequence=[_text("no nodule")])
    arrive(room.data_folder, dataset)
    arrive(room.data_folder, dataset, syntax=syntax)
    room.index.run_once()
    assert room.statuses() == ["current", "duplicate"]


def _text(value: str) -> Dataset:
    item = Dataset()
    item.ValueType, item.TextValue = "TEXT", value
    return item


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "P2", "PatientName": "Kim^Cheolsu"},
        {"IssuerOfPatientID": "B"},
        {"PatientName": "Kim^Cheolsu", "PatientBirthDate": "19700101"},
        {"PatientID": "", "PatientName": "Kim^Cheolsu"},
    ],
)
def test_fault_35_second_patient_in_one_study_is_quarantined(room: Room, changes: dict[str, str]) -> None:
    """Another patient's slice never joins: not by another ID, issuer, or name and birth date; nor without an ID."""
    arrive(room.data_folder, ct(1, IssuerOfPatientID="A"))
    arrive(room.data_folder, ct(2, **{"IssuerOfPatientID": "A", **changes}))
    room.index.run_once()
    assert room.statuses() == ["current", "conflict"]
    (event,) = room.events("instance.conflict")
    assert [alert.kind for alert in history.open_alerts(room.ledger.database)] == ["instance.conflict"]
    assert set(event.detail["differences"]) <= {"PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate"}


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": " P1 "},
        {"PatientName": "HONG^GILDONG=洪^吉洞=홍^길동"},
        {"IssuerOfPatientID": "A"},
        {"PatientBirthDate": ""},
    ],
)
def test_spelling_and_missing_parts_are_not_a_second_patient(room: Room, changes: dict[str, str]) -> None:
    """Devices of one department write one patient differently."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, ct(2, **changes))
    room.index.run_once()
    assert room.statuses() == ["current", "current"]


def test_patient_known_from_a_later_instance_guards_the_study(room: Room) -> None:
    """The first slice has no Patient ID, the second says P1: a third one of P2 is quarantined."""
    for number, name in ((1, ""), (2, "P1"), (3, "P2")):
        arrive(room.data_folder, ct(number, PatientID=name))
        room.index.run_once()
    assert room.statuses() == ["current", "current", "conflict"]
    assert studies.get(room.ledger.database, STUDY).patient_id == "P1"


def test_fault_36_missing_patient_id_is_indexed_and_marked(room: Room) -> None:
    """It is routed like any other; whether a result may be sent is decided where results are made."""
    arrive(room.data_folder, ct(PatientID=None))
    room.quiet()
    (row,) = instances.of_study(room.ledger.database, STUDY)
    assert "missing-patient-id" in row.marks
    assert [alert.kind for alert in history.open_alerts(room.ledger.database)] == ["instance.marked"]
    assert studies.get(room.ledger.database, STUDY).revision == 1


def test_fault_50_our_own_result_triggers_nothing(room: Room) -> None:
    """A result that comes back is known by its Contributing Equipment, under whatever UID; no study, no revision."""
    equipment = Dataset()
    equipment.Manufacturer, equipment.ManufacturerModelName = ourselves.MANUFACTURER, ourselves.MODEL_NAME
    equipment.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    arrive(room.data_folder, ct(1))
    room.quiet()
    arrive(room.data_folder, ct(50, ContributingEquipmentSequence=[equipment]))
    arrive(room.data_folder, ct(51, ContributingEquipmentSequence=[equipment], StudyInstanceUID="1.2.3.7"))
    room.quiet()
    assert room.statuses() == ["current", "own"]
    assert studies.get(room.ledger.database, STUDY).revision == 1
    assert studies.get(room.ledger.database, "1.2.3.7") is None


@pytest.mark.parametrize(("serial", "status"), [("another", "current"), ("its own", "own"), ("pacsnode", "own")])
def test_finding_t5_results_of_another_node_are_not_ours(room: Room, serial: str, status: str) -> None:
    """It is the device that counts, not the product; what earlier releases wrote has no number of its own."""
    equipment = Dataset()
    equipment.Manufacturer, equipment.ManufacturerModelName = ourselves.MANUFACTURER, ourselves.MODEL_NAME
    equipment.DeviceSerialNumber = device.serial_number(room.data_folder.data) if serial == "its own" else serial
    equipment.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    arrive(room.data_folder, ct(1, ContributingEquipmentSequence=[equipment]))
    room.quiet()
    assert room.statuses() == [status]
    assert (studies.get(room.ledger.database, STUDY) is not None) == (status == "current")


def test_finding_t5_a_node_keeps_its_serial_number(room: Room, tmp_path: Path) -> None:
    """Across restarts, because its data folder has it; no two nodes have the same."""
    own = device.serial_number(room.data_folder.data)
    assert device.serial_number(room.data_folder.data) == own
    (tmp_path / "other").mkdir()
    assert device.serial_number(tmp_path / "other") != own


def test_images_that_passed_through_other_equipment_are_routed(room: Room) -> None:
    """Only what this program made is its own, not what names it or others in another role."""
    equipment = Dataset()
    equipment.Manufacturer, equipment.ManufacturerModelName = ourselves.MANUFACTURER, ourselves.MODEL_NAME
    equipment.PurposeOfReferenceCodeSequence = [code("109103", "DCM", "Modifying Equipment")]
    arrive(room.data_folder, ct(ContributingEquipmentSequence=[equipment]))
    room.index.run_once()
    assert room.statuses() == ["current"]


def test_retrieved_instances_do_not_reopen_a_received_study(room: Room) -> None:
    """What the node fetched itself makes no new revision of a study that was sent."""
    arrive(room.data_folder, ct(1))
    room.quiet()
    arrive(room.data_folder, ct(2), origin="retrieved")
    room.quiet()
    assert room.statuses() == ["current", "current"]
    assert studies.get(room.ledger.database, STUDY).revision == 1


def test_retrieved_study_becomes_complete_of_its_own(room: Room) -> None:
    """A prior is indexed like a study, so that its facts are there; later parts of it count too."""
    arrive(room.data_folder, ct(1), origin="retrieved")
    room.quiet()
    arrive(room.data_folder, ct(2), origin="retrieved")
    room.quiet()
    assert studies.get(room.ledger.database, STUDY).revision == 2


def test_receipts_are_moved_to_the_store_after_their_row(room: Room) -> None:
    """Once indexed, nothing is left in incoming/, and the file is found where it is kept."""
    receipt = arrive(room.data_folder, ct())
    content = room.data_folder.arrived(receipt).read_bytes()
    room.index.run_once()
    assert room.data_folder.waiting() == []
    assert room.data_folder.stored(receipt).read_bytes() == content


def test_encoded_helper_is_deterministic() -> None:
    """The tests above compare bytes: equal datasets are equal bytes."""
    assert encoded(ct()) == encoded(ct())
