"""Our SCU against the demonstration PACS, and against peers that misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

from node.dicom.part10 import kind_of, read_object
from node.dimse.demo_pacs import DemoPACS
from node.dimse.scu import Peer, UnreachableError, echo, find_study, has_instance, probe
from node.dimse.storage_scu import StorageSCU, batches, dicom_files, send
from node.errors import PermanentError
from node.outcome import AnswerReading
from tests.support.dimse.raw_dimse import CT, EXPLICIT, pdu
from tests.support.programs.storescp import StoreSCP

J2K_FILE = Path(str(get_testdata_file("JPEG2000.dcm")))
BIG_ENDIAN_FILE = Path(str(get_testdata_file("ExplVR_BigEnd.dcm")))
CT_FILE = Path(str(get_testdata_file("CT_small.dcm")))


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[DemoPACS]:
    with DemoPACS(tmp_path / "pacs") as running:
        yield running


def peer_of(pacs: DemoPACS) -> Peer:
    return Peer("127.0.0.1", pacs.port, pacs.ae_title, "PACSNODE", 10)


def _data_set(path: Path) -> bytes:
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


def test_files_arrive_as_they_are_and_twice_is_once(pacs: DemoPACS) -> None:
    """Compressed, big endian, native: byte for byte; sent again, the PACS still holds one of each."""
    files = [CT_FILE, J2K_FILE, BIG_ENDIAN_FILE]
    for _ in range(2):
        outcomes = list(send(peer_of(pacs), files))
        assert [(path, each.reading, each.status) for path, each in outcomes] == [
            (path, AnswerReading.STORED, 0) for path in files
        ]
    assert len(pacs.files()) == len(files)
    assert pacs.received_again == len(files)
    for path in files:
        assert _data_set(pacs.folder / f"{dcmread(path).SOPInstanceUID}.dcm") == _data_set(path)


def test_find_study_returns_decoded_text(pacs: DemoPACS, tmp_path: Path) -> None:
    """A Korean name by its own character set; what is not held is empty; another study is not found."""
    content = dcmread(CT_FILE)
    content.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
    content.PatientName = "Hong^Gildong=洪^吉洞=홍^길동"
    content.AccessionNumber = "A-1"
    content.save_as(tmp_path / "korean.dcm")
    list(send(peer_of(pacs), [tmp_path / "korean.dcm"]))
    found = find_study(peer_of(pacs), content.StudyInstanceUID, ["PatientName", "AccessionNumber", "IssuerOfPatientID"])
    assert found == [
        {
            "StudyInstanceUID": content.StudyInstanceUID,
            "PatientName": "Hong^Gildong=洪^吉洞=홍^길동",
            "AccessionNumber": "A-1",
            "IssuerOfPatientID": "",
        }
    ]
    assert find_study(peer_of(pacs), "1.2.3", ["PatientName"]) == []


def test_has_instance(pacs: DemoPACS) -> None:
    """At image level, by all three UIDs."""
    content = dcmread(CT_FILE)
    list(send(peer_of(pacs), [CT_FILE]))
    uids = (content.StudyInstanceUID, content.SeriesInstanceUID, content.SOPInstanceUID)
    assert has_instance(peer_of(pacs), *uids)
    assert not has_instance(peer_of(pacs), uids[0], uids[1], "1.2.3")


def test_probe(pacs: DemoPACS) -> None:
    """More pairs than one association holds are asked in several."""
    syntaxes = [EXPLICIT, *(f"1.2.3.{number}" for number in range(80))]
    private = "1.2.3.4"
    assert probe(peer_of(pacs), [CT, private], syntaxes) == {CT: (EXPLICIT,), private: (EXPLICIT,)}


def test_fault_63_a_refused_sop_class_concerns_its_objects_only(pacs: DemoPACS, tmp_path: Path) -> None:
    """The hanging protocol is refused, the image beside it is stored; alone, it is refused without an error."""
    hanging = dcmread(CT_FILE)
    hanging.SOPClassUID = hanging.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.38.1")
    refused = tmp_path / "hanging.dcm"
    hanging.save_as(refused)
    readings = {path: each.reading for path, each in send(peer_of(pacs), [refused, CT_FILE])}
    assert readings == {refused: AnswerReading.KIND_REFUSED, CT_FILE: AnswerReading.STORED}
    [(_, alone)] = send(peer_of(pacs), [refused])
    assert alone.reading is AnswerReading.KIND_REFUSED
    assert "accepts no Hanging Protocol Storage (1.2.840.10008.5.1.4.38.1)" in alone.text


def test_files_that_are_no_dicom(tmp_path: Path) -> None:
    """Named, they are an error that says so; in a folder they are passed over."""
    (tmp_path / "notes.txt").write_text("not DICOM, but longer than a preamble " * 10)
    (tmp_path / "ct.dcm").write_bytes(CT_FILE.read_bytes())
    assert list(dicom_files([tmp_path])) == [tmp_path / "ct.dcm"]
    for path in (tmp_path / "notes.txt", tmp_path / "absent.dcm"):
        with pytest.raises(PermanentError, match=path.name):
            list(batches(dicom_files([path])))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1.99", EXPLICIT])
def test_finding_a10_an_object_of_odd_length_is_padded(tmp_path: Path, syntax: str) -> None:
    """dcmtk breaks off at a fragment of odd length (PS3.8 9.3.5.1, PS3.5 A.5); all else goes as it is in the file."""
    name = "image_dfl.dcm" if syntax != EXPLICIT else "CT_small.dcm"
    content = Path(str(get_testdata_file(name))).read_bytes()
    odd = tmp_path / "odd.dcm"
    odd.write_bytes(content if syntax != EXPLICIT else content[:-1])
    stored = read_object(odd)
    assert (odd.stat().st_size - stored.offset) % 2 == 1
    with StoreSCP(tmp_path / "archive") as archive:
        [(_, outcome)] = send(Peer("127.0.0.1", archive.port, "ARCHIVE", "PACSNODE"), [odd])
    assert outcome.reading is AnswerReading.STORED
    [(_, kept)] = archive.data_sets().values()
    assert kept == odd.read_bytes()[stored.offset :] + b"\0"


def test_more_kinds_than_contexts_are_cut_into_batches(tmp_path: Path) -> None:
    """130 SOP classes: 128 in the first association, 2 in the next."""
    content = dcmread(CT_FILE)
    files = []
    for number in range(130):
        content.SOPClassUID = content.file_meta.MediaStorageSOPClassUID = UID(f"1.2.3.{number}")
        files.append(tmp_path / f"{number}.dcm")
        content.save_as(files[-1])
    cut = list(batches(files))
    assert [len(batch) for batch in cut] == [128, 2]
    assert [path for batch in cut for path in batch] == files
    with pytest.raises(ValueError, match="130 kinds"):
        StorageSCU(Peer("127.0.0.1", 1, "A", "B"), map(kind_of, files))


@contextlib.contextmanager
def misbehaving(behaviour: Callable[[socket.socket], None]) -> Iterator[Peer]:
    """A peer that does this with the first connection."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                behaviour(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Peer("127.0.0.1", listening.getsockname()[1], "BAD", "PACSNODE", 1.0)
        thread.join(120)
        assert not thread.is_alive(), "our side has not closed the connection"


