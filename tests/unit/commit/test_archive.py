"""`commit_through`: success only after the archive's own commitment (case 70)."""

from __future__ import annotations

import pytest

from node.deliver.ways.dimse import dimse
from node.dimse.scu import UnreachableError
from node.ledger import archive_requests, deliveries
from node.ledger.commitment import CommitmentStatus
from node.ledger.delivery import DeliveryStatus
from tests.support import history
from tests.support.images.receipts import STUDY, arrive, ct
from tests.support.sites.commit_room import Archive, CommitRoom, images


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(monkeypatch)


def asked(room: CommitRoom, archive: Archive, *numbers: int) -> None:
    """CT2 sent these slices and asks for slices 1 and 2, and the archive was asked."""
    for number in numbers:
        arrive(room.data_folder, ct(number), calling="CT2")
    room.ask(images(1, 2), requester="CT2")
    room.run()
    archive.asking(room).run_once()


def test_the_archive_is_asked_for_what_is_stored_here(room: CommitRoom, archive: Archive) -> None:
    """Under a Transaction UID of ours; what never came here fails whatever the archive has."""
    asked(room, archive, 1)
    (request,) = archive.asked
    assert [each.sop_instance_uid for each in request.references] == [images(1)[0][1]]
    assert request.transaction_uid.startswith("2.25.")
    assert room.rows[0].status is CommitmentStatus.AT_ARCHIVE
    room.archive_reports(request.transaction_uid, committed=images(1))
    room.run()
    assert room.rows[0].status is CommitmentStatus.DECIDED
    assert room.outcomes(room.rows[0].id) == {"1": 0, "2": 0x0112}


def test_fault_70_commitment_partial(room: CommitRoom, archive: Archive) -> None:
    """What the archive lacks is sent there again and asked for again; success is reported when it has all."""
    asked(room, archive, 1, 2)
    now = room.clock.now()
    with room.ledger.transaction() as database:
        for sop_class, uid in images(1, 2):
            deliveries.enqueue(
                database,
                now,
                sop_instance_uid=uid,
                sop_class_uid=sop_class,
                study=STUDY,
                job=None,
                file="f",
                destination="pacs",
            )
        for delivery in deliveries.of_study(database, STUDY):
            deliveries.sending(database, now, delivery.id)
            deliveries.delivered(database, now, delivery.id, dimse(0))
    room.archive_reports(archive.asked[0].transaction_uid, committed=images(1), failed=images(2))
    room.run()
    assert room.rows[0].status is CommitmentStatus.AT_ARCHIVE
    sent = [each.status for each in deliveries.of_study(room.ledger.database, STUDY)]
    assert sent == [DeliveryStatus.DELIVERED, DeliveryStatus.WAITING]
    room.clock.pass_(minutes=1)
    archive.asking(room).run_once()
    assert [each.sop_instance_uid for each in archive.asked[1].references] == [images(2)[0][1]]
    assert archive.asked[1].transaction_uid != archive.asked[0].transaction_uid
    room.archive_reports(archive.asked[1].transaction_uid, committed=images(2))
    room.run()
    assert room.outcomes(room.rows[0].id) == {"1": 0, "2": 0}


def test_fault_70_commitment_never(room: CommitRoom, archive: Archive) -> None:
    """It takes the request and never reports: asked again, then an alert, and failure for every instance."""
    asked(room, archive, 1, 2)
    for _ in range(23):
        room.clock.pass_(minutes=15)
        archive.asking(room).run_once()
    assert len(archive.asked) == 24
    assert room.rows[0].status is CommitmentStatus.AT_ARCHIVE
    room.clock.pass_(minutes=15)
    archive.asking(room).run_once()
    assert len(archive.asked) == 24
    assert room.rows[0].status is CommitmentStatus.DECIDED
    assert room.outcomes(room.rows[0].id) == {"1": 0x0110, "2": 0x0110}
    (alert,) = room.events("commitment.archive-late")
    assert (alert.detail["through"], alert.detail["after"]) == ("pacs", "6h")
    assert [each.place for each in history.open_alerts(room.ledger.database)] == ["pacs"]
    room.archive_reports(archive.asked[-1].transaction_uid, committed=images(1, 2))
    room.run()
    assert room.outcomes(room.rows[0].id) == {"1": 0x0110, "2": 0x0110}, "what was said is not unsaid"


