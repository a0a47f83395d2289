"""What was delivered and turned out wrong: a row each until a person has seen to it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from node.deliver.ways.dimse import dimse
from node.ledger import deliveries, forwards, instances, tallies, withdrawals
from node.ledger.database import Ledger
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.forwards import ForwardTerms
from node.ledger.withdrawals import WithdrawalStatus
from tests.support import history
from tests.support.sites.past import GOOD, tell

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def delivered(ledger: Ledger) -> list[Delivery]:
    """A result and three images that are at their destination."""
    with ledger.transaction() as database:
        tell(database)
        forwards.enqueue(database, NOW, GOOD, ForwardTerms("pacs", 1, "on"), instances.of_study(database, GOOD))
        for each in deliveries.of_study(database, GOOD):
            if each.is_image:
                deliveries.sending(database, NOW, each.id)
                deliveries.delivered(database, NOW, each.id, dimse(0))
        return [each for each in deliveries.of_study(database, GOOD) if each.status is DeliveryStatus.DELIVERED]


def enter(ledger: Ledger, those: list[Delivery], reason: str = "corrected") -> int:
    """A correction or a note concerns these."""
    with ledger.transaction() as database:
        return withdrawals.enter(database, NOW, GOOD, those, reason)


def told(ledger: Ledger) -> int:
    """How often a person was notified."""
    return len(history.of_kind(ledger.database, "study.to-withdraw"))


def test_each_is_listed_once_and_a_person_is_notified_where_there_is_more(
    ledger: Ledger, delivered: list[Delivery]
) -> None:
    """Corrected images come one by one, and the same ones may be rejected after that."""
    assert len(delivered) == 4
    assert enter(ledger, delivered[:2]) == 2
    assert enter(ledger, delivered[:2]) == 0
    assert enter(ledger, delivered[:2], "rejected") == 0
    assert told(ledger) == 1
    assert enter(ledger, delivered) == 2
    assert told(ledger) == 2
    (found,) = withdrawals.listed(ledger.database)
    assert (found.study_instance_uid, found.destination, found.reason) == (GOOD, "pacs", "corrected")
    assert (found.results, found.images, found.by) == (1, 3, "node")
    assert tallies.by_place(ledger.database, "withdrawals") == {"pacs": {"listed": 4}}


def test_what_was_seen_to_is_listed_again_where_it_turns_out_wrong_again(
    ledger: Ledger, delivered: list[Delivery]
) -> None:
    """Dismissed ones stay in the study's record."""
    enter(ledger, delivered)
    with ledger.transaction() as database:
        assert "study.to-withdraw" in {each.kind for each in history.open_alerts(database)}
        assert withdrawals.end(database, NOW, GOOD, WithdrawalStatus.DISMISSED, "os:alice") == 4
        assert withdrawals.end(database, NOW, GOOD, WithdrawalStatus.DISMISSED, "os:alice") == 0
    assert withdrawals.listed(ledger.database) == []
    assert "study.to-withdraw" not in {each.kind for each in history.open_alerts(ledger.database)}
    (event,) = history.of_kind(ledger.database, "study.withdrawal-dismissed")
    assert event.actor == "os:alice"
    assert enter(ledger, delivered[:1], "rejected") == 1
    statuses = [each.status for each in withdrawals.of_study(ledger.database, GOOD)]
    assert statuses == [WithdrawalStatus.LISTED, WithdrawalStatus.DISMISSED]
