"""Stopping what runs on images that turned out wrong: jobs cancelled, results held, sent ones reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime

from node.ledger import deliveries, events, jobs, notifications
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Severity
from node.ledger.job import OPEN, Job

_TO_HOLD = (DeliveryStatus.WAITING, DeliveryStatus.SENDING, DeliveryStatus.REFUSED)
_NEVER_TO_SEND = (DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DEAD, DeliveryStatus.REFUSED)


def stop_study(database: Database, at: datetime, study: str, reason: str, *, for_good: bool = False) -> None:
    """Everything about a study stops; `for_good`: results that were not sent are cancelled, not held for a person.

    Images are held in any case: those that count in the end are sent when the study is decided again.
    """
    _stop(database, at, study, jobs.of_study(database, study), deliveries.of_study(database, study), reason, for_good)
    if for_good:  # of a study that is held nobody is notified before it is released
        notifications.cancel_about(database, at, study, reason)


def stop_users_of(
    database: Database,
    at: datetime,
    study: str,
    receipts: Collection[str],
    sop_instance_uids: Collection[str],
    reason: str,
) -> None:
    """What uses these receipts stops: jobs with one of them among their inputs, and what was to be sent of either."""
    users = [job for job in jobs.of_study(database, study) if _uses(job, receipts)]
    ids = {job.id for job in users}
    affected = [
        delivery
        for delivery in deliveries.of_study(database, study)
        if delivery.job in ids or delivery.sop_instance_uid in sop_instance_uids
    ]
    _stop(database, at, study, users, affected, reason, for_good=False)
    notifications.cancel_about(database, at, study, reason, ids)


def _uses(job: Job, receipts: Collection[str]) -> bool:
    return any(receipt in receipts for chosen in job.inputs for receipt in chosen.receipts)


def _stop(
    database: Database,
    at: datetime,
    study: str,
    users: list[Job],
    affected: list[Delivery],
    reason: str,
    for_good: bool,
) -> None:
    for job in users:
        if job.status in OPEN:
            jobs.cancel(database, at, job.id, reason)
    for delivery in affected:
        never = for_good and delivery.receipt is None and delivery.status in _NEVER_TO_SEND
        if delivery.status is DeliveryStatus.WITHHELD or never:
            deliveries.stop(database, at, delivery.id, DeliveryStatus.CANCELLED, reason)
        elif delivery.status in _TO_HOLD and delivery.hold is None:
            deliveries.hold(database, at, delivery.id, reason)
    gone = [delivery for delivery in affected if delivery.status is DeliveryStatus.DELIVERED]
    objects: list[dict[str, object]] = [
        {"sop_instance_uid": one.sop_instance_uid, "destination": one.destination}
        for one in gone
        if one.receipt is None
    ]
    images = Counter(one.destination for one in gone if one.receipt is not None)
    objects += [{"images": count, "destination": destination} for destination, count in sorted(images.items())]
    told = events.last_of(database, study, "study.to-withdraw")
    # Corrected images come one by one: a person is notified once, and again only where there is more to withdraw.
    if objects and (told is None or (told.detail["objects"], told.detail["reason"]) != (objects, reason)):
        events.record(
            database, at, "study.to-withdraw", study=study, severity=Severity.ALERT, reason=reason, objects=objects
        )
