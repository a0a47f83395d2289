"""`commitment` of a destination: delivered is not committed before the destination says so (case 70)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.commit.asking import CommitmentRequester
from node.desk import actions
from node.desk.actor import Actor, ActorKind
from node.dimse.commitment import CommitmentRequest
from node.dimse.scu import ContextRefusedError, RejectedError, UnreachableError
from node.errors import NotFoundError
from node.index.children import HeaderReader
from node.ledger import commit_batches, commitment_refusers, deliveries, resends, tallies, withdrawals
from node.ledger.alerts import open_ones, over
from node.ledger.delivery import DeliveryStatus
from node.store.layout import DataFolder
from tests.support import history
from tests.support.images.receipts import STUDY, arrive, rejection_note
from tests.support.images.receipts import ct as ct_image
from tests.support.sites.commit_room import Archive, CommitRoom, images
from tests.support.sites.index_room import room_of
from tests.support.transactions import MOST, counted

Rooms = Callable[..., CommitRoom]
SOMEBODY = Actor(ActorKind.OS, "a test")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(monkeypatch)


@pytest.fixture
def rooms(tmp_path: Path, reader: HeaderReader) -> Rooms:
    """A node whose destination has these keys."""

    def make(**pacs: Any) -> CommitRoom:
        return CommitRoom(room_of(DataFolder(tmp_path), reader), {"commitment": "require", **pacs})

    return make


@pytest.fixture
def required(rooms: Rooms) -> CommitRoom:
    return rooms()


def ask(room: CommitRoom, archive: Archive, requester: CommitmentRequester | None = None, **passed: float) -> None:
    """Time passes, and the destination is asked for what is due; by a node that was just started, or by `requester`."""
    room.clock.pass_(**(passed or {"seconds": 6}))
    (requester or archive.asking(room)).run_once()


def asked_for(archive: Archive) -> list[list[str]]:
    """Of each request: the ends of the SOP Instance UIDs."""
    return [[each.sop_instance_uid.rpartition(".")[2] for each in request.references] for request in archive.asked]


def report(room: CommitRoom, archive: Archive, *, of: int = -1, **said: Any) -> None:
    """The destination reports on a request, the last by default."""
    room.archive_reports(archive.asked[of].transaction_uid, **said)
    room.run()


def alert_kinds(room: CommitRoom) -> list[str]:
    return [str(each.kind) for each in open_ones(room.ledger.database, 99)]


def alerts_over(room: CommitRoom) -> bool:
    """Whether the condition of every open alert is over."""
    return len(over(room.ledger.database)) == len(open_ones(room.ledger.database, 99))


def test_delivered_becomes_committed_when_the_destination_says_so(required: CommitRoom, archive: Archive) -> None:
    """Wanted, asked, committed: three states, each in the ledger; a request under an unpredictable UID of its own."""
    required.sent(1, 2)
    assert required.kept() == {"1": "wanted", "2": "wanted"}
    ask(required, archive)
    assert required.kept() == {"1": "asked", "2": "asked"}
    assert archive.asked[0].transaction_uid.startswith("2.25.")
    report(required, archive, committed=images(1, 2))
    assert required.kept() == {"1": "committed", "2": "committed"}
    assert all(each.committed_at for each in deliveries.of_study(required.ledger.database, STUDY))
    assert len(required.events("delivery.committed")) == 2
    ask(required, archive, days=2)
    assert len(archive.asked) == 1
    assert tallies.wrong(required.ledger.database) == []


def test_nothing_is_asked_where_it_is_off(rooms: Rooms, archive: Archive) -> None:
    """What is delivered is delivered, and nobody waits for more."""
    room = rooms(commitment="off")
    room.sent(1)
    ask(room, archive)
    assert (room.kept(), archive.asked) == ({"1": "none"}, [])


def test_it_is_asked_when_the_study_has_come_to_rest(required: CommitRoom, archive: Archive) -> None:
    """Not for each object: what follows within seconds is in the same request; what never rests is asked for, too."""
    required.sent(1)
    ask(required, archive, seconds=3)
    required.sent(2)
    ask(required, archive, seconds=3)
    assert archive.asked == []
    ask(required, archive, seconds=3)
    assert asked_for(archive) == [["1", "2"]]
    for number in range(3, 103):
        required.sent(number)
        ask(required, archive, seconds=4)
    assert len(archive.asked) == 2


def test_fault_70_partial_commitment_asks_for_the_missing_only(required: CommitRoom, archive: Archive) -> None:
    """Two of three are kept, one failed for now, with back-off: the next request names that one, under another UID."""
    required.sent(1, 2, 3)
    ask(required, archive)
    report(required, archive, committed=images(1, 3), failed=images(2), reason=0x0213)
    assert required.kept() == {"1": "committed", "2": "wanted", "3": "committed"}
    ask(required, archive, seconds=1)
    assert len(archive.asked) == 1, "not before its time"
    ask(required, archive, minutes=20)
    assert asked_for(archive) == [["1", "2", "3"], ["2"]]
    assert archive.asked[0].transaction_uid != archive.asked[1].transaction_uid


def test_fault_70_an_instance_that_no_report_names_is_asked_for_again(required: CommitRoom, archive: Archive) -> None:
    """An archive that forgets one of them has not committed itself to it."""
    required.sent(1, 2)
    ask(required, archive)
    report(required, archive, committed=images(1))
    assert required.kept() == {"1": "committed", "2": "wanted"}
    ask(required, archive, minutes=20)
    assert asked_for(archive)[-1] == ["2"]


def test_fault_70_what_the_destination_does_not_have_is_sent_again_a_few_times(
    required: CommitRoom, archive: Archive
) -> None:
    """0112: the same UID, three times, and asked for each time; then refused, an alert, and no more sending."""
    required.sent(1)
    for times in range(resends.MOST):
        ask(required, archive)
        report(required, archive, failed=images(1))
        (delivery,) = deliveries.of_study(required.ledger.database, STUDY)
        assert (delivery.status, delivery.commitment, delivery.resends) == (DeliveryStatus.WAITING, "none", times + 1)
        required.sent(1)
    ask(required, archive)
    report(required, archive, failed=images(1))
    (delivery,) = deliveries.of_study(required.ledger.database, STUDY)
    assert (delivery.status, delivery.commitment, delivery.commit_failure) == ("delivered", "refused", 0x0112)
    assert alert_kinds(required) == ["commitment.refused"]
    assert len(required.events("delivery.not-kept")) == resends.MOST
    asked = len(archive.asked)
    ask(required, archive, hours=5)
    assert len(archive.asked) == asked, "seldom from now on"
    ask(required, archive, hours=2)
    report(required, archive, committed=images(1))
    assert required.kept() == {"1": "committed"}
    assert alerts_over(required)


@pytest.mark.parametrize(("reason", "state"), [(0x0110, "wanted"), (0x0131, "wanted"), (0x0213, "wanted")])
def test_fault_70_what_may_pass_is_asked_for_again(
    required: CommitRoom, archive: Archive, reason: int, state: str
) -> None:
    """Processing failure, a Transaction UID that is in use, no space: again with back-off, without sending anything."""
    required.sent(1)
    ask(required, archive)
    report(required, archive, failed=images(1), reason=reason)
    assert required.kept() == {"1": state}
    assert not open_ones(required.ledger.database, 9)
    ask(required, archive, seconds=11)
    assert len(archive.asked) == 2


@pytest.mark.parametrize("reason", [0x0119, 0x0122])
def test_fault_70_what_waiting_does_not_change_is_an_alert_at_once(
    required: CommitRoom, archive: Archive, reason: int
) -> None:
    """Another object under the UID, an SOP class that is not kept: refused, with the reason, and asked for seldom."""
    required.sent(1)
    ask(required, archive)
    report(required, archive, failed=images(1), reason=reason)
    assert required.kept() == {"1": "refused"}
    (alert,) = open_ones(required.ledger.database, 9)
    assert (alert.kind, alert.study, alert.detail["reasons"]) == ("commitment.refused", STUDY, f"{reason:04X}")
    ask(required, archive, hours=1)
    assert len(archive.asked) == 1


def test_fault_70_commitment_never_comes(required: CommitRoom, archive: Archive) -> None:
    """Silence: asked again, ever less often; after `commit_within` overdue and one alert; still asked, still counts."""
    required.sent(1, 2)
    ask(required, archive)
    for _ in range(95):
        ask(required, archive, minutes=15)
    assert set(required.kept().values()) == {"asked"}
    assert 5 <= len(archive.asked) <= 12
    ask(required, archive, hours=6)
    ask(required, archive, hours=6)
    assert set(required.kept().values()) == {"overdue"}
    (alert,) = open_ones(required.ledger.database, 9)
    assert (alert.kind, alert.place, alert.detail["after"]) == ("commitment.overdue", "pacs", "1d")
    report(required, archive, committed=images(1, 2))
    assert set(required.kept().values()) == {"committed"}
    assert alerts_over(required)


def test_fault_70_a_report_that_comes_late_or_twice(required: CommitRoom, archive: Archive) -> None:
    """The answer to the first of two requests counts; a second report on one transaction does nothing new."""
    required.sent(1, 2)
    ask(required, archive)
    ask(required, archive, hours=1)
    report(required, archive, of=0, committed=images(1), failed=images(2), reason=0x0110)
    assert required.kept() == {"1": "committed", "2": "wanted"}
    report(required, archive, of=0, failed=images(1), committed=images(2))
    assert required.kept() == {"1": "committed", "2": "wanted"}
    report(required, archive, of=1, committed=images(1, 2))
    assert required.kept() == {"1": "committed", "2": "committed"}


def test_fault_70_a_strangers_report_changes_nothing(required: CommitRoom, archive: Archive) -> None:
    """Another AE under the right Transaction UID, the destination under a wrong one: recorded, with who it was."""
    required.sent(1)
    ask(required, archive)
    report(required, archive, committed=images(1), calling="CT1")
    required.archive_reports("1.2.3.4.5.6", committed=images(1))
    required.run()
    assert required.kept() == {"1": "asked"}
    assert [each.actor for each in required.events("commitment.unknown-report")] == ["ae:CT1", "ae:PACS"]


def test_a_report_on_what_was_sent_before_says_nothing_of_what_was_sent_since(
    required: CommitRoom, archive: Archive
) -> None:
    """An object that was sent again is not committed by the late answer to an earlier request."""
    required.sent(1)
    ask(required, archive)
    ask(required, archive, hours=1)
    report(required, archive, of=1, failed=images(1))
    required.sent(1)
    report(required, archive, of=0, committed=images(1))
    assert required.kept() == {"1": "wanted"}


def test_fault_70_what_was_committed_and_is_missing_is_sent_and_committed_again(
    required: CommitRoom, archive: Archive
) -> None:
    """A modality's request through the archive finds it gone: sent again, and not committed until it is once more."""
    required.forwarded(1)
    ask(required, archive)
    report(required, archive, committed=images(1))
    assert required.kept() == {"1": "committed"}
    arrive(required.data_folder, ct_image(1), calling="CT2")
    required.ask(images(1), requester="CT2")
    required.run()
    ask(required, archive)
    report(required, archive, failed=images(1))
    (delivery,) = deliveries.of_study(required.ledger.database, STUDY)
    assert (delivery.status, delivery.commitment, delivery.committed_at) == (DeliveryStatus.WAITING, "none", None)


