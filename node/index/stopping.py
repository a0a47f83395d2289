"""Stopping what runs on images that turned out wrong: jobs cancelled, results held, sent ones listed for withdrawal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from node.ledger import (
    deliveries,
    events,
    forward_parts,
    gone_images,
    holding,
    jobs,
    notices,
    notifications,
    said,
    sent_images,
    withdrawals,
)
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.job import OPEN, Job
from node.ledger.sent_images import SentImage, UnsentImage

_TO_HOLD = (DeliveryStatus.WAITING, DeliveryStatus.SENDING, DeliveryStatus.REFUSED)
_NEVER_TO_SEND = (DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DEAD, DeliveryStatus.REFUSED)


def stop_study(database: Database, at: datetime, study: str, reason: str, *, for_good: bool = False) -> frozenset[str]:
    """Everything about a study stops; `for_good`: results that were not sent are cancelled, not held for a person.

    Images are held in any case: those that count in the end are sent when the study is decided again. What other
    studies have from a comparison with this one stops, too; returns those of which anything did.
    """
    affected, sent = sent_images.others_of_study(database, study), sent_images.of_study(database, study)
    _stop(database, at, study, jobs.of_study(database, study), affected, reason, for_good=for_good, sent=sent)
    _tell_forwarded(database, at, study, reason)
    if for_good:  # of a study that is held nobody is notified before it is released
        forward_parts.drop(database, study)
        notifications.cancel_about(database, at, study, reason)
    return _stop_comparisons(database, at, jobs.comparing_with(database, study), reason)


def stop_users_of(
    database: Database,
    at: datetime,
    study: str,
    receipts: Collection[str],
    sop_instance_uids: Collection[str],
    reason: str,
) -> frozenset[str]:
    """What uses these receipts stops: jobs with one of them among their inputs, and what was to be sent of either.

    So do jobs of other studies that were given them to compare with; returns those studies of which anything stopped.
    """
    users = [job for job in jobs.of_study(database, study) if _uses(job, receipts)]
    ids = {job.id for job in users}
    affected = [
        delivery
        for delivery in sent_images.others_of_study(database, study)
        if delivery.job in ids or delivery.item in sop_instance_uids
    ]
    sent = [each for each in sent_images.of_study(database, study) if each.item in sop_instance_uids]
    _stop(database, at, study, users, affected, reason, for_good=False, sent=sent)
    _tell_forwarded(database, at, study, reason)
    notifications.cancel_about(database, at, study, reason, ids)
    comparing = [job for job in jobs.comparing_with(database, study) if _uses(job, receipts)]
    return _stop_comparisons(database, at, comparing, reason)


def _tell_forwarded(database: Database, at: datetime, study: str, reason: str) -> None:
    """Deliveries of images went with them, and cannot be listed for withdrawal: how many there were is history."""
    images = gone_images.number_forwarded(database, study)
    if images and said.once(database, EventKind.WITHDRAWAL_OF_GONE, study, reason):
        events.record(database, at, EventKind.WITHDRAWAL_OF_GONE, study=study, reason=reason, images=images)


def _stop_comparisons(database: Database, at: datetime, users: list[Job], reason: str) -> frozenset[str]:
    """These were given images of another study: their own study has no fault, so a person decides on what is held."""
    why = f"an earlier study that it was compared with: {reason}"
    stopped = set()
    for job in users:
        study = job.study_instance_uid
        if _stop(database, at, study, [job], deliveries.of_job(database, job.id), why, for_good=False):
            stopped.add(study)
        notifications.cancel_about(database, at, study, why, {job.id})
    return frozenset(stopped)


def _uses(job: Job, receipts: Collection[str]) -> bool:
    return any(receipt in receipts for chosen in job.inputs for receipt in chosen.receipts)


def _stop(
    database: Database,
    at: datetime,
    study: str,
    users: list[Job],
    affected: Sequence[Delivery | UnsentImage],
    reason: str,
    *,
    for_good: bool,
    sent: Sequence[SentImage] = (),
) -> bool:
    """Whether there was anything to stop, or to list, that was not stopped or listed before.

    `affected`: without images that were delivered, of which there may be thousands: those are `sent`.
    """
    notices.withdraw(database, at, [job for job in users if job.outcome is not None], reason)
    running = [job for job in users if job.status in OPEN]
    for job in running:
        jobs.cancel(database, at, job.id, reason)
    never: list[Delivery | UnsentImage] = []
    to_hold: list[Delivery | UnsentImage] = []
    for delivery in affected:
        unsent = for_good and not delivery.is_image and delivery.status in _NEVER_TO_SEND
        if delivery.status is DeliveryStatus.WITHHELD or unsent:
            never.append(delivery)
        elif delivery.status in _TO_HOLD and delivery.hold is None:
            to_hold.append(delivery)
    for delivery in never:
        deliveries.stop(database, at, delivery.id, DeliveryStatus.CANCELLED, reason)
    holding.hold_all(database, at, to_hold, reason)
    gone = [each for each in affected if isinstance(each, Delivery) and each.status is DeliveryStatus.DELIVERED]
    listed = withdrawals.enter(database, at, study, [*gone, *sent], reason)
    return bool(running or never or to_hold or listed)
