"""Alerts are sent: once at the beginning, now and again while they last, once at the end, and not too many an hour."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from node.app.alerts import AlertSweep
from node.config.models import Configuration
from node.ledger import acknowledgements, alerts, conditions, defects, notifications
from node.ledger.alert_kinds import AlertKind, AlertSeverity
from node.ledger.alerts import Alert
from node.ledger.database import Ledger
from node.ledger.notifications import AboutAlert, Notification, Occasion
from node.ledger.rows import query
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.clocks import HandClock

WARNING, CRITICAL = AlertKind.CALLERS_REFUSED, AlertKind.CERTIFICATE_ENDED
"""Kinds whose condition a test makes true or false by a row of its own."""
BEGINS, LASTS, ENDS, MORE = Occasion.ALERT_BEGINS, Occasion.ALERT_LASTS, Occasion.ALERT_ENDS, Occasion.MORE_ALERTS


def configured(to: Any = "admin", **settings: Any) -> Configuration:
    return Configuration.model_validate(
        {
            "node": {"time_zone": "UTC"},
            "people": {"admin": {"webhook": {"url": "https://pager.example"}}},
            "alerts": {"to": to, **settings},
        }
    )


class House:
    """A ledger whose conditions are made by hand, and the sweep that a thread would run every five seconds."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.clock = HandClock(datetime(2026, 3, 4, 9, 0, tzinfo=UTC))
        self.ledger = Ledger(folder / "ledger.db")
        self.node = Node(self.ledger, DataFolder(folder), self.clock, Wakes())
        self.settings = configured(**settings)
        monkeypatch.setattr("node.app.watch.Watch.look", lambda *_: None)
        self.restart()

    def restart(self) -> None:
        self.sweep = AlertSweep(self.node, self.settings)

    def use(self, **settings: Any) -> None:
        self.settings = configured(**settings)
        self.sweep.use(self.settings)

    def meet(self, kind: AlertKind, place: str) -> None:
        with self.ledger.transaction() as database:
            conditions.begins(database, self.clock.now(), kind, place, {"reason": "because"})

    def mend(self, kind: AlertKind, place: str) -> None:
        with self.ledger.transaction() as database:
            conditions.over(database, [(kind, place)])

    def pass_(self, look: float = 30, **duration: float) -> None:
        """Time passes, a look every thirty seconds, or after `look`."""
        left = timedelta(**duration)
        while left > timedelta():
            step = min(left, timedelta(seconds=look))
            self.clock.pass_(seconds=step.total_seconds())
            self.sweep.run_once()
            left -= step

    def messages(self) -> list[tuple[str, str]]:
        """Occasion and place of all that were enqueued."""
        rows = query(
            self.ledger.database,
            "SELECT occasion, place FROM notifications JOIN alerts ON alerts.id=alert ORDER BY notifications.id",
        )
        return [(row["occasion"], row["place"]) for row in rows]

    def summaries(self) -> list[Notification]:
        rows = query(self.ledger.database, "SELECT id FROM notifications WHERE occasion=?", [MORE])
        return [notifications.get(self.ledger.database, row["id"]) for row in rows]

    def every(self) -> list[Alert]:
        return [each for closed in (True, False) for each in alerts.every(self.ledger.database, closed=closed)]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def test_a_warning_is_sent_when_it_has_lasted_and_again_when_it_is_over(house: House) -> None:
    """After a minute; the end when the cause has been gone for two; `status` shows it no more in between."""
    house.meet(WARNING, "a")
    house.pass_(seconds=30)
    assert house.messages() == []
    house.pass_(seconds=30)
    assert house.messages() == [(BEGINS, "a")]
    house.mend(WARNING, "a")
    house.pass_(seconds=120)
    assert house.messages() == [(BEGINS, "a")]
    assert alerts.open_ones(house.ledger.database, 9) == []
    (alert,) = alerts.every(house.ledger.database, closed=False)
    assert alert.gone_since is not None
    house.pass_(seconds=60)
    assert house.messages() == [(BEGINS, "a"), (ENDS, "a")]
    assert [each.closed_at is not None for each in house.every()] == [True]


def test_a_blip_is_sent_to_nobody(house: House) -> None:
    """Gone before it has lasted: closed, and never told."""
    house.meet(WARNING, "a")
    house.pass_(seconds=30)
    house.mend(WARNING, "a")
    house.pass_(hours=1)
    assert house.messages() == []
    assert [each.closed_at is not None for each in house.every()] == [True]


