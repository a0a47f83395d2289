"""Durability: what was answered with success is there after a power loss, on the weakest file system that is legal.

The receiver's system calls are recorded below it and replayed (tests/support/faults/power_loss.py), because the kernel
of a machine that stays up shows what was written whether it is on the disk or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node.store.arrival import read_arrival
from node.store.layout import DataFolder
from node.store.seal import cut_to_length
from tests.support.dimse.raw_dimse import CT, RawPeer, data_set, store_rq
from tests.support.faults.power_loss import Disk, Promise, Remains, recorded
from tests.support.sites.receiver import Receiver
from tests.support.wait import until

ASSOCIATIONS, OBJECTS = 3, 5


def sent(association: int, number: int) -> bytes:
    """A data set of a few P-DATA-TF PDUs; each has its own UID and its own bytes."""
    return data_set(sop_instance=uid(association, number), tail=_pixels(association, number))


def uid(association: int, number: int) -> str:
    return f"1.2.3.{association}.{number}"


def _pixels(association: int, number: int) -> bytes:
    return b"\xe0\x7f\x10\x00OW\x00\x00" + (60_000).to_bytes(4, "little") + bytes([association, number]) * 30_000


def burst(receiver: Receiver, first: int) -> None:
    """Objects on several associations at once, each numbered from `first` on."""

    def send(association: int) -> None:
        with RawPeer(receiver.connect()) as peer:
            peer.associate()
            for number in range(first, first + OBJECTS):
                request = store_rq(CT, uid(association, number))
                assert peer.store(sent(association, number), request) == 0
            peer.release()

    with ThreadPoolExecutor(ASSOCIATIONS) as senders:
        list(senders.map(send, range(ASSOCIATIONS)))
    until(receiver.idle, what="the associations to end")


def slots(receiver: Receiver) -> int:
    return len(list(receiver.data_folder.incoming.glob("*.slot")))


def promised(receiver: Receiver, trace: Path, *, slots_expected: bool = True) -> list[Promise]:
    """Two bursts: one that finds no slot, and one for which slots lie ready, where the receiver makes any.

    Every response, with what a power loss or the receiver's end would have left at that moment.
    """
    with recorded(receiver.process.pid, trace):
        burst(receiver, 0)
        if slots_expected:
            until(lambda: slots(receiver) == ASSOCIATIONS * OBJECTS, what="the slots to be made")
        burst(receiver, OBJECTS)
    found = Disk(receiver.data_folder.data).replay(trace)
    assert len(found) == 2 * ASSOCIATIONS * OBJECTS, "the record does not show every response"
    return found


def started_again(left: Mapping[str, Remains], folder: Path, *, torn: bool = False) -> DataFolder:
    """The data folder as the next start of the node makes it of what is left."""
    data_folder = DataFolder(folder)
    for path, remains in left.items():
        (data_folder.incoming / Path(path).name).write_bytes(remains.content(torn=torn))
    data_folder.sweep_parts()
    assert {path.suffix for path in data_folder.incoming.iterdir()} <= {".dcm"}
    return data_folder


def assert_holds(data_folder: DataFolder, promises: Sequence[Promise]) -> None:
    """All that was promised is there, and whatever is there is whole."""
    assert {promise.receipt for promise in promises} <= set(data_folder.waiting())
    for path in map(data_folder.arrived, data_folder.waiting()):
        cut_to_length(path)  # as the indexer does first
        arrival, offset = read_arrival(path)
        association, number = map(int, arrival.sop_instance_uid.split(".")[-2:])
        assert path.read_bytes()[offset:] == sent(association, number)


def test_what_was_promised_survives_a_power_loss_at_any_answer(tmp_path: Path) -> None:
    """After each response: all objects answered until then are there as sent, and no other is there in part.

    Also where of what was not yet synchronised a part is there, seal and all.
    """
    with Receiver(tmp_path / "node") as receiver:
        promises = promised(receiver, tmp_path / "trace")
    assert any(remains.ready for remains in promises[-1].left.values()), "no slot was used"
    for at, promise in enumerate(promises):
        for torn in (False, True):
            data_folder = started_again(promise.left, tmp_path / f"left-{at}-{torn}", torn=torn)
            assert_holds(data_folder, promises[: at + 1])


def test_what_was_promised_survives_the_receivers_end_at_any_answer(tmp_path: Path) -> None:
    """Killed right after a response, before a sealed object has its final name: the indexer finds it all the same."""
    with Receiver(tmp_path / "node") as receiver:
        promises = promised(receiver, tmp_path / "trace")
    for at, promise in enumerate(promises):
        data_folder = DataFolder(tmp_path / f"seen-{at}")
        for path, remains in promise.seen.items():
            if path.endswith((".part", ".dcm")):
                (data_folder.incoming / Path(path).name).write_bytes(remains.content())
        data_folder.adopt_sealed()
        assert_holds(data_folder, promises[: at + 1])


def test_durability_os_promises_what_a_power_loss_takes(tmp_path: Path) -> None:
    """What `durability: os` gives up, and that the tests above can fail: at no response is anything on the disk."""
    with Receiver(tmp_path / "node", node={"durability": "os"}) as receiver:
        promises = promised(receiver, tmp_path / "trace", slots_expected=False)
        assert len(receiver.received()) == len(promises)
        assert not any(promise.left for promise in promises)
