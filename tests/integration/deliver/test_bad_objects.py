"""A peer that chokes on single objects: nothing else waits for them, and they end as dead letters soon."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from node.ledger import deliveries, forwards, turns
from node.ledger.delivery import DeliveryStatus
from tests.support import history
from tests.support.dimse import choosy_pacs
from tests.support.dimse.choosy_pacs import ChokingPACS
from tests.support.sites.outbox_room import OutboxRoom

ONE, OTHER, THIRD = "1.2.3.1", "1.2.3.2", "1.2.3.3"
DELIVERED, WAITING, DEAD = DeliveryStatus.DELIVERED, DeliveryStatus.WAITING, DeliveryStatus.DEAD
CHOKES = {"silent": None, "abort": choosy_pacs.abort, "reset": choosy_pacs.reset}


@pytest.fixture(params=CHOKES)
def pacs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChokingPACS]:
    with ChokingPACS(tmp_path / "pacs", CHOKES[request.param]) as peer:
        yield peer


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[ChokingPACS]:
    with ChokingPACS(tmp_path / "pacs") as peer:
        yield peer


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[ChokingPACS]:
    with ChokingPACS(tmp_path / "pacs", choosy_pacs.abort) as peer:
        yield peer


def test_finding_t1_one_bad_image_holds_up_neither_study_nor_result_nor_others(
    pacs: ChokingPACS, tmp_path: Path
) -> None:
    """The rest is stored in order, at once; the bad one goes last and alone, and is a dead letter after two tries."""
    room = OutboxRoom(tmp_path / "node", pacs.port)
    uids = room.forward(ONE, 8)
    others = room.forward(OTHER, 3)
    result = room.result(ONE, "9.1")
    pacs.bad = {uids[2]}
    room.run()
    sound = [uid for uid in uids if uid != uids[2]]
    assert [uid for uid in pacs.stored if uid in uids] == sound
    assert set(pacs.stored) == {*sound, *others, result}
    assert (room.status(uids[2]), room.of(uids[2]).unanswered) == (WAITING, 1)
    room.clock.pass_(seconds=15)
    room.run()
    assert room.status(uids[2]) is DEAD
    assert pacs.alone(uids[2])
    assert "no answer" in (room.of(uids[2]).error or "")
    assert "2 tries" in (room.of(uids[2]).error or "")
    (dead,) = room.events(ONE, "delivery.dead")
    assert dead.kind in {alert.kind for alert in history.open_alerts(room.ledger.database)}
    room.clock.pass_(days=1)
    room.run()
    assert [uid for _, uid in pacs.tried].count(uids[2]) == 2


def test_finding_t1_retry_gives_a_dead_image_another_try(hasty: ChokingPACS, tmp_path: Path) -> None:
    """A person says so after the archive was mended: it is sent, and counts anew."""
    room = OutboxRoom(tmp_path / "node", hasty.port)
    bad, *_ = room.forward(ONE, 3)
    hasty.bad = {bad}
    room.run()
    room.clock.pass_(seconds=15)
    room.run()
    assert room.status(bad) is DEAD
    hasty.bad = set()
    with room.ledger.transaction() as database:
        assert forwards.again(database, room.clock.now(), ONE, "admin") == 1
    room.run()
    assert (room.status(bad), room.of(bad).unanswered) == (DELIVERED, 0)


def test_finding_t1_one_bad_result_holds_up_none_of_its_set(hasty: ChokingPACS, tmp_path: Path) -> None:
    """The rest of the set and the other study's result arrive; the bad one is a dead letter after its second try."""
    room = OutboxRoom(tmp_path / "node", hasty.port, "none")
    results = [room.result(ONE, f"9.{number}") for number in range(1, 5)]
    other = room.result(OTHER, "8.1")
    hasty.bad = {results[0]}
    room.run()
    assert hasty.stored == [*results[1:], other]
    room.clock.pass_(seconds=15)
    room.run()
    assert room.status(results[0]) is DEAD
    (dead,) = room.events(ONE, "delivery.dead")
    assert dead.kind in {alert.kind for alert in history.open_alerts(room.ledger.database)}
    with room.ledger.transaction() as database:
        deliveries.again(database, room.clock.now(), room.of(results[0]).id, "admin")
    hasty.bad = set()
    room.run()
    assert room.status(results[0]) is DELIVERED


def test_finding_t1_a_destination_that_answers_nobody_counts_against_none(hasty: ChokingPACS, tmp_path: Path) -> None:
    """However often it is tried: after three objects all wait; up again it gets everything."""
    room = OutboxRoom(tmp_path / "node", hasty.port)
    uids = room.forward(ONE, 4) + room.forward(OTHER, 4)
    hasty.bad = set(uids)
    for _ in range(6):
        before = len(hasty.tried)
        room.run()
        assert len(hasty.tried) - before <= 3 + 2
        room.clock.pass_(hours=1)
    assert {room.status(uid) for uid in uids} == {WAITING}
    assert max(room.of(uid).unanswered for uid in uids) == 1
    hasty.bad = set()
    room.clock.pass_(hours=1)
    room.run()
    assert {room.status(uid) for uid in uids} == {DELIVERED}


