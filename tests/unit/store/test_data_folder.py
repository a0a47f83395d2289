"""The data folder: what a receipt says about itself, where files lie, who is still sending."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from node import clock as clocks
from node.clock import SystemClock, from_text, to_text
from node.serve import receivers
from node.store import layout as module
from node.store.arrival import Arrival, NotOurFileError, file_header, read_arrival
from node.store.durable import sha256_of, write_durably
from node.store.layout import DataFolder, InFlight
from node.wake import Stage, Wakes
from tests.support.images.receipts import SERIES, STUDY, arrive, ct, encoded
from tests.support.shared_data import ROOT
from tests.support.wait import until

ARRIVAL = Arrival(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    sop_instance_uid="1.2.3.4",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    calling_ae_title="CT 1",
    called_ae_title="PACSNODE",
    peer_address="192.0.2.7",
    association="association-1",
    received_at=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
    origin="retrieved",
    tls_subject="CN=방사선과, O=Hospital",
    lossy_accepted=True,
)


@pytest.fixture
def data_folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


@pytest.mark.parametrize("padding", ["", "1"])
def test_arrival_is_read_back_from_the_files_own_meta_information(tmp_path: Path, padding: str) -> None:
    """Everything about how it came, and where the dataset begins, with even and odd lengths."""
    path = tmp_path / "file.dcm"
    arrival = Arrival(**{name: getattr(ARRIVAL, name) for name in Arrival.__slots__} | {"association": f"a{padding}"})
    content = encoded(ct())
    path.write_bytes(file_header(arrival) + content)
    found, offset = read_arrival(path)
    assert found == arrival
    assert path.read_bytes()[offset:] == content
    assert sha256_of(path, offset) == sha256_of(_file(tmp_path, content))


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "content"
    path.write_bytes(content)
    return path


def test_a_receipt_is_a_dicom_file_that_others_read() -> None:
    """PS3.10: prefix, group length, source and receiving AE titles at their tags."""
    dataset = dcmread(BytesIO(file_header(ARRIVAL) + encoded(ct())))
    assert dataset.file_meta.SourceApplicationEntityTitle == "CT 1"
    assert dataset.file_meta.ReceivingApplicationEntityTitle == "PACSNODE"
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert dataset.PatientID == "P1"


def test_fault_45_the_preamble_is_zeroed() -> None:
    """A sender's 128 bytes, which could be a program, never reach the disk."""
    assert file_header(ARRIVAL)[:132] == b"\0" * 128 + b"DICM"


@pytest.mark.parametrize("length", [0, 100, 140, 200, 400])
def test_a_cut_or_foreign_file_is_named_as_such(tmp_path: Path, length: int) -> None:
    """Half of the meta information, or somebody else's file: NotOurFileError with the file's name."""
    path = tmp_path / "file.dcm"
    path.write_bytes(file_header(ARRIVAL)[:length])
    with pytest.raises(NotOurFileError, match=r"file\.dcm"):
        read_arrival(path)
    with pytest.raises(FileNotFoundError):
        read_arrival(tmp_path / "none.dcm")


def test_folders_are_for_the_node_alone(data_folder: DataFolder) -> None:
    """0700: patients' images are in them."""
    folders = (
        data_folder.data,
        data_folder.incoming,
        data_folder.store,
        data_folder.work,
        data_folder.results,
        data_folder.associations,
    )
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_receipts_sort_by_arrival_and_never_repeat(data_folder: DataFolder) -> None:
    """Names are the node's own: 32 hexadecimal digits, later ones greater."""
    names = [data_folder.new_receipt() for _ in range(100)]
    assert sorted(names) == names
    assert len(set(names)) == 100
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)


def test_a_receipt_is_found_before_and_after_its_move(data_folder: DataFolder) -> None:
    """Incoming, then store; waiting lists whole files only; what is nowhere is named."""
    first, second = (arrive(data_folder, ct(number)) for number in (1, 2))
    data_folder.part("f" * 32).write_bytes(b"half")
    assert data_folder.waiting() == [first, second]
    assert data_folder.find(first) == data_folder.arrived(first)
    data_folder.move_all_to_store([first, second])
    assert data_folder.waiting() == []
    assert data_folder.find(first) == data_folder.stored(first)
    with pytest.raises(FileNotFoundError, match="f" * 32):
        data_folder.find("f" * 32)