def test_what_is_to_be_withdrawn_is_not_sent_again(required: CommitRoom, archive: Archive) -> None:
    """It is missing because a person took it out: nobody waits for its commitment any more."""
    required.forwarded(1, 2)
    ask(required, archive)
    with required.ledger.transaction() as database:
        (first, _) = deliveries.of_study(database, STUDY)
        withdrawals.enter(database, required.clock.now(), STUDY, [first], "the images were corrected")
    report(required, archive, failed=images(1), committed=images(2))
    assert required.kept() == {"1": "none", "2": "committed"}
    assert deliveries.get(required.ledger.database, first.id).status is DeliveryStatus.DELIVERED


def test_a_rejected_image_is_not_sent_again(required: CommitRoom, archive: Archive) -> None:
    """The archive has deleted what a rejection note rejects, as it should."""
    required.forwarded(1, 2)
    ask(required, archive)
    arrive(required.data_folder, rejection_note([ct_image(1)]))
    required.run()
    report(required, archive, failed=images(1, 2))
    found = {each.item.rpartition(".")[2]: each for each in deliveries.of_study(required.ledger.database, STUDY)}
    assert (found["1"].status, found["1"].commitment) == (DeliveryStatus.DELIVERED, "none")
    assert found["2"].status is DeliveryStatus.WAITING