def test_finding_t1_a_destination_that_is_down_counts_against_none(hasty: ChokingPACS, tmp_path: Path) -> None:
    """One try without answer, then nobody is there for hours: the object waits, and is sent when it is up."""
    room = OutboxRoom(tmp_path / "node", hasty.port)
    bad, *rest = room.forward(ONE, 3)
    hasty.bad = {bad}
    room.run()
    port, room.destination = room.destination.port, room.destination.model_copy(update={"port": 1})
    room.restart()
    for _ in range(5):
        room.clock.pass_(hours=1)
        room.run()
    assert (room.status(bad), room.of(bad).unanswered) == (WAITING, 1)
    hasty.bad = set()
    room.destination = room.destination.model_copy(update={"port": port})
    room.restart()
    room.clock.pass_(hours=1)
    room.run()
    assert {room.status(uid) for uid in (bad, *rest)} == {DELIVERED}


def test_finding_t1_a_node_that_dies_goes_on_from_its_rows(hasty: ChokingPACS, tmp_path: Path) -> None:
    """What got no answer stays behind the others, and its first try counts."""
    room = OutboxRoom(tmp_path / "node", hasty.port)
    bad, *_ = room.forward(ONE, 3)
    hasty.bad = {bad}
    room.run()
    room.restart()
    more = room.forward(ONE, 2)
    room.clock.pass_(seconds=15)
    room.run()
    assert [uid for _, uid in hasty.tried][-3:] == [*more, bad]
    assert room.status(bad) is DEAD


def test_finding_t1_a_node_that_dies_of_each_try_does_not_begin_with_it_for_ever(
    hasty: ChokingPACS, tmp_path: Path
) -> None:
    """Killed twice while the same image was being sent: the third time the others go first."""
    room = OutboxRoom(tmp_path / "node", hasty.port)
    bad, *rest = room.forward(ONE, 3)
    for _ in range(2):
        with room.ledger.transaction() as database:
            deliveries.interrupted(database, room.clock.now(), "pacs")
            deliveries.sending(database, room.clock.now(), room.of(bad).id)
    room.restart()
    room.run()
    assert hasty.stored == [*rest, bad]


def test_finding_t1_a_study_of_bad_images_lets_the_others_go_first(hasty: ChokingPACS, tmp_path: Path) -> None:
    """After two in a row the other studies are sent, and the result does not wait for the rest."""
    room = OutboxRoom(tmp_path / "node", hasty.port, "none")
    hasty.bad = set(room.forward(ONE, 6))
    result = room.result(ONE, "9.1")
    others = room.forward(OTHER, 3)
    room.run()
    assert {*hasty.stored} == {result, *others}
    assert [uid in hasty.bad for _, uid in hasty.tried] == [True, True, False, False, False, False]
    late = room.forward(THIRD, 2)
    room.clock.pass_(seconds=15)
    room.run()
    assert hasty.stored[-2:] == late
    assert [uid for _, uid in hasty.tried][6:8] == late
    for _ in range(20):
        room.clock.pass_(minutes=20)
        room.run()
        room.forward(THIRD, 1)
    assert {room.status(uid) for uid in hasty.bad} == {DEAD}


@pytest.mark.parametrize("status", [0xA700, 0xC000, 0x0124])
def test_finding_t1_an_image_that_is_refused_for_now_for_ever_holds_up_nothing(
    status: int, hasty: ChokingPACS, tmp_path: Path
) -> None:
    """The others of its study, its result and other studies go; it waits by itself."""
    room = OutboxRoom(tmp_path / "node", hasty.port)
    bad, *rest = room.forward(ONE, 5)
    others = room.forward(OTHER, 2)
    result = room.result(ONE, "9.1")
    hasty.refuses, hasty.status = {bad}, status
    room.run()
    room.clock.pass_(seconds=15)
    room.run()
    assert [uid for uid in hasty.stored if uid in rest] == rest
    assert {*hasty.stored} == {*rest, *others, result}
    assert room.status(bad) is WAITING
    late = room.forward(ONE, 2)
    room.clock.pass_(hours=2)
    room.run()
    assert hasty.stored[-2:] == late


def test_finding_t1_a_study_that_is_never_answered_about_holds_up_no_other(silent: ChokingPACS, tmp_path: Path) -> None:
    """The C-FIND of one study hangs: the others' results go first, each time."""
    room = OutboxRoom(tmp_path / "node", silent.port)
    for study in (ONE, OTHER, THIRD):
        room.forward(study, 1)
    room.run()
    silent.silent_about = {ONE}
    held = room.result(ONE, "9.1")
    free = room.result(OTHER, "9.2")
    room.run()
    assert (room.status(held), room.status(free)) == (WAITING, DELIVERED)
    later = room.result(THIRD, "9.3")
    room.clock.pass_(minutes=5)
    turn = partial(turns.studies_due, room.ledger.database, "pacs", room.clock.now(), 9)
    assert (turn(absent=False).studies, turn(absent=True).studies) == ([THIRD], [ONE])
    room.run()
    assert room.status(later) is DELIVERED
    for _ in range(5):  # its age is what its pauses come to
        room.clock.pass_(minutes=30)
        room.run()
    assert (room.of(held).not_before - room.clock.now()).total_seconds() == 30 * 60
    silent.silent_about = set()
    room.clock.pass_(hours=1)
    room.run()
    assert room.status(held) is DELIVERED


def test_finding_t1_what_was_set_aside_is_tried_although_others_never_end(hasty: ChokingPACS, tmp_path: Path) -> None:
    """Last does not mean never: after five minutes it gets its turn between two studies."""
    room = OutboxRoom(tmp_path / "node", hasty.port)
    bad, *_ = room.forward(ONE, 3)
    hasty.bad = {bad}
    room.run()
    hasty.bad = set()
    room.clock.pass_(minutes=6)
    for study in (OTHER, THIRD):
        room.forward(study, 1)
    room.run()
    assert hasty.stored.index(bad) < hasty.stored.index(f"{THIRD}.1.1")
