"""The node dies between any two steps of the indexer, and what it finds when it starts again (case 55)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node.errors import TransientError
from node.index import stage
from node.index.children import HeaderFailure, HeaderFailureKind, HeaderReader
from node.index.header import SenderTerms
from node.ledger import defects, instances, studies
from node.store.layout import DataFolder
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.shared_data import ROOT
from tests.support.sites.index_room import Room
from tests.support.wait import until


class DeadError(BaseException):
    """Stands for kill -9: nothing in the node may catch it."""


def _die(*_: object) -> None:
    raise DeadError


def test_fault_55_killed_after_the_row_and_before_the_move(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is there, the file still in incoming/: it is moved, and counted once."""
    receipt = arrive(room.data_folder, ct())
    with monkeypatch.context() as patched:
        patched.setattr(DataFolder, "move_all_to_store", _die)
        with pytest.raises(DeadError):
            room.index.run_once()
    assert room.data_folder.waiting() == [receipt]
    room.restart()
    room.quiet()
    assert room.statuses() == ["current"]
    assert room.data_folder.stored(receipt).exists()
    assert len(room.events("study.complete")) == 1


def test_fault_55_killed_before_the_row(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """No row, no event: the file is indexed as if it had just come."""
    arrive(room.data_folder, ct())
    with monkeypatch.context() as patched:
        patched.setattr(stage, "record", _die)
        with pytest.raises(DeadError):
            room.index.run_once()
    assert room.statuses() == []
    room.restart()
    room.quiet()
    assert room.statuses() == ["current"]


def test_fault_55_killed_between_two_moves(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a batch is moved, half is not: the rest is moved at the next start."""
    receipts = [arrive(room.data_folder, ct(number)) for number in (1, 2)]
    rename = Path.rename
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", lambda self, to: _die() if receipts[1] in str(self) else rename(self, to))
        with pytest.raises(DeadError):
            room.index.run_once()
    assert room.data_folder.waiting() == receipts[1:]
    room.restart()
    room.index.run_once()
    assert room.statuses() == ["current", "current"]
    assert room.data_folder.waiting() == []


def test_fault_54_locked_ledger_is_tried_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked ledger is a TransientError; nothing is lost, the next call indexes."""
    arrive(room.data_folder, ct())
    with monkeypatch.context() as patched:
        patched.setattr(stage, "record", _locked)
        with pytest.raises(TransientError):
            room.index.run_once()
    room.index.run_once()
    assert room.statuses() == ["current"]


def _locked(*_: object) -> None:
    raise TransientError("locked")


def test_a_receipt_that_cannot_be_recorded_stops_no_other(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect nobody foresaw: that receipt stays in incoming/, with an alert; its neighbours are indexed."""
    arrive(room.data_folder, ct(1))
    poison = arrive(room.data_folder, ct(2))
    arrive(room.data_folder, ct(3))
    record = stage.record  # type: ignore[attr-defined]

    def fails(database, at, judged, configuration):
        if any(one.reading.receipt == poison for one in judged):
            raise OverflowError("unforeseen")
        return record(database, at, judged, configuration)

    monkeypatch.setattr(stage, "record", fails)
    room.index.run_once()
    assert room.statuses() == ["current", "current"]
    assert instances.by_receipt(room.ledger.database, poison) is None
    assert room.data_folder.waiting() == [poison]
    assert [event.study_instance_uid for event in room.events("receipt.not-indexed")] == [STUDY]


def test_finding_d3_a_study_waits_for_a_receipt_that_is_tried_again_and_is_held_without_it(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not complete while the object may still come in; then held; the file stays, and counts when the cause is gone."""
    arrive(room.data_folder, ct(1))
    poison = arrive(room.data_folder, ct(2))
    record = stage.record  # type: ignore[attr-defined]

    def fails(database, at, judged, configuration):
        if any(one.reading.receipt == poison for one in judged):
            raise OverflowError("Hong^Gildong")
        return record(database, at, judged, configuration)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "record", fails)
        room.quiet(120)
        room.restart()
        room.quiet(301)
        assert room.events("study.complete") == []
        for _ in range(4):
            room.quiet(3601)
    study = studies.get(room.ledger.database, STUDY)
    assert study is not None
    assert study.hold is not None
    assert "could not be indexed" in study.hold
    assert "Hong" not in study.hold
    assert room.data_folder.waiting() == [poison]
    (defect,) = defects.of_stage(room.ledger.database, "index")
    assert (defect.parked, defect.study_instance_uid) == (True, STUDY)
    with room.ledger.transaction() as database:
        defects.again(database, room.clock.now(), defect.id, "a test")
    room.quiet()
    assert room.statuses() == ["current", "current"]
    assert defects.of_stage(room.ledger.database, "index") == []


def test_a_foreign_file_in_incoming_is_left_alone_and_reported_once(room: Room) -> None:
    """Somebody copied a file into incoming/ by hand: it is no receipt; studies complete all the same."""
    (room.data_folder.incoming / f"{'0' * 32}.dcm").write_bytes(b"hello")
    arrive(room.data_folder, ct())
    room.quiet()
    room.index.run_once()
    assert (room.data_folder.incoming / f"{'0' * 32}.dcm").exists()
    assert len(room.events("receipt.not-readable")) == 1
    assert len(room.events("study.complete")) == 1
    assert room.statuses(STUDY) == ["current"]


def _kill_self(_: Path) -> None:
    os.kill(os.getpid(), 9)


def test_fault_44_a_file_that_kills_its_reader_costs_that_file_only(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child dies on one of three files: that one is UNREADABLE, the others are indexed, the reader lives on."""
    arrive(room.data_folder, ct(1))
    poison = arrive(room.data_folder, ct(2))
    arrive(room.data_folder, ct(3))
    monkeypatch.setattr("node.index.children.header.read", DiesOn(room.data_folder.arrived(poison)))
    room.index.run_once()
    row = instances.by_receipt(room.ledger.database, poison)
    assert row is not None
    assert (row.status, row.study_instance_uid) == ("unreadable", None)
    assert len(row.digest) == 64
    assert room.statuses() == ["current", "current"]
    assert room.data_folder.waiting() == []


class DiesOn:
    """Reads files, and kills its process on one of them; picklable, because it is sent to the child."""

    def __init__(self, poison: Path) -> None:
        self.poison = poison

    def __call__(self, path: Path, terms: SenderTerms) -> object:
        from node.index.header import read

        if path == self.poison:
            _kill_self(path)
        return read(path, terms)


def test_reader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that does not answer in time is killed, and the file given up after its second life."""
    monkeypatch.setattr("node.index.children.SECONDS_A_TASK", 0.3)
    monkeypatch.setattr("node.index.children.header.read", hang)
    hanging = HeaderReader(children=1)
    try:
        (answer,) = hanging.read([tmp_path / "file"])
    finally:
        hanging.close()
    assert answer.kind is HeaderFailureKind.FATAL
    assert "too long" in answer.reason


def test_closing_while_a_file_is_read_blames_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node stops: whoever waits for a reading gets TransientError, and its file is read at the next start."""
    monkeypatch.setattr("node.index.children.header.read", hang)
    busy = HeaderReader(children=1)
    outcome: list[object] = []

    def wait_for_it() -> None:
        try:
            outcome.append(busy.read([tmp_path / "file"]))
        except TransientError as error:
            outcome.append(error)

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    until(lambda: len(busy._pool._busy) == 1, what="the child to be busy")
    busy.close()
    thread.join(120)
    assert [type(one) for one in outcome] == [TransientError]


def test_a_program_that_forgets_to_close_its_readers_ends_all_the_same() -> None:
    """No child keeps a dying node from ending: the interpreter leaves within the deadline."""
    code = "from node.index.children import HeaderReader\nif __name__ == '__main__':\n    HeaderReader(children=1)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def hang(*_: object) -> None:
    """Never answers."""
    threading.Event().wait()


def test_file_that_vanished_is_tried_again_and_not_condemned(room: Room) -> None:
    """A read error says nothing about the file: no row, another try at the next call."""
    answers = room.reader.read([room.data_folder.arrived("0" * 32)])
    assert answers[0].kind is HeaderFailureKind.INPUT_OUTPUT


def test_a_reader_that_died_while_idle_is_replaced(room: Room, tmp_path: Path) -> None:
    """The system ended a child that had nothing to do: the next file is read all the same."""
    idle = HeaderReader(children=1)
    try:
        idle.read([tmp_path / "file"])
        (child,) = idle._pool._idle
        os.kill(child.process.pid or 0, 9)
        child.process.join()
        (answer,) = idle.read([room.data_folder.arrived(arrive(room.data_folder, ct()))])
    finally:
        idle.close()
    assert not isinstance(answer, HeaderFailure)
