"""A folder as a destination: whole files, named by a template, never in place of another and never outside."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.config.file_names import DEFAULT, FIELDS, parts_of
from node.config.folder_destination import FolderDestination
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer
from node.deliver.ways import file_naming, folder
from node.deliver.ways.archive import NotAdmittedError, NotReachedError
from node.errors import PermanentError
from node.ledger import outages
from node.ledger.delivery import DeliveryStatus
from node.outcome import AnswerReading
from node.stage import Node
from node.wake import Wakes
from tests.support.images.receipts import ct
from tests.support.sites.configurations import with_destinations
from tests.support.sites.outbox_room import OutboxRoom

STORED = AnswerReading.STORED


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The folder of the destination."""
    made = tmp_path / "out"
    made.mkdir()
    return made


def written(folder_: Path, name: str = "object.dcm", **attributes: Any) -> Path:
    """A DICOM file with these attributes."""
    dataset = ct(1, **attributes)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(folder_ / name, enforce_file_format=True)
    return folder_ / name


def store(target: Path, file: Path, names: str = "{patient_id}/{sop_instance_uid}.dcm") -> Answer:
    """What comes of it."""
    destination = FolderDestination(folder=target, names=names)
    with folder.archive(destination, "PACSNODE").connect([]) as sender:
        return sender.store(file)


def files(target: Path) -> list[str]:
    """What is in the folder, hidden files too."""
    return sorted(str(path.relative_to(target)) for path in target.rglob("*") if not path.is_dir())


@pytest.fixture
def room(tmp_path: Path, target: Path) -> OutboxRoom:
    """An outbox whose destination is a folder."""
    made = OutboxRoom(tmp_path / "data", 1)
    node = Node(made.ledger, made.data_folder, made.clock, Wakes())
    made.outbox = Outbox("pacs", node, with_destinations(pacs=FolderDestination(folder=target)))
    return made


def test_results_and_images_arrive_byte_for_byte_under_their_names(room: OutboxRoom, target: Path) -> None:
    """By the names that hold where none are given; sent again, they are there already."""
    result = room.result("1.2.4", "1.2.4.9")
    images = room.forward("1.2.3", 2)
    before = os.umask(0o077)  # as the node has it
    room.run()
    os.umask(before)
    assert {room.status(uid) for uid in (result, *images)} == {DeliveryStatus.DELIVERED}
    path = target / "P1" / "20260301" / "1.2.4" / "CT" / "1.2.4.9.dcm"
    assert path.read_bytes() == (room.data_folder.data / "1.2.4.9.dcm").read_bytes()
    assert len(files(target)) == 3
    assert room.of(result).answer == "file:written"
    assert {path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777} == {0o640, 0o750}
    again = store(target, room.data_folder.data / "1.2.4.9.dcm", DEFAULT)
    assert again.code == "file:there"


def test_what_waits_goes_once_the_folder_is_there(room: OutboxRoom, target: Path) -> None:
    """A file server that is not mounted is an outage: nothing is written where it should be."""
    target.rmdir()
    result = room.result("1.2.4", "1.2.4.9")
    room.run()
    assert room.status(result) is DeliveryStatus.WAITING
    outage = outages.get(room.ledger.database, "pacs")
    assert outage is not None
    assert "is its file server mounted?" in outage.why
    assert not target.exists()
    target.mkdir()
    room.clock.pass_(hours=1)
    room.run()
    assert room.status(result) is DeliveryStatus.DELIVERED


def test_one_name_is_never_overwritten(tmp_path: Path, target: Path) -> None:
    """The same bytes are there already; others are refused for good, and what is there stays."""
    one = written(tmp_path, "a.dcm", PatientID="P1")
    assert store(target, one, "{patient_id}.dcm") == Answer(STORED, "written as ….dcm", "file:written")
    assert store(target, one, "{patient_id}.dcm") == Answer(STORED, "….dcm is there already", "file:there")
    other = written(tmp_path, "b.dcm", PatientID="P1", SOPInstanceUID="1.2.3.99")
    refused = store(target, other, "{patient_id}.dcm")
    assert (refused.reading, refused.code) == (AnswerReading.DEAD_LETTER, "file:taken")
    assert (target / "P1.dcm").read_bytes() == one.read_bytes()
    assert files(target) == ["P1.dcm"]


@pytest.mark.parametrize(
    "value",
    [
        "..",
        "../../etc",
        "/etc/passwd",
        ".",
        "a/../b",
        "-",
        "CON",
        "nul",
        "com1.txt",
        "x" * 64,
        "환자/일",
        "P\x1fQ",
        "P.",
    ],
)
def test_no_value_leads_out_of_the_folder(value: str, tmp_path: Path, target: Path) -> None:
    """Whatever the header says: two folders deep, in a name that every system takes."""
    file = written(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientID=value)
    assert store(target, file).reading is STORED
    (found,) = files(target)
    name = found.partition("/")[0]
    assert found.count("/") == 1
    assert name.strip(".") == name
    assert name.partition(".")[0].upper() not in ("CON", "NUL", "COM1")
    assert len(name.encode()) <= 64
    assert all(each.isalnum() or each in "-_.~" for each in name)