def _say_nothing(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass


def _talk_nonsense(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    _say_nothing(connection)


def _abort(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(pdu(7, bytes(4)))


@pytest.mark.parametrize("behaviour", [_say_nothing, _talk_nonsense, _abort, socket.socket.close])
def test_a_peer_that_gives_no_association_is_unreachable(behaviour: Callable[[socket.socket], None]) -> None:
    """Silent, no DICOM, aborting, closing: a transient failure within the time-out."""
    with misbehaving(behaviour) as peer, pytest.raises(UnreachableError):
        echo(peer)


def test_fault_68_an_answer_that_is_lost_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PACS stores and dies before it answers: the object may be there; the rest goes on another association."""
    real = DemoPACS._store
    calls = []

    def store_then_abort(self: DemoPACS, event: object) -> int:
        status = real(self, event)  # type: ignore[arg-type]
        calls.append(status)
        if len(calls) == 1:
            event.assoc.abort()  # type: ignore[attr-defined]
        return status

    monkeypatch.setattr(DemoPACS, "_store", store_then_abort)
    with DemoPACS(tmp_path) as dying:
        outcomes = list(send(peer_of(dying), [CT_FILE, J2K_FILE]))
        assert [each.reading for _, each in outcomes] == [AnswerReading.UNKNOWN, AnswerReading.STORED]
        assert len(dying.files()) == 2
