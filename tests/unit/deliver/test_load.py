"""Delivery under load: associations that are shared out, urgent objects first, a breaker, and hours."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from node.config.destinations import DicomDestination
from node.config.hours import DestinationHours
from node.deliver.policy import Answer
from node.desk import pausing
from node.desk.actor import Actor, ActorKind
from node.ledger import alerts, deliveries, identities, outages, pauses
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.job import URGENT
from node.ledger.outages import OutageScope
from node.ledger.pauses import Pausable, Pause
from tests.support import history, transactions
from tests.support.dimse.counted_archive import ALREADY, FULL, SILENT, STORED, CountedArchive
from tests.support.sites.outbox_room import OutboxRoom

WAITING, DELIVERED, DEAD = DeliveryStatus.WAITING, DeliveryStatus.DELIVERED, DeliveryStatus.DEAD
STUDIES = [f"1.2.{number}" for number in range(3, 9)]
SECONDS = 30.0


class LoadRoom(OutboxRoom):
    """An outbox and the archive that it delivers to, both in this process."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, 104)
        self.archive = CountedArchive()
        self.archive_of = lambda *_: self.archive
        self.use()

    def use(self, **settings: Any) -> None:
        """Begin again with these keys of the destination."""
        plain = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}
        self.destination = DicomDestination.model_validate(plain | settings)
        self.restart()

    def urgent(self, study: str, uid: str) -> str:
        """An urgent result in the outbox."""
        self.result(study, uid)
        with self.ledger.transaction() as database:
            database.execute("UPDATE deliveries SET priority=? WHERE item=?", [URGENT, uid])
        return uid

    def rows(self) -> list[Delivery]:
        """All deliveries."""
        return [deliveries.of_row(row) for row in self.ledger.database.query("SELECT * FROM deliveries ORDER BY id")]

    def pass_time(self, until: timedelta) -> int:
        """As the outbox's thread does for so long; how often the destination was tried."""
        before, ends = self.archive.tries, self.clock.now() + until
        while self.clock.now() < ends:
            self.clock.pass_(seconds=max(self.outbox.run_once(), 0.5))
        return self.archive.tries - before

    def kinds(self) -> list[str]:
        """Open alerts whose condition holds."""
        over = alerts.over(self.ledger.database)
        return [each.kind for each in alerts.open_ones(self.ledger.database, 99) if each.id not in over]


@pytest.fixture
def room(tmp_path: Path) -> LoadRoom:
    return LoadRoom(tmp_path / "node")


def in_order(stored: list[str], uids: list[str]) -> bool:
    """Whether these were stored in their order, each once."""
    return [uid for uid in stored if uid in uids] == uids


def meet_at(archive: CountedArchive, number: int) -> None:
    """Have it answer no object before so many associations are open."""

    def answer(_: str) -> Answer:
        with archive.changed:
            assert archive.changed.wait_for(lambda: archive.most >= number, SECONDS)
        return STORED

    archive.answer = answer


# --- associations -----------------------------------------------------------------------------------


def test_studies_go_at_once_and_each_keeps_its_order(room: LoadRoom) -> None:
    """Three associations at a time, of three studies; in each study the images in their order, then the result."""
    room.use(associations=3)
    sent = {study: [*room.forward(study, 4), room.result(study, f"{study}.9")] for study in STUDIES}

    meet_at(room.archive, 3)
    room.run()
    assert room.archive.most == 3
    assert all(in_order(room.archive.stored, uids) for uids in sent.values())
    assert len(room.archive.stored) == 5 * len(STUDIES)
    of_studies = [{".".join(uid.split(".")[:3]) for uid in each} for each in room.archive.associations]
    assert all(len(each) <= 1 for each in of_studies), "an association is of one study"


def test_a_peer_that_allows_one_association_sees_one(room: LoadRoom) -> None:
    """Also where it says that it has an object already, and is asked whether it does."""
    room.archive.limit = 1
    room.archive.answer = lambda uid: ALREADY if uid.endswith((".2", ".9")) else STORED
    uids = [uid for study in STUDIES for uid in (*room.forward(study, 3), room.result(study, f"{study}.9"))]
    room.run()
    assert {room.status(uid) for uid in uids} == {DELIVERED}
    assert (room.archive.most, outages.every(room.ledger.database)) == (1, [])
    assert not history.open_alerts(room.ledger.database)