def test_values_that_differ_stay_apart() -> None:
    """Also where upper and lower case are the same, or composed and decomposed Hangul."""
    values = ["A1", "a1", "A/1", "A_1", "A\\1", "CON", "_CON", "CON~", "", "none"]
    values += ["\ud55c", "\u1112\u1161\u11ab", "A" * 64, "A" * 63 + "B", "A" * 65]
    names = [file_naming.safe(each).casefold() for each in values]
    assert len(set(names)) == len(values)


def test_the_longest_values_make_a_name_that_file_systems_take(tmp_path: Path, target: Path) -> None:
    """Three fields and all fixed text that a name may have, in characters of three bytes."""
    long = "가" * 64
    file = written(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientID=long, AccessionNumber="나" * 64)
    names = "{patient_id}" + "a" * 48 + "{accession_number}{sop_instance_uid}"
    assert store(target, file, names).reading is STORED


def test_an_object_without_values_has_a_name_too(tmp_path: Path, target: Path) -> None:
    """Each field has its attribute; what is absent is `none`."""
    file = written(tmp_path, PatientID="", AccessionNumber=None)
    answer = store(target, file, "{accession_number}/{patient_id}-{modality}-x.dcm")
    assert answer.text == "written as …/…-CT-x.dcm"  # messages and logs do not name the patient
    assert files(target) == ["none/none-CT-x.dcm"]
    assert file_naming.values_of(file).keys() == FIELDS.keys()


def test_a_symbolic_link_is_not_followed(tmp_path: Path, target: Path) -> None:
    """Neither as a folder nor as the file: a person has to look at it."""
    away = tmp_path / "away"
    away.mkdir()
    (target / "P1").symlink_to(away)
    file = written(tmp_path, PatientID="P1", SOPInstanceUID="1.2.3.7")
    answer = store(target, file)
    assert answer.reading is AnswerReading.RETRY_SLOWLY
    assert "symbolic link" in answer.text
    (target / "1.2.3.7.dcm").symlink_to(away / "x")
    assert store(target, file, "{sop_instance_uid}.dcm").reading is AnswerReading.RETRY_SLOWLY
    assert list(away.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reading"),
    [(28, AnswerReading.RETRY), (30, AnswerReading.RETRY), (5, AnswerReading.RETRY), (13, AnswerReading.RETRY_SLOWLY)],
    ids=["ENOSPC", "EROFS", "EIO", "EACCES"],
)
def test_a_disk_that_refuses_leaves_nothing(
    error: int, reading: AnswerReading, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again later; no part of a file is left behind."""
    file = written(tmp_path, PatientID="P1")

    def refuse(descriptor: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", refuse)
    answer = store(target, file, "{sop_instance_uid}.dcm")
    assert (answer.reading, answer.code) == (reading, f"file:{errno.errorcode[error]}")
    assert files(target) == []


def test_a_file_system_without_hard_links_is_used_too(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many file servers are; nothing is overwritten there either."""
    one = written(tmp_path, "a.dcm", PatientID="P1")
    other = written(tmp_path, "b.dcm", PatientID="P1", SOPInstanceUID="1.2.3.99")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert store(target, one, "{patient_id}.dcm").code == "file:written"
    assert store(target, other, "{patient_id}.dcm").code == "file:taken"
    assert files(target) == ["P1.dcm"]


def test_what_a_crash_left_is_replaced(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a file is hidden, and gone after the next try."""
    file = written(tmp_path, PatientID="P1")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", lambda *_, **__: None)
        store(target, file, "{patient_id}.dcm")
    assert len(files(target)) == 2
    (target / "P1.dcm").unlink()
    assert store(target, file, "{patient_id}.dcm").code == "file:written"
    assert files(target) == ["P1.dcm"]


def test_it_says_whether_it_can_be_written(target: Path) -> None:
    """What `pacsnode echo` asks; it cannot be asked what it has."""
    way = folder.archive(FolderDestination(folder=target), "PACSNODE")
    way.try_out()
    assert files(target) == []
    with pytest.raises(PermanentError, match="cannot be asked"):
        way.find_study("1.2", ["PatientID"])
    (target / "file").touch()
    with pytest.raises(NotAdmittedError, match="Not a directory"):
        folder.archive(FolderDestination(folder=target / "file"), "PACSNODE").try_out()
    with pytest.raises(NotReachedError, match="there is no folder"):
        folder.archive(FolderDestination(folder=target / "absent"), "PACSNODE").try_out()


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("/x", "is empty"),
        ("x/", "is empty"),
        ("../x", "dot"),
        (".x", "dot"),
        ("x./y", "dot"),
        ("{patient_name}", "there is no field"),
        ("a b", "other characters"),
        ("{patient_id", "other characters"),
        ("con/{sop_instance_uid}", "device"),
        ("a/" * 8 + "b", "at most 7 folders"),
        ("x" * 49, "at most 48"),
        ("{patient_id}" * 4, "at most 3 fields"),
    ],
)
def test_a_template_that_could_not_be_used_is_refused(names: str, why: str) -> None:
    """In words, when the configuration is read."""
    with pytest.raises(ValueError, match=why):
        parts_of(names)