def test_what_comes_and_goes_is_one_alert(house: House) -> None:
    """Gone for a minute, again and again: one beginning, no end; one end when it stays away."""
    for _ in range(20):
        house.meet(WARNING, "a")
        house.pass_(seconds=90)
        house.mend(WARNING, "a")
        house.pass_(seconds=60)
    assert house.messages() == [(BEGINS, "a")]
    house.pass_(minutes=5)
    assert house.messages() == [(BEGINS, "a"), (ENDS, "a")]
    assert [each.times for each in house.every()] == [20]


def test_a_critical_one_is_sent_at_once(house: House) -> None:
    """At the next look."""
    house.meet(CRITICAL, "a")
    house.sweep.run_once()
    assert house.messages() == [(BEGINS, "a")]


def test_it_is_sent_again_while_it_lasts_until_somebody_sees_to_it(house: House) -> None:
    """Every four hours; not after it was acknowledged; the end is sent anyway."""
    house.meet(CRITICAL, "a")
    house.pass_(hours=8, minutes=5)
    assert Counter(house.messages()) == {(BEGINS, "a"): 1, (LASTS, "a"): 2}
    (alert,) = house.every()
    with house.ledger.transaction() as database:
        acknowledgements.acknowledge_alert(database, house.clock.now(), alert.id, "os:kim", "Kim", "a disk is ordered")
    house.pass_(hours=9)
    house.mend(CRITICAL, "a")
    house.pass_(minutes=5)
    assert Counter(house.messages()) == {(BEGINS, "a"): 1, (LASTS, "a"): 2, (ENDS, "a"): 1}


def fail(house: House, *numbers: int, stage: str = "results") -> None:
    """Items that cannot be handled: each an alert of its own, of one cause."""
    with house.ledger.transaction() as database:
        for number in numbers:
            defects.failed(database, house.clock.now(), stage, f"job:{number}", "an error")
            alerts.met(database, house.clock.now(), AlertKind.ITEM_FAILED, f"{stage} job:{number}")


def handle(house: House, *numbers: int, stage: str = "results") -> None:
    with house.ledger.transaction() as database:
        for number in numbers:
            defects.settled(database, stage, f"job:{number}")


def test_many_of_one_cause_are_one_message_and_one_end(house: House) -> None:
    """They begin one after the other; another cause has its own; the end is sent when the last of them is over."""
    fail(house, *range(30))
    house.pass_(minutes=1)
    fail(house, *range(30, 50))
    fail(house, 1, stage="deliver")
    house.pass_(minutes=20)
    first, other = (BEGINS, "results job:0"), (BEGINS, "deliver job:1")
    assert house.messages() == [first, other]
    house.pass_(minutes=45)
    joined = (BEGINS, "results job:30")
    assert house.messages() == [first, other, joined], "an hour later one more says how many there are"
    house.pass_(hours=2)
    handle(house, *range(49))
    house.pass_(minutes=30)
    assert house.messages() == [first, other, joined]
    handle(house, 49)
    house.pass_(minutes=5)
    assert house.messages() == [first, other, joined, (ENDS, "results job:49")]
    assert house.summaries() == []
    assert len([each for each in house.every() if each.closed_at is not None]) == 50


def test_who_sees_to_one_sees_to_all_of_its_cause(house: House) -> None:
    """One reminder for all; none after somebody said so of any; what joins later is sent, within the hour."""
    fail(house, *range(30))
    house.pass_(hours=4, minutes=5)
    assert house.messages() == [(BEGINS, "results job:0"), (LASTS, "results job:0")]
    with house.ledger.transaction() as database:
        others = acknowledgements.acknowledge_alert(
            database, house.clock.now(), 7, "os:kim", "Kim", "a bug is reported"
        )
    assert others == 29
    house.pass_(hours=9, look=300)
    assert len(house.messages()) == 2
    fail(house, 99)
    house.pass_(minutes=1)
    assert house.messages()[2:] == [(BEGINS, "results job:99")]


def test_a_cause_that_comes_back_begins_again(house: House) -> None:
    """All were over, and people know: the next one is a beginning at once."""
    fail(house, 1, 2)
    house.pass_(minutes=1)
    handle(house, 1, 2)
    house.pass_(minutes=5)
    fail(house, 3)
    house.pass_(minutes=1)
    begins, over, again = house.messages()
    assert (begins[0], over[0], again) == (BEGINS, ENDS, (BEGINS, "results job:3"))