def test_a_peer_that_accepts_fewer_associations_than_configured_gets_everything(room: LoadRoom) -> None:
    """The refused ones are no outage while another one is served: what they would have carried goes on that."""
    room.use(associations=4)
    room.archive.limit = 1
    refused = room.archive

    def answer(_: str) -> Answer:
        with refused.changed:
            refused.changed.wait_for(lambda: refused.tries >= 4, 0.5)
        return STORED

    room.archive.answer = answer
    sent = {study: room.forward(study, 3) for study in STUDIES}
    for _ in range(5):  # where the first ones to ask were refused before any was served, it is tried again
        room.run()
        room.clock.pass_(minutes=1)
    assert room.archive.most == 1
    assert all(in_order(room.archive.stored, uids) for uids in sent.values())
    assert {each.status for each in room.rows()} == {DELIVERED}
    assert room.kinds() == []


# --- the breaker ------------------------------------------------------------------------------------


def test_a_destination_that_is_down_is_tried_as_a_whole(room: LoadRoom) -> None:
    """For two hours: a try at growing intervals, and no row is touched. Then everything goes in order."""
    sent = {study: [*room.forward(study, 20), room.result(study, f"{study}.9")] for study in STUDIES}
    room.archive.is_down = True
    before = room.rows()
    with transactions.counted(room.ledger) as rows:
        tries = room.pass_time(timedelta(hours=2))
    assert 8 <= tries <= 20
    assert sum(rows) <= 10 * tries
    assert room.rows() == before
    (outage,) = outages.every(room.ledger.database)
    assert (outage.why, outage.tries) == ("connection refused", tries)
    room.archive.is_down = False
    room.pass_time(timedelta(minutes=16))
    assert {each.status for each in room.rows()} == {DELIVERED}
    assert all(in_order(room.archive.stored, uids) for uids in sent.values())
    assert {each.attempts for each in room.rows()} == {1}
    assert outages.every(room.ledger.database) == []


def test_when_it_comes_back_one_association_tries_it(room: LoadRoom) -> None:
    """No burst: the others follow once it has answered."""
    room.use(associations=4)
    for study in STUDIES:
        room.forward(study, 2)
    room.archive.is_down = True
    room.pass_time(timedelta(minutes=5))
    assert room.archive.most == 0
    room.archive.is_down = False
    room.clock.pass_(minutes=15)
    assert room.outbox.run_once() == 0.0
    assert (room.archive.most, len(room.archive.stored)) == (1, 2)
    meet_at(room.archive, 4)
    room.run()
    assert (room.archive.most, len(room.archive.stored)) == (4, 12)


def test_an_outage_of_ten_minutes_is_an_alert_until_it_answers(room: LoadRoom) -> None:
    """Not before: archives are restarted. It closes by itself."""
    room.forward(STUDIES[0], 2)
    room.archive.is_down = True
    room.pass_time(timedelta(minutes=9))
    assert room.kinds() == []
    room.pass_time(timedelta(minutes=3))
    assert room.kinds() == ["destination.down"]
    room.archive.is_down = False
    room.pass_time(timedelta(minutes=16))
    assert room.kinds() == []
    kinds = [each.kind for each in history.latest(room.ledger.database, 100)]
    assert [kinds.count(f"destination.{each}") for each in ("unreached", "down", "reached")] == [1, 1, 1]


def test_a_destination_that_is_paused_is_no_alert_and_has_ten_minutes_afterwards(room: LoadRoom) -> None:
    """An upgrade of the PACS: whoever paused it knows; after it the PACS may take a while."""
    room.forward(STUDIES[0], 2)
    room.archive.is_down = True
    room.pass_time(timedelta(minutes=5))
    by = Actor(ActorKind.OS, "kim")
    with room.ledger.transaction() as database:
        pause = Pause(Pausable.DESTINATION, room.outbox.name, str(by), room.clock.now(), "an upgrade")
        pauses.begin(database, room.clock.now(), pause)
    room.pass_time(timedelta(hours=2))
    assert room.kinds() == []
    pausing.resume(room.ledger, Pausable.DESTINATION, room.outbox.name, room.clock.now(), by)
    room.pass_time(timedelta(minutes=8))
    assert room.kinds() == []
    room.pass_time(timedelta(minutes=5))
    assert room.kinds() == ["destination.down"]