def test_finding_m8_a_clock_that_is_ten_days_ahead_does_not_end_the_wait_for_an_archive(
    room: CommitRoom, archive: Archive
) -> None:
    """For a moment, or after a night in which the node was off: what counts is for how long the archive was asked."""
    asked(room, archive, 1, 2)
    room.clock.jump(days=10)
    archive.asking(room).run_once()
    assert room.rows[0].status is CommitmentStatus.AT_ARCHIVE
    room.clock.jump(days=-10)
    for _ in range(20):
        room.clock.pass_(minutes=15)
        archive.asking(room).run_once()
        room.run()
    assert room.rows[0].status is CommitmentStatus.AT_ARCHIVE
    for _ in range(8):
        room.clock.pass_(minutes=15)
        archive.asking(room).run_once()
    assert room.rows[0].status is CommitmentStatus.DECIDED


def test_fault_70_commitment_while_the_archive_is_down(room: CommitRoom, archive: Archive) -> None:
    """Down, refusing, silent: asked again with back-off, and what it said last is the reason in the end."""
    archive.answers = [UnreachableError("nobody there"), 0x0110, None]
    asked(room, archive, 1, 2)
    for _ in range(3):
        asking = archive.asking(room)
        assert asking.run_once() > 1, "not before its time"
        room.clock.pass_(minutes=20)
    archive.asking(room).run_once()
    room.archive_reports(archive.asked[-1].transaction_uid, failed=images(1, 2))
    room.run()
    for _ in range(30):
        room.clock.pass_(minutes=15)
        archive.asking(room).run_once()
    assert room.outcomes(room.rows[0].id) == {"1": 0x0112, "2": 0x0112}


def test_finding_t1_a_request_without_answer_goes_after_the_others(room: CommitRoom, archive: Archive) -> None:
    """The archive is silent about one: the other is asked for in the next run, and before it from then on."""
    for number in (1, 2):
        arrive(room.data_folder, ct(number), calling="CT2")
        room.ask(images(number), transaction=f"1.2.3.{number}", requester="CT2")
    room.run()
    archive.answers = [None]
    asking = archive.asking(room)
    assert asking.run_once() < 1.0, "what is late is given up before more time is spent"
    asking.run_once()
    room.clock.pass_(hours=1)
    asking.run_once()
    order = [each.references[0].sop_instance_uid for each in archive.asked]
    first, second = images(1)[0][1], images(2)[0][1]
    assert order == [first, second, second, first]


def test_only_the_archive_itself_can_answer(room: CommitRoom, archive: Archive) -> None:
    """Another AE with the right Transaction UID, the archive with a wrong one: nothing is settled by either."""
    asked(room, archive, 1, 2)
    room.archive_reports(archive.asked[0].transaction_uid, committed=images(1, 2), calling="CT1")
    room.archive_reports("1.2.3.4.5.6", committed=images(1, 2))
    room.run()
    assert room.rows[0].status is CommitmentStatus.AT_ARCHIVE
    assert len(room.events("commitment.unknown-report")) == 2


def test_a_late_answer_to_an_earlier_request_counts(room: CommitRoom, archive: Archive) -> None:
    """Each try has a UID of its own; the archive may well answer the first after the second was asked."""
    asked(room, archive, 1, 2)
    room.clock.pass_(hours=1)
    archive.asking(room).run_once()
    room.archive_reports(archive.asked[0].transaction_uid, committed=images(1, 2))
    room.run()
    assert room.rows[0].status is CommitmentStatus.DECIDED


def test_an_archive_that_the_configuration_no_longer_has(room: CommitRoom, archive: Archive) -> None:
    """Nobody asks it any more: failure and an alert at once, never success without it."""
    asked(room, archive, 1, 2)
    ct2 = room.settings.modalities["ct2"]
    asking = ct2.storage_commitment.model_copy(update={"commit_through": None})
    changed = {**room.settings.modalities, "ct2": ct2.model_copy(update={"storage_commitment": asking})}
    room.settings = room.settings.model_copy(update={"modalities": changed})
    room.restart()
    room.run()
    assert room.outcomes(room.rows[0].id) == {"1": 0x0110, "2": 0x0110}
    assert [each.kind for each in history.open_alerts(room.ledger.database)] == ["commitment.archive-late"]


def test_fault_55_dead_while_the_archive_is_asked(
    room: CommitRoom, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after it was sent: asked again under another UID after the restart, and either answer counts."""
    begin = archive_requests.begin

    def die(*arguments: object, **_: object) -> object:
        begin(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(archive_requests, "begin", die)
        with pytest.raises(KeyboardInterrupt):
            asked(room, archive, 1, 2)
    room.restart()
    room.clock.pass_(minutes=30)
    archive.asking(room).run_once()
    room.archive_reports(archive.asked[0].transaction_uid, committed=images(1, 2))
    room.run()
    assert room.rows[0].status is CommitmentStatus.DECIDED
