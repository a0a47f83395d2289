"""Alerts: one row a condition while it lasts, and closed when it does not hold any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from node.app.alerts import AlertSweep
from node.clock import SystemClock
from node.ledger import alerts, deliveries, events, failing_stages, notifications, studies
from node.ledger.alert_conditions import still_true
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.notifications import Occasion
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.sites.outcomes import deliver, match

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)


def sweep(ledger: Ledger) -> list[tuple[str, str]]:
    """Kind and place of the alerts that are open after it."""
    AlertSweep(Node(ledger, DataFolder(ledger.path.parent), SystemClock(), Wakes())).run_once()
    return [(each.kind, each.place) for each in alerts.open_ones(ledger.database, 99)]


def test_a_condition_is_one_alert_while_it_lasts_and_closes_by_itself(ledger: Ledger) -> None:
    """Held twice: counted, since the first time. Released: closed, which history tells. Held again: another one."""
    with ledger.transaction() as database:
        studies.hold(database, NOW, "1.2", "why")
        studies.hold(database, LATER, "1.2", "why else")
    assert sweep(ledger) == [("study.held", "1.2")]
    (alert,) = alerts.of_study(ledger.database, "1.2")
    assert (alert.opened_at, alert.last_at, alert.times, alert.detail["reason"]) == (NOW, LATER, 2, "why else")
    with ledger.transaction() as database:
        studies.unhold(database, LATER, "1.2", "os:alice")
    assert sweep(ledger) == []
    closed = events.of_study(ledger.database, "1.2")[-1]
    assert (closed.kind, closed.detail) == (EventKind.ALERT_CLOSED, {"alert": "study.held", "place": "1.2"})
    with ledger.transaction() as database:
        studies.hold(database, LATER, "1.2", "again")
    (alert,) = alerts.of_study(ledger.database, "1.2")
    assert (alert.opened_at, alert.times) == (LATER, 1)


def test_dead_letters_of_a_study_are_one_alert_until_the_last_is_sent_again(ledger: Ledger) -> None:
    """Two objects, one destination: one alert, over when neither is dead."""
    made = [deliver(ledger, NOW, "1.2", None, f"9.{number}", DeliveryStatus.SENDING) for number in (1, 2)]
    for each in made:
        with ledger.transaction() as database:
            deliveries.dead(database, NOW, each.id, "A900")
    assert sweep(ledger) == [("delivery.dead", "pacs 1.2")]
    assert len([each for each in events.of_study(ledger.database, "1.2") if each.kind == "delivery.dead"]) == 2
    with ledger.transaction() as database:
        deliveries.again(database, NOW, made[0].id, "os:alice")
    assert sweep(ledger) == [("delivery.dead", "pacs 1.2")]
    with ledger.transaction() as database:
        deliveries.again(database, NOW, made[1].id, "os:alice")
    assert sweep(ledger) == []


def test_a_destination_that_rejects_us_is_one_alert_for_all_studies(ledger: Ledger) -> None:
    """It is about the destination; over when nothing waits for that reason."""
    made = [deliver(ledger, NOW, study, None, f"9.{study}") for study in ("1.2", "1.3")]
    for each in made:
        with ledger.transaction() as database:
            deliveries.wait(database, NOW, each.id, LATER, "it does not know us", rejected=True)
    assert sweep(ledger) == [("delivery.waits", "pacs")]
    for each in made:
        with ledger.transaction() as database:
            deliveries.wait(database, NOW, each.id, LATER, "nobody answers")
    assert sweep(ledger) == []


def test_finding_d5_a_wait_is_recorded_once_for_each_reason(ledger: Ledger) -> None:
    """However often it is looked at, and whatever comes in between; again after a person had it sent again."""
    made = deliver(ledger, NOW, "1.2", None, "9.1")

    def wait(*reasons: str) -> list[str]:
        for why in reasons:
            with ledger.transaction() as database:
                deliveries.wait(database, NOW, made.id, LATER, why)
        history = events.of_study(ledger.database, "1.2")
        return [each.detail["error"] for each in history if each.kind == "delivery.waits"]

    assert wait(*["absent"] * 50) == ["absent"]
    assert wait("no answer", "absent", "no answer", "absent") == ["absent", "no answer"]
    with ledger.transaction() as database:
        deliveries.again(database, NOW, made.id, "os:alice")
    assert wait("absent", "absent") == ["absent", "no answer", "absent"]


def test_finding_d5_a_notification_that_waits_is_recorded_once_for_each_reason(ledger: Ledger) -> None:
    """And is one alert that counts the tries."""
    with ledger.transaction() as database:
        notifications.enqueue(database, NOW, match(database, NOW, "1.2"), Occasion.MATCH, ["duty"])
        for _ in range(5):
            notifications.wait(database, NOW, 1, LATER, "no mail server")
    kinds = [each.kind for each in events.of_study(ledger.database, "1.2")]
    assert kinds.count("notification.waits") == 1
    assert [(each.kind, each.times) for each in alerts.of_study(ledger.database, "1.2")] == [("notification.waits", 5)]


def test_a_stage_that_works_again_closes_its_alert(ledger: Ledger) -> None:
    """Also where the process that said so is gone: the next one begins with nothing that fails."""
    for over in (lambda rows: failing_stages.works(rows, LATER, "route"), failing_stages.forget):
        with ledger.transaction() as database:
            failing_stages.fails(database, NOW, "route", NOW, "KeyError")
        assert sweep(ledger) == [("stage.failing", "route")]
        with ledger.transaction() as database:
            over(database)
        assert sweep(ledger) == []


def test_an_alert_about_a_file_is_open_while_the_file_is_there(ledger: Ledger) -> None:
    """Relative to the data folder, in which the ledger is."""
    path = ledger.path.parent / "journal/7.unreadable"
    path.parent.mkdir()
    path.touch()
    with ledger.transaction() as database:
        alerts.raised(database, NOW, AlertKind.COMMITMENT_UNREADABLE, "journal/7.unreadable")
    assert sweep(ledger) == [("commitment.unreadable", "journal/7.unreadable")]
    path.unlink()
    assert sweep(ledger) == []


@pytest.mark.parametrize("kind", AlertKind)
def test_each_kind_can_be_asked_about_and_is_an_event(ledger: Ledger, kind: AlertKind) -> None:
    """The question is one that SQLite understands; the history names what opened the alert."""
    assert still_true(ledger.database, kind, "a b", detail="{}", last="") in (True, False)
    assert EventKind(kind).sentence
