"""The receiver as a process: killed, drained, orphaned, out of disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from node.dicom.part10 import kind_of
from node.dimse.scu import Peer
from node.dimse.storage_scu import StorageSCU
from node.outcome import AnswerReading
from node.store.arrival import read_arrival
from node.store.health import cannot_write
from node.store.layout import DataFolder
from tests.support.dimse.raw_dimse import (
    ASSOCIATE_RJ,
    COMMAND_LAST,
    DATA,
    DATA_LAST,
    RawPeer,
    associate_rq,
    data_set,
    p_data,
    pixels,
    store_rq,
)
from tests.support.sites.receiver import Receiver, data_set_of, small_disk
from tests.support.wait import until


def test_fault_55_kill_9_mid_object_leaves_only_legal_states(tmp_path: Path) -> None:
    """What was answered is whole; what was not is a part of a dead association, which the next start sweeps."""
    answered: list[str] = []
    with Receiver(tmp_path) as receiver:

        def send(number: int) -> None:
            try:
                with RawPeer(receiver.connect()) as peer:
                    peer.associate()
                    for item in range(500):
                        uid = f"1.2.{number}.{item}"
                        content = data_set(sop_instance=uid, tail=pixels(200_000))
                        assert peer.store(content, store_rq(sop_instance=uid)) == 0
                        answered.append(uid)
            except (AssertionError, OSError):
                return

        senders = [threading.Thread(target=send, args=(number,)) for number in range(3)]
        for sender in senders:
            sender.start()
        until(lambda: len(answered) > 30 and receiver.parts(), what="objects answered, and one half received")
        receiver.process.kill()
        receiver.process.wait(120)
        for sender in senders:
            sender.join(30)
    data_folder = DataFolder(tmp_path / "data")
    names = {path.suffix for path in data_folder.incoming.iterdir()}
    assert names <= {".part", ".dcm", ".blank", ".slot"}
    data_folder.adopt_sealed()  # as the indexer does: what was answered and not yet named
    kept = {}
    for path in data_folder.incoming.glob("*.dcm"):
        arrival, _ = read_arrival(path)
        assert data_set_of(path) == data_set(sop_instance=arrival.sop_instance_uid, tail=pixels(200_000))
        kept[arrival.sop_instance_uid] = path
    assert set(answered) <= set(kept)
    assert data_folder.in_flight() == []
    data_folder.sweep_parts()
    assert {path.suffix for path in data_folder.incoming.iterdir()} == {".dcm"}
    assert data_folder.open_associations() == frozenset()


def test_fault_58_sigterm_lets_open_associations_finish(tmp_path: Path) -> None:
    """No new connection is taken, the study under way is received to its end, then the process ends with 0."""
    with Receiver(tmp_path) as receiver, RawPeer(receiver.connect()) as peer:
        peer.associate()
        peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set()))
        until(receiver.parts, what="the object to be begun")
        receiver.terminate()
        until(lambda: receiver.events("receive.draining"), what="the drain to begin")
        with pytest.raises(ConnectionRefusedError):
            receiver.connect()
        peer.send(p_data(1, DATA_LAST, pixels(100)))
        assert peer.status() == 0
        assert peer.store(data_set()) == 0
        peer.release()
        assert receiver.process.wait(120) == 0
        assert len(receiver.received()) == 2


def test_fault_58_what_does_not_finish_is_aborted(tmp_path: Path) -> None:
    """After the drain's time: A-ABORT, nothing of the half object, exit 0."""
    with Receiver(tmp_path, limits={"drain": 0.5}) as receiver, RawPeer(receiver.connect()) as peer:
        peer.associate()
        peer.send(p_data(1, COMMAND_LAST, store_rq()) + p_data(1, DATA, data_set()))
        until(receiver.parts, what="the object to be begun")
        receiver.terminate()
        assert peer.receive()[0] == 7
        assert receiver.process.wait(120) == 0
        assert receiver.parts() == []
        assert receiver.received() == []


def test_the_supervisors_end_ends_the_receiver(tmp_path: Path) -> None:
    """End of file on its pipe: it goes at once and the port is free."""
    with Receiver(tmp_path) as receiver, RawPeer(receiver.connect()) as peer:
        peer.associate()
        receiver.let_go()
        assert receiver.process.wait(120) == 1
        assert peer.closed()
        with pytest.raises(ConnectionRefusedError):
            receiver.connect()


