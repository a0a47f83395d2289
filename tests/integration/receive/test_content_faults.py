"""Objects that are damaged, hostile or merely odd, sent to the real receiver and indexed as the node does it.

What is answered with success is kept byte for byte and has a row; what the header reader makes of it is a mark.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterator

import pytest
from pydicom import Dataset

from node.index.children import HeaderReader
from node.ledger import instances
from node.ledger.instances import InstanceStatus
from node.store.arrival import read_arrival
from tests.support.dimse.raw_dimse import CT, RawPeer, data_set, pixels, store_rq
from tests.support.images.receipts import ct, encoded
from tests.support.sites.index_room import Room, room_of
from tests.support.sites.receiver import Receiver, data_set_of

DEFLATED = "1.2.840.10008.1.2.1.99"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with Receiver(tmp_path_factory.mktemp("receiver"), node={"durability": "os"}) as running:
        yield running


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def room(receiver: Receiver, reader: HeaderReader) -> Room:
    """The indexer of the receiver's data folder."""
    return room_of(receiver.data_folder, reader)


def store(receiver: Receiver, content: bytes, request: bytes, syntax: str = "1.2.840.10008.1.2.1") -> int:
    """C-STORE on an association of its own; the status."""
    with RawPeer(receiver.connect()) as peer:
        peer.associate(contexts={1: (CT, [syntax])})
        status = peer.store(content, request)
        peer.release()
        return status


def kept(receiver: Receiver, room: Room, sop_instance_uid: str) -> tuple[bytes, dict[str, str]]:
    """Index what waits; the data set that is stored under this UID, and its marks."""
    room.index.run_once()
    assert receiver.received() == []
    paths = [
        p for p in receiver.data_folder.store.rglob("*.dcm") if read_arrival(p)[0].sop_instance_uid == sop_instance_uid
    ]
    [path] = paths
    row = instances.by_receipt(room.ledger.database, path.stem)
    assert row is not None
    assert row.status in (InstanceStatus.CURRENT, InstanceStatus.UNREADABLE)
    return data_set_of(path), dict(row.marks)


def lives(receiver: Receiver, room: Room, sop_instance_uid: str) -> None:
    """The next object is received and indexed without a mark."""
    sound = ct(SOPInstanceUID=sop_instance_uid, StudyInstanceUID=f"{sop_instance_uid}.1")
    assert store(receiver, encoded(sound), store_rq(sop_instance=sop_instance_uid)) == 0
    assert kept(receiver, room, sop_instance_uid) == (encoded(sound), {})


def _bomb(before: bytes) -> bytes:
    """64 MiB of zeros in a private element behind `before`, deflated to some 64 KiB."""
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = before + struct.pack("<HH2sxxL", 0x0029, 0x1010, b"OB", 64 << 20)
    content = deflater.compress(head) + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(64))
    return content + deflater.flush()


def test_fault_42_a_deflate_bomb_before_the_uids_is_refused(receiver: Receiver, room: Room) -> None:
    """The receiver inflates 16 MiB in search of the UIDs, not more: C000, nothing kept, memory flat."""
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = struct.pack("<HH2sxxL", 0x0008, 0x0001, b"OB", 64 << 20)
    content = deflater.compress(head) + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(64))
    before = receiver.memory()
    assert store(receiver, content + deflater.flush(), store_rq(sop_instance="1.2.42.1"), DEFLATED) == 0xC000
    assert receiver.parts() == []
    assert receiver.received() == []
    assert receiver.memory() < before + (16 << 20)
    lives(receiver, room, "1.2.42.2")


def test_fault_42_a_deflate_bomb_behind_the_uids_is_stored_as_it_came(receiver: Receiver, room: Room) -> None:
    """The receiver does not inflate it; the header reader does within bounds, and the worker lives."""
    content = _bomb(encoded(ct(SOPInstanceUID="1.2.42.3", StudyInstanceUID="1.2.42", PixelData=None)))
    assert store(receiver, content, store_rq(sop_instance="1.2.42.3"), DEFLATED) == 0
    assert kept(receiver, room, "1.2.42.3")[0] == content
    lives(receiver, room, "1.2.42.4")


