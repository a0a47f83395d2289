"""From the journal to the report: what waits, what is repeated, what a crash between two steps costs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from node.dimse.scu import RejectedError, UnreachableError
from node.ledger import commitments, needed
from node.ledger.commitment import CommitmentStatus
from node.ledger.needed import NeedKind
from tests.support import history
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.sites.commit_room import CommitRoom, Told, images


def decided(room: CommitRoom, requester: str = "CT1", association: str = "gone") -> int:
    """A request for slice 1, decided."""
    arrive(room.data_folder, ct(1))
    room.ask(images(1), requester=requester, association=association)
    room.run()
    return room.rows[-1].id


def test_nothing_is_said_before_what_came_first_is_indexed(room: CommitRoom) -> None:
    """The modality asks faster than the index works; what comes later holds nobody up."""
    arrive(room.data_folder, ct(1))
    room.ask(images(1))
    room.commit.run_once()
    assert room.rows[0].status is CommitmentStatus.WAITING
    room.index.index.run_once()
    arrive(room.data_folder, ct(1, PixelData=bytes(8192)))
    room.commit.run_once()
    assert room.outcomes(room.rows[0].id) == {"1": 0}


def test_also_what_is_still_arriving_is_waited_for(room: CommitRoom) -> None:
    """A `.part` of the object that is asked for, on another association; not one of another object."""
    receipt, other = arrive(room.data_folder, ct(1)), arrive(room.data_folder, ct(2))
    for each in (receipt, other):
        room.data_folder.arrived(each).rename(room.data_folder.part(each))
    room.ask(images(1))
    room.run()
    assert room.rows[0].status is CommitmentStatus.WAITING
    room.data_folder.part(receipt).rename(room.data_folder.arrived(receipt))
    room.run()
    assert room.outcomes(room.rows[0].id) == {"1": 0}


def test_an_object_that_cannot_be_indexed_fails_after_ten_minutes(room: CommitRoom) -> None:
    """Not 0112H: it did come."""
    arrive(room.data_folder, ct(1))
    room.ask(images(1, 2))
    room.commit.run_once()
    room.clock.pass_(minutes=11)
    room.commit.run_once()
    assert room.outcomes(room.rows[0].id) == {"1": 0x0110, "2": 0x0112}


@pytest.mark.parametrize("hours", [-24, 24])
def test_finding_m8_how_long_is_waited_for_an_object_is_measured_and_not_read_off_the_clock(
    room: CommitRoom, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """The clock is set by a day: no image is given up that can be indexed now, and none is waited for all day."""
    arrive(room.data_folder, ct(1))
    monkeypatch.setattr(room.index.index, "run_once", lambda: None)
    room.ask(images(1))
    room.run()
    room.clock.jump(hours=hours)
    room.clock.pass_(minutes=9)
    room.run()
    assert room.rows[0].status is CommitmentStatus.WAITING
    room.clock.pass_(minutes=2)
    room.run()
    assert room.outcomes(room.rows[0].id) == {"1": 0x0110}


def test_a_foreign_file_holds_nobody_up(room: CommitRoom) -> None:
    """Somebody put it into incoming/; nobody was answered for it."""
    (room.data_folder.incoming / "holiday.dcm").write_bytes(b"no DICOM")
    decided(room)
    assert room.rows[0].status is CommitmentStatus.DECIDED


def test_a_request_that_is_repeated_is_one(room: CommitRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the N-ACTION was lost: asked again with the same Transaction UID, reported once."""
    told = Told(monkeypatch)
    room.ask(images(1))
    room.ask(images(1))
    room.run()
    told.reporting(room).run_once()
    assert [row.status for row in room.rows] == [CommitmentStatus.REPORTED]
    assert len(told.reports) == 1