def test_no_more_than_twenty_an_hour_and_then_how_many_others(house: House) -> None:
    """Thirty warnings leave room for critical ones; nothing is lost; the next hour has its own number."""
    for number in range(30):
        house.meet(WARNING, f"w{number}")
    house.pass_(minutes=2)
    assert Counter(occasion for occasion, _ in house.messages()) == {BEGINS: 15, MORE: 1}
    assert house.summaries()[0].detail == {"begun": 15, "ended": 0}
    for number in range(8):
        house.meet(CRITICAL, f"c{number}")
    house.pass_(minutes=2)
    told = [place for occasion, place in house.messages() if occasion == BEGINS]
    assert [place for place in told if place.startswith("c")] == [f"c{number}" for number in range(5)]
    house.pass_(hours=1)
    told = [place for occasion, place in house.messages() if occasion == BEGINS]
    assert {f"c{number}" for number in range(8)} <= set(told)


def test_what_began_and_ended_beyond_the_number_is_counted(house: House) -> None:
    """It was an alert, and nobody was told: the next summary has it."""
    for number in range(16):
        house.meet(WARNING, f"w{number}")
    house.pass_(minutes=2)
    house.meet(WARNING, "short")
    house.pass_(minutes=2)
    house.mend(WARNING, "short")
    house.pass_(minutes=55)
    assert len(house.summaries()) == 1
    house.pass_(minutes=10)
    assert house.summaries()[-1].detail == {"begun": 1, "ended": 1}


def test_in_a_maintenance_window_only_critical_ones_are_sent(house: House) -> None:
    """At its end what still holds is sent, what is over is not; an end that fell into it is sent, too."""
    house.meet(WARNING, "before")
    house.pass_(minutes=2)
    house.use(maintenance=[{"between": ["09:00", "11:00"]}])
    for place in ("stays", "goes"):
        house.meet(WARNING, place)
    house.mend(WARNING, "before")
    house.meet(CRITICAL, "fire")
    house.pass_(minutes=30)
    assert house.messages() == [(BEGINS, "before"), (BEGINS, "fire")]
    house.mend(WARNING, "goes")
    house.pass_(minutes=95)
    assert house.messages() == [(BEGINS, "before"), (BEGINS, "fire"), (BEGINS, "stays"), (ENDS, "before")]


