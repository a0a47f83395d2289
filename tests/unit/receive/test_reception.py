"""One object on its way to the disk: promised only when it is there, gone without a trace when it is not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from node.dimse.status import StoreStatus
from node.receive import reception
from node.receive.reception import Reception, Tally
from node.store import part
from node.store.arrival import Arrival, read_arrival
from node.store.layout import DataFolder
from tests.support.dimse.raw_dimse import CT, EXPLICIT, INSTANCE, data_set, pixels
from tests.support.sites.receiver import data_set_of

CONTENT = data_set(tail=pixels(100000))


@pytest.fixture
def data_folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def arrival(sop_instance: str = INSTANCE) -> Arrival:
    return Arrival(
        sop_class_uid=CT,
        sop_instance_uid=sop_instance,
        transfer_syntax_uid=EXPLICIT,
        calling_ae_title="CT1",
        called_ae_title="PACSNODE",
        peer_address="127.0.0.1",
        association="a1",
        received_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        tls_subject="commonName=CT1",
        lossy_accepted=True,
    )


def begin(
    data_folder: DataFolder, durable: bool = True, sop_instance: str = INSTANCE, tally: Tally | None = None
) -> Reception:
    return Reception(data_folder, arrival(sop_instance), tally or Tally(), durable, lambda: None)


def files(data_folder: DataFolder) -> list[str]:
    return sorted(entry.name[32:] for entry in data_folder.incoming.iterdir())


def test_an_object_is_a_part_until_it_is_finished(data_folder: DataFolder) -> None:
    """Then it has its final name, its data set byte for byte, and its arrival in its own header."""
    tally = Tally()
    object_ = begin(data_folder, tally=tally)
    for start in range(0, len(CONTENT), 4000):
        object_.write(memoryview(CONTENT)[start : start + 4000])
    assert files(data_folder) == [".part"]
    assert object_.finish() == StoreStatus.SUCCESS
    assert files(data_folder) == [".dcm"]
    path = data_folder.arrived(data_folder.waiting()[0])
    assert data_set_of(path) == CONTENT
    assert read_arrival(path)[0] == arrival()
    assert (tally.stored, tally.refused, tally.octets) == (1, 0, len(CONTENT))


def test_fault_56_file_and_folder_are_synchronised_before_the_answer(
    data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync of the file under its first name, rename, fsync of the folder: in this order, and all before `finish`."""
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        steps.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).suffix or 'folder'}")
        real_fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        steps.append(f"rename {path.suffix} {target.suffix}")
        return real_rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    object_ = begin(data_folder)
    object_.write(memoryview(CONTENT))
    assert object_.finish() == StoreStatus.SUCCESS
    assert steps == ["fsync .part", "rename .part .dcm", "fsync folder"]
    steps.clear()
    object_ = begin(data_folder, durable=False)
    object_.write(memoryview(CONTENT))
    assert object_.finish() == StoreStatus.SUCCESS
    assert steps == ["rename .part .dcm"]


def _failing(number: int, when: Callable[[], bool]) -> Callable[..., int]:
    real = os.write

    def write(descriptor: int, content: bytes) -> int:
        if when():
            raise OSError(number, os.strerror(number))
        return real(descriptor, content)

    return write


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_fault_52_53_a_write_that_fails_mid_object_leaves_nothing(
    data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A700, the part is gone at once, and what still arrives is dropped."""
    object_ = begin(data_folder)
    object_.write(memoryview(CONTENT)[:50000])
    monkeypatch.setattr(part.os, "write", _failing(number, lambda: True))  # type: ignore[attr-defined]
    object_.write(memoryview(CONTENT)[50000:60000])
    assert files(data_folder) == []
    monkeypatch.undo()
    object_.write(memoryview(CONTENT)[60000:])
    assert object_.finish() == StoreStatus.OUT_OF_RESOURCES
    assert object_.comment == f"cannot be written: {os.strerror(number)}"
    assert files(data_folder) == []


@pytest.mark.parametrize("step", ["open", "fsync", "rename", "folder"])
def test_fault_53_any_step_that_fails_is_a700(
    data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Opening, synchronising or naming the file on a read-only or broken disk."""

    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    if step == "open":
        monkeypatch.setattr(part.os, "open", fail)  # type: ignore[attr-defined]
    elif step == "fsync":
        monkeypatch.setattr(part.os, "fsync", fail)  # type: ignore[attr-defined]
    elif step == "rename":
        monkeypatch.setattr(Path, "rename", fail)
    else:
        monkeypatch.setattr(reception, "sync_folder", fail)
    object_ = begin(data_folder)
    object_.write(memoryview(CONTENT))
    assert object_.finish() == StoreStatus.OUT_OF_RESOURCES
    assert files(data_folder) == []


def test_a_defect_of_our_own_costs_one_object(data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """C001 to the sender without our insides, the traceback in the log, nothing left behind."""
    monkeypatch.setattr(reception, "check_uids", lambda *_: 1 // 0)
    with structlog.testing.capture_logs() as logs:
        object_ = begin(data_folder)
        object_.write(memoryview(CONTENT))
        assert object_.finish() == StoreStatus.PROCESSING_FAILURE
    assert object_.comment == "defect of the node, see its log"
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
    assert files(data_folder) == []


def test_fault_18_an_abandoned_object_leaves_nothing(data_folder: DataFolder) -> None:
    """The association died in the middle."""
    object_ = begin(data_folder)
    object_.write(memoryview(CONTENT)[:5000])
    object_.abandon()
    assert files(data_folder) == []


def test_a_refused_object_is_not_written_any_further(data_folder: DataFolder) -> None:
    """Once the UIDs are known to be wrong the file goes; the answer comes when the sender has finished."""
    object_ = begin(data_folder, sop_instance="../../etc/passwd")
    assert files(data_folder) == []
    object_.write(memoryview(CONTENT))
    assert object_.finish() == StoreStatus.CANNOT_UNDERSTAND


def test_no_descriptor_is_kept(data_folder: DataFolder) -> None:
    """Finished, failed or abandoned: what was opened is closed."""
    before = len(os.listdir("/proc/self/fd"))
    for end in ("finish", "abandon"):
        object_ = begin(data_folder)
        object_.write(memoryview(CONTENT))
        getattr(object_, end)()
    begin(data_folder, sop_instance="x").finish()
    assert len(os.listdir("/proc/self/fd")) == before
