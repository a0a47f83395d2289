"""What a destination has taken and does not have: it is sent again, under the same UID, a few times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from node.ledger import deliveries, events
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one

MOST = 3
"""How often one object is sent again to a destination that says it does not have it; then a person has to look."""


@dataclass(frozen=True, slots=True)
class ResendOutcome:
    """What becomes of objects that a destination does not have; ids of deliveries."""

    sent_again: Sequence[int]
    exhausted: Sequence[int]
    """They were sent again as often as it is worth it."""
    not_meant: Sequence[int]
    """They are not to be there any more: listed for withdrawal, or of an image that does not count."""


def not_kept(database: Database, at: datetime, destination: str, sop_instance_uids: Sequence[str]) -> ResendOutcome:
    """The destination does not have these, which were delivered to it: they wait to be sent again, where they may.

    What never was delivered there is left out. A person's `retry` begins to count again.
    """
    found = [deliveries.of_item(database, uid, destination) for uid in sop_instance_uids]
    those = [each for each in found if each is not None and each.status is DeliveryStatus.DELIVERED]
    not_meant = [each.id for each in those if not _is_meant(database, each)]
    exhausted = [each.id for each in those if each.resends >= MOST and each.id not in not_meant]
    again = [each for each in those if each.id not in {*not_meant, *exhausted}]
    # The tries begin again: it is not set aside, as what was tried twice in vain is.
    database.conn.executemany(
        f"UPDATE deliveries SET {deliveries.AFRESH}, attempts=0, resends=resends+1, status=? WHERE id=?",  # noqa: S608 - our own text
        [(*deliveries.since(at), DeliveryStatus.WAITING, each.id) for each in again],
    )
    _record(database, at, destination, again)
    return ResendOutcome([each.id for each in again], exhausted, not_meant)


def _is_meant(database: Database, delivery: Delivery) -> bool:
    """Whether it should be at the destination: what a person is to take out there is not put back."""
    if one(database, "SELECT 1 FROM withdrawals WHERE delivery=?", [delivery.id]):
        return False
    counts = "SELECT 1 FROM instances WHERE receipt=? AND status='current'"
    return not delivery.is_image or one(database, counts, [delivery.receipt]) is not None


def _record(database: Database, at: datetime, destination: str, those: Sequence[Delivery]) -> None:
    """One event for each result; one for the images of a study, which may be thousands."""
    for each in (each for each in those if not each.is_image):
        events.record(
            database,
            at,
            EventKind.DELIVERY_NOT_KEPT,
            study=each.study_instance_uid,
            job=each.job,
            delivery=each.id,
            destination=destination,
        )
    images = [each.study_instance_uid for each in those if each.is_image]
    for study in dict.fromkeys(images):
        count = images.count(study)
        events.record(database, at, EventKind.DELIVERY_NOT_KEPT, study=study, destination=destination, instances=count)