def test_fault_56_the_store_folder_is_synced_after_the_rename(
    data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder once for all that was moved into it, and the one above where it is new; only when all are there."""
    receipts = [arrive(data_folder, ct(number)) for number in range(1, 6)]
    synced: list[Path] = []

    def note(folder: Path) -> None:
        assert data_folder.waiting() == []
        synced.append(folder)

    monkeypatch.setattr(module, "sync_folder", note)
    data_folder.move_all_to_store(receipts)
    assert sorted(synced) == sorted({data_folder.store, *(data_folder.stored(receipt).parent for receipt in receipts)})


def test_an_association_is_open_while_its_file_is_locked(data_folder: DataFolder) -> None:
    """Open within the block, gone after it, also when the block raises."""
    with data_folder.association("one"), data_folder.association("two"):
        assert data_folder.open_associations() == {"one", "two"}
    assert data_folder.open_associations() == frozenset()
    with pytest.raises(RuntimeError), data_folder.association("three"):
        raise RuntimeError
    assert list(data_folder.associations.iterdir()) == []


def test_fault_52_an_association_for_which_there_is_no_space_leaves_nothing(
    data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not opened, and the file that it began is gone."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"), data_folder.association("one"):
            raise AssertionError("it was opened")
    assert list(data_folder.associations.iterdir()) == []


def test_the_next_start_removes_what_a_receiver_left_before_its_association_was_open(data_folder: DataFolder) -> None:
    """Killed between the file and its name: nobody counts it as open, and it does not stay."""
    (data_folder.associations / ".begun").touch()
    assert data_folder.open_associations() == frozenset()
    receivers.sweep(data_folder)
    assert list(data_folder.associations.iterdir()) == []


def test_an_association_of_a_killed_receiver_is_closed(data_folder: DataFolder) -> None:
    """kill -9 releases the lock: what it left is seen as dead, and removed."""
    code = (
        "import sys, time; from pathlib import Path; from node.store.layout import DataFolder\n"
        "with DataFolder(Path(sys.argv[1])).association('dead'):\n    print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(data_folder.data)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert data_folder.open_associations() == {"dead"}
        process.send_signal(signal.SIGKILL)
        process.wait(120)
        until(lambda: data_folder.open_associations() == frozenset(), what="the lock to go")
        assert list(data_folder.associations.iterdir()) == []
    finally:
        process.kill()
        process.wait(120)


def test_in_flight_tells_the_study_as_soon_as_it_is_there(data_folder: DataFolder) -> None:
    """Nothing of its meta information: not listed; a few bytes: unknown; the study's UID: known; dead: gone."""
    content = encoded(ct())
    header = file_header(ARRIVAL)
    with data_folder.association("association-1"):
        data_folder.part("1" * 32).write_bytes(header[:100])
        data_folder.part("2" * 32).write_bytes(header + content[:30])
        data_folder.part("3" * 32).write_bytes(header + content[:700])
        assert data_folder.in_flight() == [InFlight("association-1", None), InFlight("association-1", STUDY, SERIES)]
        assert data_folder.sweep_parts() == 0, "what does not say whose it is may have been begun just now"
    assert data_folder.in_flight() == []
    assert data_folder.sweep_parts() == 3
    assert list(data_folder.incoming.iterdir()) == []


def test_write_durably_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name appears with the whole content; a failure before leaves the old one."""
    path = tmp_path / "file"
    write_durably(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _no_space)
        with pytest.raises(OSError, match="No space"):
            write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path], "what could not be written whole takes no room"


def test_write_durably_is_whole_whoever_else_writes(tmp_path: Path) -> None:
    """Several at a time, as receivers write what they know of hosts: one of them is last."""
    path = tmp_path / "file"
    contents = [bytes([65 + each]) * 100_000 for each in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write_durably, path, content) for content in contents * 5]:
            done.result()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_times_as_text_sort_in_order_and_read_back() -> None:
    """UTC with microseconds, whatever zone they came in."""
    early = datetime.fromisoformat("2026-03-01T12:00:00.000001+09:00")
    late = datetime.fromisoformat("2026-03-01T04:00:00+00:00")
    assert to_text(early) == "2026-03-01T03:00:00.000001Z"
    assert to_text(early) < to_text(late)
    assert from_text(to_text(early)) == early
    assert clocks.SystemClock().now().tzinfo is UTC
    assert SystemClock().monotonic() <= SystemClock().monotonic()


def test_waking_a_room_rings_all_its_bells_and_no_other() -> None:
    """Two threads that wait in one room are both woken; `wake_all` reaches everybody."""
    made = Wakes()
    bells = [made.subscribe(room) for room in (Stage.DELIVER, Stage.DELIVER, Stage.RUN)]
    made.wake(Stage.DELIVER)
    assert [bell.is_set() for bell in bells] == [True, True, False]
    made.wake_all()
    assert all(bell.is_set() for bell in bells)


def test_a_blank_file_goes_with_its_association(tmp_path: Path) -> None:
    """The empty file that an association keeps ready is swept once its receiver is dead, not before; never counted."""
    data_folder = DataFolder(tmp_path / "data")
    data_folder.blank("dead").touch()
    with data_folder.association("open"):
        data_folder.blank("open").touch()
        assert data_folder.sweep_parts() == 0
        assert [path.name for path in data_folder.incoming.iterdir()] == ["open.blank"]
        assert data_folder.waiting() == []
        assert data_folder.in_flight() == []
