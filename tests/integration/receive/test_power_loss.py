"""Durability: what was answered with success is there after a power loss, on the weakest file system that is legal.

The receiver's system calls are recorded below it and replayed (tests/support/power_loss.py), because the kernel of a
machine that stays up shows what was written whether it is on the disk or not.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node.spool import Spool, read_arrival
from tests.support.power_loss import Disk, Promise, recorded
from tests.support.raw_dimse import CT, RawPeer, data_set, store_rq
from tests.support.receiver import Receiver
from tests.support.wait import until

ASSOCIATIONS, OBJECTS = 3, 5


def sent(association: int, number: int) -> bytes:
    """A data set of a few P-DATA-TF PDUs; each has its own UID and its own bytes."""
    return data_set(sop_instance=uid(association, number), tail=_pixels(association, number))


def uid(association: int, number: int) -> str:
    return f"1.2.3.{association}.{number}"


def _pixels(association: int, number: int) -> bytes:
    return b"\xe0\x7f\x10\x00OW\x00\x00" + (60_000).to_bytes(4, "little") + bytes([association, number]) * 30_000


def promised(receiver: Receiver, trace: Path) -> list[Promise]:
    """Send on several associations at once; every response, with what a power loss would have left at that moment."""

    def send(association: int) -> None:
        with RawPeer(receiver.connect()) as peer:
            peer.associate()
            for number in range(OBJECTS):
                request = store_rq(CT, uid(association, number))
                assert peer.store(sent(association, number), request) == 0
            peer.release()

    with recorded(receiver.process.pid, trace), ThreadPoolExecutor(ASSOCIATIONS) as senders:
        list(senders.map(send, range(ASSOCIATIONS)))
        until(receiver.idle, what="the associations to end")
    found = Disk(receiver.spool.data).replay(trace)
    assert len(found) == ASSOCIATIONS * OBJECTS, "the record does not show every response"
    return found


def after_power_loss(at: int, promises: list[Promise], folder: Path) -> Spool:
    """The whole receipts as they would be found, had the power gone when promise number `at` went out."""
    spool = Spool(folder)
    for path, length in promises[at].left.items():
        if path.endswith(".dcm"):  # all else was promised to nobody, and is swept at the start
            (spool.incoming / Path(path).name).write_bytes(Path(path).read_bytes()[:length])
    return spool


def test_what_was_promised_survives_a_power_loss_at_any_answer(tmp_path: Path) -> None:
    """After each response: all objects answered until then are there as sent, and no other is there in part."""
    with Receiver(tmp_path / "node") as receiver:
        promises = promised(receiver, tmp_path / "trace")
        for at in range(len(promises)):
            spool = after_power_loss(at, promises, tmp_path / f"left-{at}")
            assert {Path(promise.path).stem for promise in promises[: at + 1]} <= set(spool.waiting())
            for path in map(spool.arrived, spool.waiting()):
                arrival, offset = read_arrival(path)
                association, number = map(int, arrival.sop_instance_uid.split(".")[-2:])
                assert path.read_bytes()[offset:] == sent(association, number)


def test_durability_os_promises_what_a_power_loss_takes(tmp_path: Path) -> None:
    """What `durability: os` gives up, and that the test above can fail: at no response is anything on the disk."""
    with Receiver(tmp_path / "node", node={"durability": "os"}) as receiver:
        promises = promised(receiver, tmp_path / "trace")
        assert len(receiver.received()) == len(promises)
        assert all(not any(promise.left.values()) for promise in promises)
