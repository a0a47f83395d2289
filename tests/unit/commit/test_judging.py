"""Success means that the bytes which the requester holds are kept: it deletes them after that."""

from __future__ import annotations

import time

import pytest

from node.dimse.status import FailureReason
from node.ledger import instances
from node.store.layout import DataFolder
from tests.support.images.receipts import arrive, ct
from tests.support.sites.commit_room import CT, CommitRoom, images

MR = "1.2.840.10008.5.1.4.1.1.4"
OTHER_PIXELS = {"PixelData": bytes(8192)}
OTHER_PATIENT = {"PatientID": "P2", "PatientName": "Kim^Cheolsu"}
FAILED = FailureReason.PROCESSING_FAILURE


def said(room: CommitRoom, requester: str = "CT1") -> int | None:
    """What the node says of slice 1, asked by `requester`."""
    room.ask(images(1), requester=requester)
    room.run()
    return room.outcomes(room.rows[-1].id)["1"]


def test_what_is_stored_and_indexed_is_committed(room: CommitRoom) -> None:
    """Right class, right bytes; what never came is 0112H, another class 0119H."""
    arrive(room.data_folder, ct(1))
    room.ask([*images(1, 2), (MR, images(1)[0][1])])
    room.run()
    (row,) = room.rows
    assert [item.failure for item in room.commit_items(row.id)] == [0, 0x0112, 0x0119]
    assert row.status == "decided"


def test_whose_object_was_quarantined_keeps_it(room: CommitRoom) -> None:
    """Two senders, one UID, other pixels (case 33): only the first may delete."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, ct(1, **OTHER_PIXELS), calling="CT2")
    assert said(room) == 0
    assert said(room, "CT2") == FAILED


def test_who_sent_two_contents_is_answered_for_the_last(room: CommitRoom) -> None:
    """Sent, sent again with other pixels: failure; the first sent once more: it is that one which is kept."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, ct(1, **OTHER_PIXELS))
    assert said(room) == FAILED
    arrive(room.data_folder, ct(1))
    room.ask(images(1), "1.2.3.78")
    room.run()
    assert room.outcomes(room.rows[-1].id)["1"] == 0


def test_a_quarantined_object_sent_twice_is_still_quarantined(room: CommitRoom) -> None:
    """It is a duplicate, of something that does not count."""
    for changes in ({}, OTHER_PIXELS, OTHER_PIXELS):
        arrive(room.data_folder, ct(1, **changes))
    assert said(room) == FAILED


def test_a_correction_is_not_committed_before_it_counts(room: CommitRoom) -> None:
    """It lies beside what it corrects until a person decides: its sender keeps its copy."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, ct(1, **OTHER_PATIENT))
    assert said(room) == FAILED


def test_of_a_sender_behind_a_gateway_only_what_nobody_contradicted(room: CommitRoom) -> None:
    """CT1 asks for what came under another AE title: no word about which of two contents it holds."""
    arrive(room.data_folder, ct(1), calling="GATEWAY")
    assert said(room) == 0
    arrive(room.data_folder, ct(1, **OTHER_PIXELS), calling="GATEWAY")
    room.ask(images(1), "1.2.3.78")
    room.run()
    assert room.outcomes(room.rows[-1].id)["1"] == FAILED


def test_unreadable_is_not_committed(room: CommitRoom) -> None:
    """It is stored as it came, and nobody could find it by its study."""
    arrive(room.data_folder, b"\x08\x00\x05\x00CS\xff\xff" + bytes(20), sop_instance_uid=images(1)[0][1])
    assert said(room) == FAILED


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_file_that_is_not_what_arrived_fails_and_alerts(room: CommitRoom, damage: str) -> None:
    """The disk is asked, not the ledger."""
    receipt = arrive(room.data_folder, ct(1))
    room.run()
    path = room.data_folder.stored(receipt)
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-100] + (bytes(100) if damage == "changed" else b""))
    assert said(room) == FAILED
    assert len(room.events("instance.damaged")) == 1


def test_without_fsync_it_is_made_durable_first(room: CommitRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """`durability: os` answers images before they are on disk; a commitment never is."""
    synced: list[str] = []
    monkeypatch.setattr("node.commit.judging._make_durable", lambda path: synced.append(path.stem))
    receipt = arrive(room.data_folder, ct(1))
    assert said(room) == 0
    assert synced == []
    without = CommitRoom(room.index, node={"durability": "os"})
    without.ask(images(1), "1.2.3.78")
    without.run()
    assert synced == [receipt]


def test_class_is_that_of_the_object(room: CommitRoom) -> None:
    """An unknown instance is 0112H whatever its class."""
    room.ask([(MR, "1.2.3.4"), (CT, "1.2.3.5")])
    room.run()
    assert set(room.outcomes(room.rows[0].id).values()) == {0x0112}


def set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sets the wall clock a year back."""
    now = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now - 365 * 24 * 3600 * 10**9)


@pytest.mark.parametrize("restart", [False, True])
def test_finding_m1_a_quarantined_image_is_not_committed_after_the_clock_was_set_back(
    room: CommitRoom, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    """What its sender sent last is in quarantine, whatever the clock said when it came: it keeps its copy."""
    arrive(room.data_folder, ct(1))
    room.run()
    set_back(monkeypatch)
    arrive(DataFolder(room.data_folder.data) if restart else room.data_folder, ct(1, **OTHER_PIXELS))
    assert said(room) == FAILED


def test_finding_m1_also_where_both_wait_to_be_indexed(room: CommitRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that came is kept, and the second is quarantined, not the other way round."""
    first = arrive(room.data_folder, ct(1))
    set_back(monkeypatch)
    second = arrive(room.data_folder, ct(1, **OTHER_PIXELS))
    assert said(room) == FAILED
    known = instances.of_sop_instance(room.ledger.database, images(1)[0][1])
    assert [(one.receipt, one.status) for one in known] == [(first, "current"), (second, "conflict")]


@pytest.mark.parametrize("numbers", [{1: {}, 0: OTHER_PIXELS}, {0: {}, 2: OTHER_PIXELS, 1: {}}])
def test_finding_m1_where_names_and_rows_disagree_on_what_came_last_nothing_is_promised(
    room: CommitRoom, monkeypatch: pytest.MonkeyPatch, numbers: dict[int, dict[str, bytes]]
) -> None:
    """Two associations at the same time, or receipts of an earlier release whose clock was set back."""
    for number, changes in numbers.items():
        monkeypatch.setattr(room.data_folder, "new_receipt", lambda number=number: f"18ec{number:028x}")
        arrive(room.data_folder, ct(1, **changes))
        room.index.index.run_once()
    monkeypatch.undo()
    assert said(room) == FAILED