def test_a_rejection_is_an_alert_at_once_and_one_only(room: LoadRoom) -> None:
    """A person has to act there: it is tried every half an hour."""
    room.forward(STUDIES[0], 2)
    room.archive.rejects = True
    assert room.pass_time(timedelta(hours=2)) <= 5
    assert room.kinds() == ["delivery.waits"]
    room.archive.rejects = False
    room.pass_time(timedelta(minutes=31))
    assert {each.status for each in room.rows()} == {DELIVERED}
    assert room.kinds() == []


@pytest.mark.parametrize("answer", [FULL, SILENT])
def test_the_refusal_of_one_object_opens_no_breaker(room: LoadRoom, answer: Answer) -> None:
    """The others go on, and it waits by itself."""
    uids = [uid for study in STUDIES for uid in room.forward(study, 3)]
    room.archive.answer = lambda uid: answer if uid == uids[4] else STORED
    room.run()
    assert outages.every(room.ledger.database) == []
    assert [uid for uid in uids if room.status(uid) is not DELIVERED] == [uids[4]]


@pytest.mark.parametrize("kind", ["image", "result"])
def test_an_archive_that_stores_nothing_is_down_though_it_accepts_associations(room: LoadRoom, kind: str) -> None:
    """It is full: one object at a time tells whether it stores again; that it answers C-FIND does not."""
    studies = [f"1.2.{number}" for number in range(30, 70)]
    for study in studies:
        room.forward(study, 1) if kind == "image" else room.result(study, f"{study}.9")
    room.archive.answer = lambda _: FULL
    room.run()
    (outage,) = outages.every(room.ledger.database)
    assert outage.stores_nothing
    handed = sum(map(len, room.archive.associations))
    assert handed <= 6
    room.pass_time(timedelta(hours=1))
    assert sum(map(len, room.archive.associations)) - handed <= 14
    assert [each.attempts for each in room.rows()].count(0) >= 10
    room.archive.answer = lambda _: STORED
    room.pass_time(timedelta(minutes=40))
    assert {each.status for each in room.rows()} == {DELIVERED}


def test_a_restart_keeps_the_breaker_open(room: LoadRoom) -> None:
    """The new outbox does not try before the time that was written down."""
    room.forward(STUDIES[0], 3)
    room.archive.is_down = True
    room.pass_time(timedelta(hours=1))
    tries = room.archive.tries
    outage = outages.get(room.ledger.database, "pacs")
    assert outage is not None
    for _ in range(3):
        room.restart()
        room.outbox.run_once()
    assert room.archive.tries == tries
    assert outages.get(room.ledger.database, "pacs") == outage
    room.archive.is_down = False
    room.clock.pass_(seconds=(outage.not_before - room.clock.now()).total_seconds())
    room.run()
    assert {each.status for each in room.rows()} == {DELIVERED}


def test_a_person_has_it_tried_at_once(room: LoadRoom) -> None:
    """`retry` does not wait for the pause; where it is still down, the outage is as old as it was."""
    room.forward(STUDIES[0], 1)
    room.archive.is_down = True
    room.pass_time(timedelta(hours=1))
    begun = outages.every(room.ledger.database)[0].since
    for down in (True, False):
        room.archive.is_down = down
        tries = room.archive.tries
        with room.ledger.transaction() as database:
            assert outages.try_now(database, room.clock.now(), "pacs", "os:admin")
        room.outbox.run_once()
        assert room.archive.tries == tries + 1
        assert [each.since for each in outages.every(room.ledger.database)] == ([begun] if down else [])
    assert {each.status for each in room.rows()} == {DELIVERED}


def test_what_is_urgent_has_it_tried_each_minute(room: LoadRoom) -> None:
    """Down for hours, then an urgent finding: it is there a minute after the archive is."""
    room.use(identity_check="none")
    room.result(STUDIES[0], "9.1")
    room.archive.is_down = True
    room.pass_time(timedelta(hours=3))
    urgent = room.urgent(STUDIES[1], "8.1")
    assert 9 <= room.pass_time(timedelta(minutes=10)) <= 12
    room.archive.is_down = False
    room.pass_time(timedelta(minutes=1))
    assert room.archive.stored[0] == urgent


