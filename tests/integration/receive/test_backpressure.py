"""High-water marks: the node says in time that it can take no more, in words that modalities understand."""

from __future__ import annotations

from pathlib import Path

from tests.support.dimse.raw_dimse import ASSOCIATE_AC, ASSOCIATE_RJ, RawPeer, associate_rq, data_set, pixels
from tests.support.sites.receiver import Receiver, data_set_of, small_disk
from tests.support.wait import until

FOR_NOW = (ASSOCIATE_RJ, b"\x00\x02\x03\x02")
"""Rejected transient, by the service provider (presentation), local limit exceeded (PS3.8 Table 9-21)."""
MIB = 1 << 20


def answer(receiver: Receiver) -> tuple[int, bytes]:
    with RawPeer(receiver.connect()) as peer:
        peer.send(associate_rq())
        kind, body = peer.receive()
        return kind, body if kind == ASSOCIATE_RJ else b""


def test_fault_51_a_disk_below_its_mark_refuses_associations_then_objects(tmp_path: Path) -> None:
    """New associations are refused for now, a study under way goes on; at half the space A700, without residue."""
    with small_disk(tmp_path, "32m", {"limits": {"free_space": "16MiB"}}) as receiver:
        filler = receiver.data_folder.data / "filler"
        with RawPeer(receiver.connect()) as peer:
            peer.associate()
            assert peer.store(data_set()) == 0
            filler.write_bytes(bytes(20 * MIB))
            until(lambda: answer(receiver) == FOR_NOW, what="associations to be refused")
            assert peer.store(data_set(tail=pixels(50_000))) == 0
            filler.write_bytes(bytes(28 * MIB))
            until(lambda: peer.store(data_set()) == 0xA700, what="objects to be refused")
            kept = [data_set_of(path) for path in receiver.received()]
            assert peer.store(data_set(tail=pixels(200_000))) == 0xA700
            assert receiver.parts() == []
            assert [data_set_of(path) for path in receiver.received()] == kept
            filler.unlink()
            until(lambda: peer.store(data_set()) == 0, what="objects to be taken again")
            peer.release()
        assert answer(receiver)[0] == ASSOCIATE_AC
        refused = receiver.events("receive.association-refused")[-1]
        assert "MiB free, 16.0 MiB are to stay free" in refused["reason"]
        assert refused["security"] is False


def test_a_backlog_beyond_its_mark_refuses_associations_then_objects(tmp_path: Path) -> None:
    """What was answered with success is there, the rest is not; once the indexer has caught up, all is as before."""
    with Receiver(tmp_path, {"limits": {"free_space": 0, "waiting_objects": 3}, "durability": "os"}) as receiver:
        with RawPeer(receiver.connect()) as peer:
            peer.associate()
            stored = 0
            while len(receiver.received()) < 4:
                assert peer.store(data_set()) == 0
                stored += 1
            until(lambda: answer(receiver) == FOR_NOW, what="associations to be refused")
            while peer.store(data_set()) == 0:
                stored += 1
                assert stored < 100_000
            assert stored > 6
            assert len(receiver.received()) == stored
            for path in receiver.received():  # as the indexer takes them away
                path.unlink()
            until(lambda: peer.store(data_set()) == 0, what="objects to be taken again")
            peer.release()
        assert answer(receiver)[0] == ASSOCIATE_AC
        assert "objects wait to be indexed" in receiver.events("receive.object-refused")[-1]["reason"]