def _nested(levels: int) -> bytes:
    """Sequences of undefined length, each in the one item of the one around it."""
    opening = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    closing = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return opening * levels + closing * levels


@pytest.mark.parametrize(("levels", "status"), [(200, 0x0000), (300, 0xC000)])
def test_fault_43_nested_sequences_before_the_uids(receiver: Receiver, room: Room, levels: int, status: int) -> None:
    """200 levels are walked and marked, 300 are answered with C000; receiver and header reader live."""
    uid = f"1.2.43.{levels}"
    head = data_set(sop_instance=uid, study=None, series=None)
    content = head + _nested(levels) + data_set(None, None, study="1.2.43", series="1.2.43.9", tail=pixels(64))
    assert store(receiver, content, store_rq(sop_instance=uid)) == status
    if status == 0:
        stored, marks = kept(receiver, room, uid)
        assert stored == content
        assert marks
    lives(receiver, room, f"{uid}.7")


def test_fault_43_nested_sequences_behind_the_uids_are_stored_and_marked(receiver: Receiver, room: Room) -> None:
    """300 levels where the receiver does not look: stored as they came, marked, the header reader lives."""
    nested = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    nested += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    content = data_set(sop_instance="1.2.43.5", study="1.2.43.1") + nested * 300 + closing * 300
    assert store(receiver, content, store_rq(sop_instance="1.2.43.5")) == 0
    stored, marks = kept(receiver, room, "1.2.43.5")
    assert stored == content
    assert marks
    lives(receiver, room, "1.2.43.6")


def _damaged(kind: str, uid: str) -> bytes:
    """A CT whose pixel data is not what its attributes say."""
    dataset = ct(SOPInstanceUID=uid, StudyInstanceUID="1.2.39")
    match kind:
        case "truncated":
            return encoded(dataset)[:-4000]
        case "giant_length":
            content = encoded(dataset)
            length = content.index(b"\xe0\x7f\x10\x00OW") + 8
            return content[:length] + struct.pack("<L", 0xFFFFFFF0) + content[length + 4 :]
        case "overflow":
            dataset.Rows = dataset.Columns = 65535
        case "frames":
            dataset.NumberOfFrames = 5000
    return encoded(dataset)


@pytest.mark.parametrize(("number", "kind"), [(1, "truncated"), (2, "giant_length"), (3, "overflow"), (4, "frames")])
def test_faults_39_40_41_damaged_pixels_are_answered_with_success(
    receiver: Receiver, room: Room, number: int, kind: str
) -> None:
    """0000, kept byte for byte, marked: a failure status would make many modalities stop the whole study."""
    uid = f"1.2.39.{number}"
    content = _damaged(kind, uid)
    assert store(receiver, content, store_rq(sop_instance=uid)) == 0
    stored, marks = kept(receiver, room, uid)
    assert stored == content
    assert marks
    lives(receiver, room, f"{uid}.7")


def test_fault_46_what_identifies_is_stored_as_it_came(receiver: Receiver, room: Room) -> None:
    """Burned-in annotation and private elements: nothing is taken out or changed on the way in."""
    dataset: Dataset = ct(SOPInstanceUID="1.2.46.1", StudyInstanceUID="1.2.46", BurnedInAnnotation="YES")
    block = dataset.private_block(0x0029, "SITE", create=True)
    block.add_new(0x10, "LO", "Hong^Gildong 600101")
    assert store(receiver, encoded(dataset), store_rq(sop_instance="1.2.46.1")) == 0
    stored, _ = kept(receiver, room, "1.2.46.1")
    assert stored == encoded(dataset)


def test_fault_54_a_locked_ledger_does_not_touch_receiving(receiver: Receiver, room: Room) -> None:
    """While another process holds the ledger's lock, objects are stored and answered for; indexed afterwards."""
    locker = sqlite3.connect(receiver.data_folder.data / "ledger.db", timeout=20)
    locker.execute("BEGIN EXCLUSIVE")
    try:
        content = encoded(ct(SOPInstanceUID="1.2.54.1", StudyInstanceUID="1.2.54"))
        assert store(receiver, content, store_rq(sop_instance="1.2.54.1")) == 0
        assert len(receiver.received()) == 1
    finally:
        locker.close()
    assert kept(receiver, room, "1.2.54.1") == (content, {})