def test_asked_again_after_the_report_it_is_decided_anew(room: CommitRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """It failed, was sent again, and is asked for under the same Transaction UID."""
    told = Told(monkeypatch)
    for _ in range(2):
        room.ask(images(1))
        room.run()
        told.reporting(room).run_once()
        arrive(room.data_folder, ct(1))
    assert [report.event_type for report in told.reports] == [2, 1]


def test_a_transaction_uid_used_for_other_images_fails_for_these(room: CommitRoom) -> None:
    """0131H, and the first request is not touched; another AE may have the same UID."""
    for number in (1, 2):
        arrive(room.data_folder, ct(number))
    room.ask(images(1))
    room.ask(images(2))
    room.ask(images(2), requester="CT3")
    room.run()
    assert [room.outcomes(row.id) for row in room.rows] == [{"1": 0}, {"2": 0x0131}, {"2": 0}]


def test_reported_to_the_association_while_it_lives(room: CommitRoom) -> None:
    """Offered to its receiver, which claims it and says what was answered."""
    with room.data_folder.association("open"):
        number = decided(room, association="open")
        assert room.rows[0].status is CommitmentStatus.OFFERED
        assert len(room.events("commitment.offered")) == 1
        claimed = room.journal.claim("open")
        assert claimed is not None
        assert room.journal.claim("open") is None
        room.commit.run_once()
        assert room.rows[0].status is CommitmentStatus.OFFERED
        room.journal.settle(claimed[0], 0x0000)
        room.commit.run_once()
    assert room.rows[0].status is CommitmentStatus.REPORTED
    assert list(room.journal.folder.iterdir()) == []
    assert claimed[1].committed[0].sop_instance_uid == images(1)[0][1]
    (event,) = room.events("commitment.reported")
    assert (event.study_instance_uid, event.detail["commitment"]) == (STUDY, number)


@pytest.mark.parametrize("how", ["not claimed", "claimed, then died", "not answered", "refused"])
def test_else_on_an_association_of_ours(room: CommitRoom, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Whatever became of the first: the same report, once more."""
    told = Told(monkeypatch)
    with room.data_folder.association("open"):
        decided(room, association="open")
        if how != "not claimed":
            claimed = room.journal.claim("open")
            assert claimed is not None
            if how != "claimed, then died":
                room.journal.settle(claimed[0], None if how == "not answered" else 0x0110)
    for _ in range(2):
        room.commit.run_once()
    told.reporting(room).run_once()
    assert room.rows[0].status is CommitmentStatus.REPORTED
    assert told.called_as == ["PACSNODE"]
    assert list(room.journal.folder.iterdir()) == []


def test_a_requester_that_is_down_is_told_when_it_is_up(room: CommitRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """With back-off, over restarts; an AE title that it rejects alerts, the same reason only once."""
    rejected = RejectedError("it does not know us")
    told = Told(monkeypatch, UnreachableError("nobody there"), rejected, rejected, None)
    decided(room)
    for _ in range(4):
        reporting = told.reporting(room)
        reporting.run_once()
        assert reporting.run_once() > 1, "not before its time"
        room.clock.pass_(minutes=20)
        room.restart()
    told.reporting(room).run_once()
    assert room.rows[0].status is CommitmentStatus.REPORTED
    assert len(room.events("commitment.waits")) == 3
    assert history.raised(room.ledger.database) == ["commitment.waits"]
    assert history.open_alerts(room.ledger.database) == []


def test_a_report_that_is_refused_or_too_old_is_a_dead_letter(
    room: CommitRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused five times, or nobody there for a week: kept, with an alert, until a person says `retry`."""
    told = Told(monkeypatch, *[0x0110] * 5)
    number = decided(room)
    for _ in range(5):
        told.reporting(room).run_once()
        room.clock.pass_(hours=1)
    assert room.rows[0].status is CommitmentStatus.DEAD
    (alert,) = room.events("commitment.dead")
    assert alert.kind in {each.kind for each in history.open_alerts(room.ledger.database)}
    with room.ledger.transaction() as database:
        commitments.again(database, room.clock.now(), number, "me", 0x0131)
    room.run()
    Told(monkeypatch, UnreachableError("down")).reporting(room).run_once()
    with room.ledger.transaction() as database:  # 700 tries would say nothing more
        database.execute("UPDATE commitments SET waited=?", [timedelta(days=7).total_seconds()])
    room.clock.pass_(minutes=1)
    Told(monkeypatch, UnreachableError("down")).reporting(room).run_once()
    assert room.rows[0].status is CommitmentStatus.DEAD


@pytest.mark.parametrize(("days", "reasons"), [(364, [NeedKind.PROMISED]), (366, [])])
def test_what_was_promised_is_kept_for_as_long_as_the_configuration_said(
    room: CommitRoom, monkeypatch: pytest.MonkeyPatch, days: int, reasons: list[NeedKind]
) -> None:
    """A year, counted from the decision, whatever becomes of the setting; then retention may remove it."""
    decided(room)
    Told(monkeypatch).reporting(room).run_once()
    assert room.rows[0].status is CommitmentStatus.REPORTED
    room.clock.pass_(days=days)
    found = needed.why_needed(room.ledger.database, STUDY, room.clock.now())
    assert [each.kind for each in found if each.kind is NeedKind.PROMISED] == reasons


def test_a_requester_that_the_configuration_no_longer_has(room: CommitRoom) -> None:
    """Nobody knows where to call: a dead letter at once, not silence."""
    decided(room, requester="CT3")
    room.commit.run_once()
    assert room.rows[0].status is CommitmentStatus.DEAD


class PowerError(BaseException):
    """It went out: nothing in the node may catch it."""


@pytest.mark.parametrize(
    "point",
    [
        "node.commit.stage.commitments.take",
        "node.store.journal.Journal.taken",
        "node.commit.stage.commitments.judged",
        "node.commit.stage.commitments.offered",
        "node.store.journal.Journal.offer",
        "node.commit.stage.commitments.reported",
        "node.store.journal.Journal.forget",
    ],
)
def test_fault_55_dead_between_any_two_steps(room: CommitRoom, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """One request, one truthful report: taken, judged, offered, answered, noted; a crash repeats a step, no more."""
    told = Told(monkeypatch)
    arrive(room.data_folder, ct(1))
    with room.data_folder.association("open"):
        room.ask(images(1, 2), association="open")
        with monkeypatch.context() as broken:
            broken.setattr(point, _die)
            with pytest.raises(PowerError):
                _live(room)
        room.restart()
        _live(room)
    _live(room)
    told.reporting(room).run_once()
    (row,) = room.rows
    assert row.status is CommitmentStatus.REPORTED
    assert room.outcomes(row.id) == {"1": 0, "2": 0x0112}
    assert list(room.journal.folder.iterdir()) == []


def _die(*_: object, **__: object) -> None:
    raise PowerError


def _live(room: CommitRoom) -> None:
    """Node and receiver, by turns."""
    for _ in range(3):
        room.run()
        claimed = room.journal.claim("open")
        if claimed is not None:
            room.journal.settle(claimed[0], 0x0000)


def test_a_message_that_nobody_can_read_is_kept_and_alerts(room: CommitRoom) -> None:
    """Damaged, or of a newer program: what stands behind it goes on."""
    (room.journal.folder / "0001.json").write_text('{"kind": "new"}')
    decided(room)
    assert room.rows[0].status is CommitmentStatus.DECIDED
    assert [path.name for path in room.journal.folder.iterdir()] == ["0001.unreadable"]
    assert [alert.place for alert in history.open_alerts(room.ledger.database)] == ["journal/0001.unreadable"]


def test_the_folder_is_the_data_folders(tmp_path: Path, room: CommitRoom) -> None:
    """`journal/`, for the admin who looks."""
    assert room.journal.folder == tmp_path / "journal"