def test_fault_52_a_disk_that_fills_mid_object_is_a700_without_residue(tmp_path: Path) -> None:
    """The sender is told, the space is given back at once, and a smaller object still fits."""
    with small_disk(tmp_path, "2m") as receiver, RawPeer(receiver.connect()) as peer:
        peer.associate()
        for _ in range(3):
            assert peer.store(data_set(tail=pixels(4 << 20))) == 0xA700
            assert receiver.parts() == []
            assert receiver.received() == []
        content = data_set(tail=pixels(100_000))
        assert peer.store(content) == 0
        assert data_set_of(receiver.received()[0]) == content
        peer.release()


def test_fault_51_a_disk_that_is_full_before_is_a700(tmp_path: Path) -> None:
    """Objects are refused one by one, the receiver lives, and serves as soon as there is space."""
    with small_disk(tmp_path, "1m") as receiver:
        filler = receiver.data_folder.data / "filler"
        with RawPeer(receiver.connect()) as peer:
            peer.associate()
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):  # until there is no space left
                    pass
            assert peer.store(data_set(tail=pixels(50_000))) == 0xA700
            filler.unlink()
            assert peer.store(data_set(tail=pixels(50_000))) == 0
        assert receiver.parts() == []


def test_fault_53_a_read_only_file_system_refuses_associations_for_now(tmp_path: Path) -> None:
    """Rejected as congested with the reason in the log, red in `status`; served when it can write again."""
    with small_disk(tmp_path, "4m") as receiver:
        enter = ["nsenter", "-t", str(receiver.process.pid), "-U", "-m", "--preserve-credentials"]
        remount = [*enter, "mount", f"{tmp_path}/data", "-o"]
        if subprocess.run([*remount, "remount,ro"], capture_output=True).returncode != 0:
            pytest.skip("the file system cannot be made read-only here (nsenter)")
        with RawPeer(receiver.connect()) as peer:
            peer.send(associate_rq())
            assert peer.receive() == (ASSOCIATE_RJ, b"\x00\x02\x03\x01")
        assert "Read-only file system" in until(lambda: receiver.events("receive.association-refused"))[-1]["reason"]
        assert cannot_write(receiver.data_folder.data) == "Read-only file system"
        subprocess.run([*remount, "remount,rw"], check=True)
        assert cannot_write(receiver.data_folder.data) is None
        with RawPeer(receiver.connect()) as peer:
            peer.associate()
            assert peer.store(data_set()) == 0


def test_fault_60_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """Standard error is a full device: receiving goes on."""
    full = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"]
    receiver = Receiver(tmp_path, wrapper=full)
    receiver.events = lambda name: [{}]  # type: ignore[method-assign] # it cannot say that it has started
    with receiver:
        connection = until(lambda: _connect(receiver), what="the receiver to listen")
        with connection as peer:
            peer.associate()
            for _ in range(3):
                assert peer.store(data_set()) == 0
    assert len(receiver.received()) == 3


def _connect(receiver: Receiver) -> RawPeer | None:
    try:
        return RawPeer(receiver.connect())
    except OSError:
        return None


def test_fault_62_a_peer_that_stops_reading_meets_the_senders_deadline(tmp_path: Path) -> None:
    """It accepts, then reads nothing: the outcome is unknown, within the time-out, and nothing hangs."""
    content = tmp_path / "large.dcm"
    with Receiver(tmp_path / "node") as receiver:
        with RawPeer(receiver.connect()) as peer:
            peer.associate()
            assert peer.store(data_set(tail=pixels(20 << 20)), fragment=100_000) == 0
        shutil.copy(receiver.received()[0], content)
        with StorageSCU(Peer("127.0.0.1", receiver.port, "PACSNODE", "US", 5.0), [kind_of(content)]) as scu:
            os.kill(receiver.process.pid, signal.SIGSTOP)
            try:
                outcome = scu.store(content)
                assert outcome.reading is AnswerReading.UNKNOWN
                assert not scu.is_open
                assert scu.store(content).reading is AnswerReading.RETRY
            finally:
                os.kill(receiver.process.pid, signal.SIGCONT)
        until(receiver.idle, what="the association to end")
        assert receiver.parts() == []