def test_fault_55_nothing_is_forgotten_over_a_restart(
    required: CommitRoom, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node dies before, while and after the destination is asked: it is asked again, and either answer counts."""
    required.sent(1)
    required.restart()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(commit_batches, "asked", die)
        with pytest.raises(KeyboardInterrupt):
            ask(required, archive)
    required.restart()
    assert required.kept() == {"1": "wanted"}
    ask(required, archive, hours=1)
    assert required.kept() == {"1": "asked"}
    assert asked_for(archive) == [["1"], ["1"]]
    required.restart()
    report(required, archive, of=0, committed=images(1))
    assert required.kept() == {"1": "committed"}


def test_the_report_may_come_before_the_answer(
    required: CommitRoom, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same association, and taken while the requester still waits: what it says is not overwritten."""
    required.sent(1, 2)
    answer = archive._ask

    def report_first(peer: Any, request: Any, *more: Any) -> int | None:
        status = answer(peer, request, *more)
        report(required, archive, committed=images(1), failed=images(2), reason=0x0110)
        return status

    monkeypatch.setattr("node.commit.asking.ask", report_first)
    ask(required, archive)
    assert required.kept() == {"1": "committed", "2": "wanted"}


def test_fault_70_a_destination_that_is_down_or_rejects_us(required: CommitRoom, archive: Archive) -> None:
    """Asked again with back-off; who does not let us in is an alert, which closes when it does."""
    required.sent(1)
    archive.answers = [UnreachableError("nobody there"), RejectedError("does not know PACSNODE"), 0x0110, None]
    ask(required, archive)
    assert required.kept() == {"1": "wanted"}
    ask(required, archive, minutes=1)
    assert alert_kinds(required) == ["commitment.waits"]
    ask(required, archive, minutes=5)
    ask(required, archive, minutes=15)
    assert required.kept() == {"1": "wanted"}
    ask(required, archive, minutes=15)
    assert required.kept() == {"1": "asked"}
    assert alerts_over(required)


def test_finding_m8_a_clock_that_is_days_ahead_makes_nothing_overdue(required: CommitRoom, archive: Archive) -> None:
    """What counts is for how long the destination was asked."""
    required.sent(1)
    ask(required, archive)
    required.clock.jump(days=10)
    archive.asking(required).run_once()
    required.clock.jump(days=-10)
    archive.asking(required).run_once()
    assert required.kept() == {"1": "asked"}
    assert not open_ones(required.ledger.database, 9)


REFUSED = ContextRefusedError("PACS at 127.0.0.1:11198 accepts none of what was proposed")


def test_a_destination_without_storage_commitment_where_it_is_required(required: CommitRoom, archive: Archive) -> None:
    """An alert; what was delivered stays wanted, however long; an hour later one batch is tried, and then all are."""
    required.sent(1)
    asking = archive.asking(required)
    archive.answers = [REFUSED, REFUSED]
    ask(required, archive, asking)
    assert alert_kinds(required) == ["commitment.unsupported"]
    ask(required, archive, asking, minutes=30)
    assert len(archive.answers) == 1, "nothing is asked meanwhile"
    ask(required, archive, asking, hours=40)
    assert (required.kept(), archive.answers) == ({"1": "wanted"}, [])
    assert alert_kinds(required) == ["commitment.unsupported"]
    assert len(required.events("commitment.unsupported")) == 1
    ask(required, archive, asking, minutes=61)
    assert required.kept() == {"1": "asked"}
    assert alerts_over(required)
    assert len(required.events("commitment.supported")) == 1


def test_a_destination_without_storage_commitment_where_it_is_tried(rooms: Rooms, archive: Archive) -> None:
    """Said once, no alert; until it accepts it is as if it were off; an hour later what is delivered then is tried."""
    room = rooms(commitment="try")
    room.sent(1)
    asking = archive.asking(room)
    archive.answers = [REFUSED, REFUSED]
    ask(room, archive, asking)
    assert not open_ones(room.ledger.database, 9)
    (refuser,) = commitment_refusers.every(room.ledger.database)
    assert (refuser.destination, refuser.required) == ("pacs", False)
    room.sent(2, 3)
    ask(room, archive, asking, minutes=10)
    assert (room.kept(), len(archive.answers)) == ({"1": "none", "2": "none", "3": "none"}, 1)
    room.sent(4)
    ask(room, archive, asking, hours=1)
    assert archive.answers == []
    room.clock.pass_(hours=1)
    room.sent(5)
    ask(room, archive, asking)
    ask(room, archive, asking)
    assert room.kept() == {"1": "none", "2": "none", "3": "none", "4": "asked", "5": "asked"}
    assert commitment_refusers.every(room.ledger.database) == []
    assert len(room.events("commitment.unsupported")) == 1


def test_a_destination_that_refused_and_is_down_is_not_hammered(required: CommitRoom, archive: Archive) -> None:
    """When its hour has come and nobody answers: with back-off, and no run follows at once."""
    required.sent(1)
    asking = archive.asking(required)
    archive.answers = [REFUSED, *[UnreachableError("nobody there")] * 9]
    ask(required, archive, asking)
    required.clock.pass_(minutes=61)
    assert asking.run_once() >= 5
    left = len(archive.answers)
    ask(required, archive, asking, seconds=5)
    assert len(archive.answers) == left


def test_finding_m8_a_clock_that_was_ahead_does_not_keep_a_refuser_from_being_tried(
    required: CommitRoom, archive: Archive
) -> None:
    """It refused while the clock was ten days ahead: it is tried again within the hour, not in ten days."""
    required.sent(1)
    asking = archive.asking(required)
    archive.answers = [REFUSED]
    required.clock.jump(days=10)
    ask(required, archive, asking)
    required.clock.jump(days=-10)
    ask(required, archive, asking, minutes=61)
    assert required.kept() == {"1": "asked"}


def test_an_answer_of_0122_to_the_request_says_the_same(required: CommitRoom, archive: Archive) -> None:
    """Some accept the presentation context and refuse the N-ACTION."""
    required.sent(1)
    archive.answers = [0x0122]
    ask(required, archive)
    assert alert_kinds(required) == ["commitment.unsupported"]


def test_a_reload_tries_again_at_once_and_decides_whether_it_is_an_alert(rooms: Rooms, archive: Archive) -> None:
    """`require` instead of `try`: an alert, if it still refuses; `try` again: the alert closes."""
    room = rooms(commitment="try")
    room.sent(1)
    archive.answers = [REFUSED, REFUSED]
    requester = archive.asking(room)
    room.clock.pass_(seconds=6)
    requester.run_once()
    room.use(commitment="require")
    requester.use(room.settings)
    requester.run_once()
    assert alert_kinds(room) == ["commitment.unsupported"]
    assert archive.answers == []
    room.use(commitment="try")
    requester.use(room.settings)
    archive.answers = [REFUSED]
    requester.run_once()
    assert alerts_over(room)


def test_what_nobody_asks_for_any_more_is_only_delivered(required: CommitRoom, archive: Archive) -> None:
    """`off` in the configuration, or a destination that is gone: nothing waits for nobody."""
    required.sent(1, 2)
    ask(required, archive)
    required.sent(3)
    required.use(commitment="off")
    required.run()
    assert required.kept() == {"1": "none", "2": "none", "3": "none"}
    report(required, archive, committed=images(1))
    assert required.kept()["1"] == "none"
    assert commit_batches.destinations(required.ledger.database) == set()
    required.use(commitment="require")
    required.sent(4)
    archive.answers = [REFUSED]
    ask(required, archive)
    assert not alerts_over(required)
    required.use(commitment="off")
    required.run()
    assert alerts_over(required)
    assert tallies.wrong(required.ledger.database) == []


def test_thousands_of_images_are_asked_for_in_batches(required: CommitRoom, archive: Archive) -> None:
    """Of bounded size; each image is in one of them; a report settles its own batch alone, in short transactions."""
    _many(required, 1201)
    with counted(required.ledger) as rows:
        ask(required, archive)
    assert max(rows) <= MOST
    assert [len(each) for each in asked_for(archive)] == [200, 200, 200, 200, 200, 200, 1]
    assert len({uid for each in asked_for(archive) for uid in each}) == 1201
    first, second, third = (pairs(request) for request in archive.asked[:3])
    with counted(required.ledger) as rows:
        report(required, archive, of=1, committed=[*second, *first])
    counts = list(required.kept().values())
    assert (counts.count("committed"), counts.count("asked")) == (200, 1001)
    assert max(rows) <= MOST
    with counted(required.ledger) as rows:
        report(required, archive, of=0, failed=first, reason=0x0110)
        report(required, archive, of=2, failed=third, reason=0x0122)
    assert max(rows) <= MOST
    assert tallies.wrong(required.ledger.database) == []


def pairs(request: CommitmentRequest) -> list[tuple[str, str]]:
    return [(each.sop_class_uid, each.sop_instance_uid) for each in request.references]


def _many(room: CommitRoom, count: int) -> None:
    """One object that was delivered, and its row many times."""
    room.sent(1)
    with room.ledger.transaction() as database:
        (row,) = database.query("SELECT * FROM deliveries")
        names = ", ".join(name for name in row if name not in ("id", "item"))
        database.conn.executemany(
            f"INSERT INTO deliveries (item, {names}) SELECT ?, {names} FROM deliveries LIMIT 1",
            [(f"{images(1)[0][1]}.{number}",) for number in range(2, count + 1)],
        )


def test_a_person_has_it_asked_for_again_at_once(required: CommitRoom, archive: Archive) -> None:
    """By the number of the delivery, or by the study; with all tries and all time; who asked is recorded."""
    required.sent(1)
    for _ in range(resends.MOST + 1):
        ask(required, archive)
        report(required, archive, failed=images(1))
        if deliveries.of_study(required.ledger.database, STUDY)[0].status is DeliveryStatus.WAITING:
            required.sent(1)
    (delivery,) = deliveries.of_study(required.ledger.database, STUDY)
    assert required.kept() == {"1": "refused"}
    done = actions.retry(required.ledger, str(delivery.id), required.clock.now(), SOMEBODY)
    assert done.sentence == "pacs is asked again now for its commitment to 1 instances of the study"
    ask(required, archive, seconds=1)
    report(required, archive, failed=images(1))
    assert deliveries.get(required.ledger.database, delivery.id).status is DeliveryStatus.WAITING
    assert [each.actor for each in required.events("commitment.ask-again")] == ["os:a test"]


def test_a_study_is_retried_as_a_whole(required: CommitRoom, archive: Archive) -> None:
    """What is overdue at any destination is asked for now; without anything to do the refusal stays as it was."""
    required.forwarded(1)
    with pytest.raises(NotFoundError):
        actions.retry(required.ledger, STUDY, required.clock.now(), SOMEBODY)
    ask(required, archive)
    for _ in range(30):
        ask(required, archive, hours=1)
    assert required.kept() == {"1": "overdue"}
    asked = len(archive.asked)
    done = actions.retry(required.ledger, STUDY, required.clock.now(), SOMEBODY)
    assert done.value["asked_to_commit"] == ["pacs"]
    ask(required, archive, seconds=1)
    assert len(archive.asked) == asked + 1


def test_a_person_does_not_wait_for_it_any_more(required: CommitRoom, archive: Archive) -> None:
    """The destination is right, or never will be: what was delivered is only delivered, and the alert is over."""
    required.forwarded(1)
    with pytest.raises(NotFoundError):
        actions.cancel(required.ledger, STUDY, required.clock.now(), SOMEBODY)
    ask(required, archive)
    report(required, archive, failed=images(1), reason=0x0122)
    done = actions.cancel(required.ledger, STUDY, required.clock.now(), SOMEBODY)
    assert done.value["not_committed"] == ["pacs"]
    assert required.kept() == {"1": "none"}
    assert alerts_over(required)
    assert [each.actor for each in required.events("commitment.not-wanted")] == ["os:a test"]


def test_history_names_what_was_asked_and_answered(required: CommitRoom, archive: Archive) -> None:
    """The Transaction UID is recorded, and how many instances were committed and failed; by whom it was answered."""
    required.sent(1, 2)
    ask(required, archive)
    report(required, archive, committed=images(1), failed=images(2), reason=0x0110)
    (asked,) = required.events("commitment.archive-asked")
    assert asked.detail["transaction_uid"] == archive.asked[0].transaction_uid
    (answered,) = required.events("commitment.archive-answered")
    assert (answered.actor, answered.detail["committed"], answered.detail["failed"]) == ("ae:PACS", 1, 1)
    assert history.of_kind(required.ledger.database, "alert.closed") == []