def test_an_archive_that_answers_no_question_still_gets_images(room: LoadRoom) -> None:
    """Results wait, asked about by one study at growing intervals; what a rule forwards goes on."""
    for number in range(20):
        room.result(f"1.3.{number}", f"1.3.{number}.9")
    room.archive.asks_in_vain = True
    room.run()
    (outage,) = outages.every(room.ledger.database)
    assert (outage.scope, room.archive.questions) == (OutageScope.QUERY, 3)
    images = room.forward(STUDIES[0], 3)
    room.run()
    assert room.archive.stored == images
    room.pass_time(timedelta(hours=1))
    assert room.archive.questions <= 3 + 10
    assert room.kinds() == ["destination.down"]
    room.archive.asks_in_vain = False
    room.pass_time(timedelta(minutes=31))
    assert {each.status for each in room.rows()} == {DELIVERED}
    assert outages.every(room.ledger.database) == []


def test_nothing_waits_for_it_any_more(room: LoadRoom) -> None:
    """What waited was cancelled: whether the destination is down is not known, and nobody is alerted."""
    (uid,) = room.forward(STUDIES[0], 1)
    room.archive.is_down = True
    room.pass_time(timedelta(hours=1))
    with room.ledger.transaction() as database:
        deliveries.stop(database, room.clock.now(), room.of(uid).id, DeliveryStatus.CANCELLED, "why")
    room.outbox.run_once()
    assert (outages.every(room.ledger.database), room.kinds()) == ([], [])


def test_after_give_up_after_what_was_there_all_the_time_is_a_dead_letter(room: LoadRoom) -> None:
    """The age of the outage counts, for what came during it only as far as it was there."""
    room.use(retry={"give_up_after": "1h"})
    old = [*room.forward(STUDIES[0], 300), room.result(STUDIES[1], "9.1")]
    room.archive.is_down = True
    room.pass_time(timedelta(minutes=45))
    new = room.forward(STUDIES[2], 2)
    with transactions.counted(room.ledger) as rows:
        room.pass_time(timedelta(minutes=40))
    assert max(rows) <= transactions.MOST
    assert {room.status(uid) for uid in old} == {DEAD}
    assert {room.status(uid) for uid in new} == {WAITING}
    assert len(room.events(STUDIES[0], "forward.dead")) == 1


# --- urgent -----------------------------------------------------------------------------------------


def test_an_urgent_result_goes_between_two_images_of_a_backlog(room: LoadRoom) -> None:
    """All associations are busy with studies of many images: one lets it pass after the image that is on its way.

    The archive answers only one more image a connection before it has the result: it never gets it if both go on.
    """
    room.use(associations=2)
    backlog = [room.forward(study, 60) for study in STUDIES[:3]]
    stored, changed = room.archive.stored, room.archive.changed
    since: Counter[int] = Counter()
    passed: list[bool] = []
    first = threading.Lock()

    def answer(uid: str) -> Answer:
        if len(stored) >= 10 and first.acquire(blocking=False):
            room.urgent("1.9.1", "8.1")
            since[threading.get_ident()] = 1
        elif since and uid != "8.1":
            with changed:
                since[threading.get_ident()] += 1
                if since[threading.get_ident()] > 2:
                    passed.append(changed.wait_for(lambda: "8.1" in stored, SECONDS))
        return STORED

    room.archive.answer = answer
    room.run()
    assert "8.1" in stored
    assert all(passed), "both associations went on with their images"
    assert all(in_order(stored, uids) for uids in backlog)
    assert len(stored) == len(set(stored)) == 181
    assert {each.attempts for each in room.rows()} == {1}


def test_an_urgent_result_takes_the_images_that_it_waits_for_along(room: LoadRoom) -> None:
    """Its study's images are forwarded there, too, and were behind all others: they go first, and then the result."""
    backlog = [uid for study in STUDIES for uid in room.forward(study, 5)]
    own = room.forward("1.9.1", 3)
    urgent = room.urgent("1.9.1", "8.1")
    room.run()
    assert room.archive.stored == [*own, urgent, *backlog]


# --- hours ------------------------------------------------------------------------------------------