def test_of_warnings_nobody_is_notified_who_wants_critical_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`severity: critical`; and where `to` names nobody, nobody ever learns of what is over by the time it does."""
    house = House(tmp_path, monkeypatch, severity="critical")
    house.meet(WARNING, "a")
    house.meet(CRITICAL, "b")
    house.pass_(minutes=5)
    assert house.messages() == [(BEGINS, "b")]
    house.use(to=[])
    house.meet(CRITICAL, "c")
    house.pass_(minutes=5)
    house.mend(CRITICAL, "c")
    house.pass_(minutes=5)
    house.use()
    house.pass_(minutes=5)
    assert house.messages() == [(BEGINS, "b"), (BEGINS, "a")]


def test_a_restart_forgets_nothing_and_says_nothing_twice(house: House) -> None:
    """In the midst of everything: one beginning, one end, and the number of the hour is kept."""
    for number in range(30):
        house.meet(WARNING, f"w{number}")
    for _ in range(6):
        house.pass_(seconds=30)
        house.restart()
    assert Counter(occasion for occasion, _ in house.messages()) == {BEGINS: 15, MORE: 1}
    house.mend(WARNING, "w0")
    for _ in range(10):
        house.pass_(seconds=30)
        house.restart()
    assert Counter(house.messages())[ENDS, "w0"] == 0  # the hour's number is spent
    house.pass_(minutes=70)
    assert Counter(house.messages())[ENDS, "w0"] == 1


def test_an_alert_about_a_message_on_an_alert_is_not_sent(house: House) -> None:
    """The mail server is down: `status` shows it, and no message is made of what it cannot send."""
    house.meet(CRITICAL, "a")
    house.pass_(minutes=1)
    with house.ledger.transaction() as database:
        notifications.wait(database, house.clock.now(), 1, house.clock.now(), "no mail server")
        notifications.dead(database, house.clock.now(), 1, "no mail server")
    house.pass_(minutes=10)
    assert {each.kind for each in house.every()} >= {AlertKind.NOTIFICATION_DEAD}
    assert [place for _, place in house.messages()] == ["a"]


_NIGHT = pytest.mark.at_night("three of the six seeds, each with what one of three kinds of run has")


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=_NIGHT) for seed in (3, 4, 5))])
def test_whatever_happens_one_beginning_one_end_and_the_number_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Conditions, maintenance, restarts or clocks that are set, at random: of each alert one beginning and one end at
    most, in this order; no more than twenty messages and one summary in any hour; at the end all that began is told,
    one by one or in a sum. Every third time restarts and clocks meet: then the number may begin again."""
    dice = random.Random(seed)
    windows = [{"between": ["12:00", "12:40"]}] if seed % 2 else []
    house = House(tmp_path, monkeypatch, repeat="2h", maintenance=windows)
    places = [(kind, f"{kind.severity}{number}") for kind in (WARNING, CRITICAL) for number in range(25)]
    sent: list[tuple[float, str]] = []
    holding: set[tuple[AlertKind, str]] = set()
    for _ in range(90):
        before = len(house.messages())
        act = dice.random()
        if act < 0.45:
            for place in dice.sample(places, dice.choice((1, 1, 2, 12))):
                (house.mend if place in holding else house.meet)(*place)
                holding ^= {place}
        elif act < 0.5 and seed % 3 != 1:
            house.restart()
        elif act > 0.97 and seed % 3 != 2:
            house.clock.jump(hours=dice.choice((-5, -1, 1, 30)))
        house.pass_(seconds=dice.choice((5, 30, 90, 300)))
        sent += [(house.clock.monotonic(), occasion) for occasion, _ in house.messages()[before:]]
    for place in holding:
        house.mend(*place)
    for _ in range(40):
        before = len(house.messages())
        house.pass_(minutes=10, look=120)
        sent += [(house.clock.monotonic(), occasion) for occasion, _ in house.messages()[before:]]
    _once_each(house)
    for at, _ in sent if seed % 3 else ():
        within = Counter(occasion == MORE for then, occasion in sent if at <= then < at + 3000)
        assert within[False] <= 20
        assert within[True] <= 1
    assert all(each.closed_at is not None for each in house.every())
    if not windows:
        assert all(each.end_told_at is not None for each in house.every() if each.begun_at is not None)
        one_by_one = Counter(occasion for occasion, _ in house.messages())
        summed = sum(each.detail["begun"] for each in house.summaries())
        assert one_by_one[BEGINS] + summed == sum(each.begun_at is not None for each in house.every())


def _once_each(house: House) -> None:
    rows = query(house.ledger.database, "SELECT alert, occasion FROM notifications WHERE alert IS NOT NULL ORDER BY id")
    told: dict[int, list[str]] = {}
    for row in rows:
        if row["occasion"] != MORE:
            told.setdefault(row["alert"], []).append(row["occasion"])
    for occasions in told.values():
        assert occasions.count(BEGINS) <= 1
        assert occasions.count(ENDS) <= 1
        assert ENDS not in occasions[:-1]
        assert BEGINS not in occasions[1:]


def test_many_of_one_kind_push_out_no_other(house: House) -> None:
    """Of ten lines one is that of the other kind, though it is the oldest; critical ones are first."""
    house.meet(WARNING, "old")
    house.clock.pass_(minutes=1)
    for number in range(300):
        with house.ledger.transaction() as database:
            alerts.met(database, house.clock.now(), AlertKind.DELIVERY_DEAD, f"pacs {number}")
    shown = alerts.open_ones(house.ledger.database, 10)
    assert (len(shown), {each.kind for each in shown}) == (10, {WARNING, AlertKind.DELIVERY_DEAD})
    assert shown[0].severity is AlertSeverity.CRITICAL
    assert len(alerts.every(house.ledger.database, closed=False)) == 301


def test_the_same_alert_has_one_message_for_each_person_and_occasion(house: House) -> None:
    """However often it is enqueued; a reminder has a number of its own."""
    house.meet(CRITICAL, "a")
    with house.ledger.transaction() as database:
        made = [
            notifications.enqueue(database, house.clock.now(), AboutAlert(1, number), LASTS, ["admin", "boss"])
            for number in (0, 0, 1)
        ]
    assert made == [2, 0, 2]
