"""Objects right by themselves and wrong beside others, sent to the real receiver and indexed as the node does it.

Each is answered with success: what the indexer makes of it concerns the node, and the modality's study goes on.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from node import ourselves
from node.index.children import HeaderReader
from node.index.header import SenderTerms, read
from node.ledger import facts, instances, studies
from node.ledger.studies import StudyStatus
from node.store.arrival import read_arrival
from tests.support import history
from tests.support.dimse.raw_dimse import COMMAND_LAST as COMMAND
from tests.support.dimse.raw_dimse import DATA, DATA_LAST, EXPLICIT, RawPeer, p_data, store_rq
from tests.support.images.receipts import KEY_OBJECT_SELECTION, code, ct, encoded, rejection_note
from tests.support.sites.index_room import Room, room_of
from tests.support.sites.receiver import Receiver, data_set_of
from tests.support.wait import until

PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver"), node={"durability": "os"}) as running:
        yield running


@pytest.fixture(scope="module")
def room(receiver: Receiver) -> Iterator[Room]:
    """The indexer of the receiver's data folder."""
    reader = HeaderReader(children=1)
    yield room_of(receiver.data_folder, reader)
    reader.close()


def of(study: str, number: int = 1, **changes: object) -> Dataset:
    """A slice of one series of a study that only this test knows."""
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "SOPInstanceUID": f"{study}.1.{number}"}
    return ct(number, **{**uids, **changes})


def send(receiver: Receiver, room: Room, *datasets: Dataset, encode: Callable[[Dataset], bytes] = encoded) -> list[str]:
    """C-STORE on one association, all answered with success; index them; the receipts, in their order."""
    known = {path.name for path in receiver.data_folder.store.rglob("*.dcm")}
    contexts = {2 * n + 1: (uid, [EXPLICIT]) for n, uid in enumerate(sorted({str(d.SOPClassUID) for d in datasets}))}
    numbers = {uid: number for number, (uid, _) in contexts.items()}
    with RawPeer(receiver.connect()) as peer:
        peer.associate(contexts=contexts)
        for dataset in datasets:
            number = numbers[dataset.SOPClassUID]
            peer.send(p_data(number, COMMAND, store_rq(dataset.SOPClassUID, dataset.SOPInstanceUID)))
            peer.send(p_data(number, DATA_LAST, encode(dataset)))
            assert peer.status() == 0x0000
        peer.release()
    until(receiver.idle, what="the association to end")
    assert len(receiver.received()) == len(datasets)
    room.index.run_once()
    assert receiver.received() == []
    return sorted(path.stem for path in receiver.data_folder.store.rglob("*.dcm") if path.name not in known)


def the(room: Room, kind: str, study: str) -> list[dict[str, object]]:
    """Details of the events of a kind, of one study."""
    return [dict(event.detail) for event in room.events(kind) if event.study_instance_uid == study]


def revision(room: Room, study: str) -> tuple[str, int]:
    found = studies.get(room.ledger.database, study)
    assert found is not None
    return str(found.status), found.revision


def test_fault_32_a_study_that_is_sent_twice_counts_once(receiver: Receiver, room: Room) -> None:
    """Both times 0000; the second time nothing of the study changes, and one event says so."""
    slices = [of("1.2.32", number) for number in (1, 2, 3)]
    send(receiver, room, *slices)
    room.quiet()
    send(receiver, room, *slices)
    room.quiet()
    assert room.statuses("1.2.32") == ["current"] * 3 + ["duplicate"] * 3
    assert revision(room, "1.2.32") == (StudyStatus.COMPLETE, 1)
    [event] = the(room, "instance.duplicate", "1.2.32")
    assert event["instances"] == 3


@pytest.mark.parametrize(
    ("study", "changes", "difference"),
    [
        ("1.2.33", {"PixelData": b"\1" * 8192}, "PixelData"),
        ("1.2.34", {"SeriesInstanceUID": "1.2.34.2"}, "SeriesInstanceUID"),
    ],
    ids=["fault_33", "fault_34"],
)
def test_faults_33_34_other_content_under_one_uid_is_set_aside(
    receiver: Receiver, room: Room, study: str, changes: dict[str, Any], difference: str
) -> None:
    """Other pixels, or the same UID in another series: 0000, the first one counts, an alert, both kept as they came."""
    [first] = send(receiver, room, of(study))
    [second] = send(receiver, room, of(study, **changes))
    room.quiet()
    current = instances.current(room.ledger.database, f"{study}.1.1")
    assert current is not None
    assert current.receipt == first
    assert room.statuses(study) == ["current", "conflict"]
    [event] = [each for each in room.events("instance.conflict") if each.study_instance_uid == study]
    assert event.detail["differences"] == [difference]
    assert study in {alert.study for alert in history.open_alerts(room.ledger.database)}
    assert data_set_of(receiver.data_folder.find(first)) == encoded(of(study))
    assert data_set_of(receiver.data_folder.find(second)) == encoded(of(study, **changes))