def test_outside_of_its_hours_a_destination_gets_nothing_and_nothing_ages(room: LoadRoom) -> None:
    """It is asked nothing either; when they begin, all goes in its order. The site's clock counts: Seoul, +9."""
    assert room.clock.now() == datetime(2026, 3, 1, 9, tzinfo=UTC)  # 18:00 there, a Sunday
    room.use(hours={"open": [{"between": ["22:00", "06:00"], "days": ["sunday"]}]})
    uids = [*room.forward(STUDIES[0], 3), room.result(STUDIES[0], "9.1")]
    before = room.rows()
    assert room.pass_time(timedelta(hours=4) - timedelta(minutes=1)) == 0
    assert room.rows() == before
    assert room.outbox.run_once() <= 60
    room.pass_time(timedelta(minutes=2))
    assert room.archive.stored == uids
    room.clock.pass_(hours=7, minutes=50)  # 05:50 on Monday, the same night
    inside = room.forward(STUDIES[1], 1)
    room.run()
    assert room.archive.stored[-1:] == inside
    room.clock.pass_(minutes=10)
    room.forward(STUDIES[2], 1)
    assert room.pass_time(timedelta(days=1)) == 0


@pytest.mark.parametrize(("urgent", "sent"), [("at once", True), ("wait", False)])
def test_what_is_urgent_ignores_the_hours_unless_the_site_wants_it_to_wait(
    room: LoadRoom, urgent: str, sent: bool
) -> None:
    """With the images of its study; nothing else goes along."""
    room.use(hours={"closed": [{"between": ["08:00", "20:00"]}], "urgent": urgent})
    room.forward(STUDIES[0], 2)
    own = room.forward("1.9.1", 2)
    routine = room.result("1.9.1", "7.1")
    result = room.urgent("1.9.1", "8.1")
    room.run()
    assert room.archive.stored == ([*own, result] if sent else [])
    assert room.status(routine) is WAITING


def test_hours_that_end_stop_a_study_between_two_images(room: LoadRoom) -> None:
    """What is on its way is finished; the rest goes when they begin again."""
    room.use(hours={"open": [{"between": ["06:00", "18:10"]}]})
    uids = room.forward(STUDIES[0], 10)

    def answer(_: str) -> Answer:
        room.clock.pass_(minutes=2)
        return STORED

    room.archive.answer = answer
    room.run()
    assert room.archive.stored == uids[:5]
    room.archive.answer = lambda _: STORED
    room.pass_time(timedelta(hours=12))
    assert room.archive.stored == uids


def test_nobody_is_alerted_of_a_study_that_could_not_be_asked_about_outside_of_the_hours(room: LoadRoom) -> None:
    """`wait_for_study` counts the time in which the destination is asked, not a night in which nobody may ask."""
    room.use(hours={"open": [{"between": ["06:00", "18:30"]}]}, wait_for_study="1h")
    room.archive.absent = {STUDIES[0]}
    room.result(STUDIES[0], "9.1")
    room.pass_time(timedelta(hours=12, minutes=20))  # 06:20 on the next day, asked for 50 minutes in all
    assert "identity.overdue" not in room.kinds()
    known = identities.get(room.ledger.database, STUDIES[0], "pacs")
    assert known is not None
    assert timedelta(minutes=25) <= known.waited < timedelta(hours=1)
    room.pass_time(timedelta(minutes=45))
    assert "identity.overdue" in room.kinds()


@pytest.mark.parametrize(
    ("zone", "now", "opens"),
    [
        # The clocks go forward at 02:00 on 29 March 2026, and back at 03:00 on 25 October.
        ("Europe/Berlin", "2026-03-28T23:00:00+00:00", "2026-03-29T01:30:00+00:00"),
        ("Europe/Berlin", "2026-10-24T22:30:00+00:00", "2026-10-25T00:30:00+00:00"),
        ("Europe/Berlin", "2026-01-10T22:00:00+00:00", "2026-01-11T01:30:00+00:00"),
    ],
)
def test_hours_are_those_of_the_wall_where_the_clocks_change(zone: str, now: str, opens: str) -> None:
    """02:30 to 02:45 begins where the site's clock says so; where it leaves that out, right behind it."""
    hours = DestinationHours.model_validate({"open": [{"between": ["02:30", "02:45"]}]})
    found = hours.opens_at(datetime.fromisoformat(now), ZoneInfo(zone))
    assert found == datetime.fromisoformat(opens)


def test_hours_that_never_come_are_refused() -> None:
    """As those of a rule are, in the same words."""
    with pytest.raises(ValueError, match="never open"):
        DestinationHours.model_validate({"open": [{"between": ["08:00", "09:00"]}], "closed": [{}]})
    with pytest.raises(ValueError, match="says nothing"):
        DestinationHours()