def test_fault_33b_a_corrected_patient_is_a_correction(receiver: Receiver, room: Room) -> None:
    """Same pixels, another patient: 0000, set aside as a correction, and the study is held for a person."""
    send(receiver, room, of("1.2.33.2"))
    room.quiet()
    send(receiver, room, of("1.2.33.2", PatientName="Kim^Cheolsu", PatientID="P2"))
    assert room.statuses("1.2.33.2") == ["current", "correction"]
    found = studies.get(room.ledger.database, "1.2.33.2")
    assert found is not None
    assert found.hold


def test_fault_35_a_second_patient_in_one_study_is_set_aside(receiver: Receiver, room: Room) -> None:
    """0000 for both; the other patient's slice is in no revision of the study."""
    send(receiver, room, of("1.2.35", 1), of("1.2.35", 2, PatientID="P2", PatientName="Kim^Cheolsu"))
    room.quiet()
    assert room.statuses("1.2.35") == ["current", "conflict"]
    [series] = facts.of_study(room.ledger.database, "1.2.35", 1)
    assert [each.sop_instance_uid for each in series.instances] == ["1.2.35.1.1"]


def test_fault_36_a_missing_patient_id_is_received_and_marked(receiver: Receiver, room: Room) -> None:
    """0000, stored, marked with an alert; no result goes to a guessed patient (tests of `results`)."""
    send(receiver, room, of("1.2.36", PatientID=None))
    [row] = instances.of_study(room.ledger.database, "1.2.36")
    assert "missing-patient-id" in row.marks


class DiesOn:
    """Reads files, and kills its process on one object; picklable, because it is sent to the child."""

    def __init__(self, sop_instance_uid: str) -> None:
        self.poison = sop_instance_uid

    def __call__(self, path: Path, terms: SenderTerms) -> object:
        if read_arrival(path)[0].sop_instance_uid == self.poison:
            os.kill(os.getpid(), 9)
        return read(path, terms)


def test_fault_44_an_object_that_kills_its_reader_costs_itself_only(
    receiver: Receiver, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child dies on one of three objects (as a codec may): it is kept and marked, the others and the next live."""
    monkeypatch.setattr("node.index.children.header.read", DiesOn("1.2.44.1.2"))
    send(receiver, room, *(of("1.2.44", number) for number in (1, 2, 3)))
    assert room.statuses("1.2.44") == ["current", "current"]
    [lost] = [path for path in receiver.data_folder.store.rglob("*.dcm") if _names(path, "1.2.44.1.2")]
    row = instances.by_receipt(room.ledger.database, lost.stem)
    assert row is not None
    assert row.status == "unreadable"
    assert data_set_of(lost) == encoded(of("1.2.44", 2))
    send(receiver, room, of("1.2.44", 4))
    assert room.statuses("1.2.44") == ["current"] * 3


def _names(path: Path, sop_instance_uid: str) -> bool:
    return read_arrival(path)[0].sop_instance_uid == sop_instance_uid


def test_fault_45_no_preamble_but_zeros_reaches_the_disk(receiver: Receiver, room: Room) -> None:
    """A data set that begins like a program: behind 128 zeros and the prefix, in a file that nobody may execute."""
    [receipt] = send(receiver, room, of("1.2.45"))
    path = receiver.data_folder.find(receipt)
    assert path.read_bytes()[:132] == bytes(128) + b"DICM"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("sop_class", [REPORT, PRESENTATION_STATE, KEY_OBJECT_SELECTION])
def test_fault_47_objects_without_pixels_are_like_any_other(receiver: Receiver, room: Room, sop_class: str) -> None:
    """Received, indexed without a mark, in the facts of their study."""
    study = f"1.2.47.{sop_class.rpartition('.')[2]}"
    pixels = ("Rows", "Columns", "PixelData", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation")
    send(receiver, room, of(study, SOPClassUID=sop_class, **dict.fromkeys(pixels)))  # type: ignore[arg-type]
    room.quiet()
    [row] = instances.of_study(room.ledger.database, study)
    assert row.marks == {}
    assert len(facts.of_study(room.ledger.database, study, 1)) == 1


def test_fault_47b_a_rejection_note_takes_its_instances_out(receiver: Receiver, room: Room) -> None:
    """0000 for the note; the slice that it names is in no input of the next revision."""
    slices = [of("1.2.47", number) for number in (1, 2, 3)]
    send(receiver, room, *slices)
    room.quiet()
    note = rejection_note([slices[1]], "113001", StudyInstanceUID="1.2.47", SOPInstanceUID="1.2.47.9")
    send(receiver, room, note)
    room.quiet()
    assert room.statuses("1.2.47") == ["current", "rejected", "current", "current"]
    assert revision(room, "1.2.47") == (StudyStatus.COMPLETE, 2)


def test_fault_48_a_huge_multi_frame_object_in_bounded_memory(
    receiver: Receiver, room: Room, full_length: bool
) -> None:
    """200 MB, with `make soak` 1.1 GB, as one object: stored, indexed without a mark, the receiver's memory flat."""
    frames = 550 if full_length else 100
    size = 1024 * 1024 * 2 * frames
    dataset = of("1.2.48", SOPClassUID=MULTI_FRAME, Rows=1024, Columns=1024, NumberOfFrames=frames, PixelData=b"")
    head = encoded(dataset)[:-4] + struct.pack("<L", size)
    before = receiver.memory()
    with RawPeer(receiver.connect()) as peer:
        peer.associate(contexts={1: (MULTI_FRAME, [EXPLICIT])})
        peer.send(p_data(1, COMMAND, store_rq(MULTI_FRAME, "1.2.48.1.1")) + p_data(1, DATA, head))
        piece = p_data(1, DATA, bytes(65536))
        for _ in range(size // 65536):
            peer.send(piece)
        assert receiver.memory() < before + (8 << 20)
        peer.send(p_data(1, DATA_LAST, b""))
        assert peer.status() == 0x0000
        peer.release()
    [path] = receiver.received()
    assert path.stat().st_size > size
    room.index.run_once()
    [row] = instances.of_study(room.ledger.database, "1.2.48")
    assert row.marks == {}
    receiver.data_folder.find(row.receipt).unlink()


def test_fault_49_late_images_make_a_new_revision(receiver: Receiver, room: Room) -> None:
    """Complete, one more slice on another association, complete again: revision 2 has both, revision 1 what it had."""
    send(receiver, room, of("1.2.49", 1))
    room.quiet()
    send(receiver, room, of("1.2.49", 2))
    room.quiet()
    assert revision(room, "1.2.49") == (StudyStatus.COMPLETE, 2)
    sizes = [len(facts.of_study(room.ledger.database, "1.2.49", number)[0].instances) for number in (1, 2)]
    assert sizes == [1, 2]


def test_fault_50_our_own_results_trigger_nothing(receiver: Receiver, room: Room) -> None:
    """What this node made comes back from the PACS: 0000, and no study, no revision."""
    equipment = Dataset()
    equipment.Manufacturer, equipment.ManufacturerModelName = ourselves.MANUFACTURER, ourselves.MODEL_NAME
    equipment.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    send(receiver, room, of("1.2.50", 1))
    room.quiet()
    send(receiver, room, of("1.2.50", 2, ContributingEquipmentSequence=[equipment]))
    send(receiver, room, of("1.2.50.7", 3, ContributingEquipmentSequence=[equipment]))
    room.quiet()
    assert room.statuses("1.2.50") == ["current", "own"]
    assert revision(room, "1.2.50") == (StudyStatus.COMPLETE, 1)
    assert studies.get(room.ledger.database, "1.2.50.7") is None


KOREAN = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"


@pytest.mark.parametrize(
    ("character_set", "name"),
    [("ISO 2022 IR 149", KOREAN), ("ISO_IR 100", b"\xc8\xab^\xb1\xe6\xb5\xbf"), (None, b"Stra\xdfe^J\xfcrgen")],
    ids=["Korean", "mislabelled", "absent"],
)
def test_fault_38_bytes_of_any_character_set_are_kept(
    receiver: Receiver, room: Room, character_set: str | None, name: bytes
) -> None:
    """Not one byte of the data set is other than it was sent, whatever its label says."""
    placeholder = "X" * len(name)

    def encode(dataset: Dataset) -> bytes:
        return encoded(dataset).replace(placeholder.encode(), name)

    dataset = of(f"1.2.38.{len(name)}", SpecificCharacterSet=character_set, PatientName=placeholder)
    assert name in encode(dataset)
    [receipt] = send(receiver, room, dataset, encode=encode)
    assert data_set_of(receiver.data_folder.find(receipt)) == encode(dataset)
