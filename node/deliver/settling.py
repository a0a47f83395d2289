"""What an answer means for a delivery, written down: arrived, again later, or a dead letter. For results and images."""

from __future__ import annotations

from datetime import datetime

from node.config.retrying import Retry
from node.deliver.policy import MOST_UNANSWERED, Answer, GiveUp, after
from node.deliver.ways.archive import Archive
from node.dimse.status import Reading
from node.errors import PermanentError, TransientError
from node.items import Item
from node.ledger import deliveries, silences
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Severity
from node.wake import Stage

STAGE = Stage.DELIVER
"""Under which the items of every destination are known (`node.items`)."""
OPEN = (DeliveryStatus.WAITING, DeliveryStatus.SENDING)
_STORED = (Reading.STORED, Reading.STORED_WITH_WARNING)


def settle(database: Database, now: datetime, delivery: Delivery, answer: Answer, retry: Retry) -> None:
    """One C-STORE was answered, or was not, or could not be asked for."""
    if answer.reading in _STORED:
        warning = answer.text if answer.reading is Reading.STORED_WITH_WARNING else None
        deliveries.delivered(database, now, delivery.id, answer.dimse_status or 0, warning)
        return
    if answer.reading is Reading.UNKNOWN and answer.dimse_status is None:
        count = silences.unanswered(database, now, delivery)
        if count >= MOST_UNANSWERED:
            why = f"{answer.text}; {count} tries, and other objects were stored in between"
            deliveries.dead(database, now, delivery.id, why)
            return
    step = after(delivery.refusals, delivery.enqueued_at, answer, retry, now)
    if isinstance(step, GiveUp):
        deliveries.dead(database, now, delivery.id, step.reason, answer.dimse_status)
        return
    deliveries.wait(
        database,
        now,
        delivery.id,
        step.at,
        answer.text,
        dimse_status=answer.dimse_status,
        refused=answer.reading is Reading.RETRY_FEW,
        severity=severity(answer),
    )


def item_of(delivery: Delivery) -> Item:
    """One delivery: an unexpected exception delays it in its own row, and makes it a dead letter in the end."""

    def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
        if deliveries.get(database, delivery.id).status in OPEN:
            # Counted like a refusal where it is an image: the results of the study do not wait for it.
            refused = delivery.receipt is not None
            deliveries.wait(database, now, delivery.id, again, why, refused=refused, severity=Severity.INFO)

    def give_up(database: Database, now: datetime, why: str) -> None:
        if deliveries.get(database, delivery.id).status in OPEN:
            deliveries.dead(database, now, delivery.id, why)

    study, job = delivery.study_instance_uid, delivery.job
    return Item(f"delivery:{delivery.id}", study, job, delivery.id, put_off=put_off, give_up=give_up)


def severity(answer: Answer) -> Severity:
    """How loudly a delivery waits: a person has to act where the destination does not authorise us."""
    return Severity.ALERT if answer.reading is Reading.RETRY_SLOWLY else Severity.WARNING


def is_it_there(archive: Archive, delivery: Delivery, series_instance_uid: str, answer: Answer) -> Answer:
    """0111, duplicate SOP instance: accepted where the destination does hold it (case 66)."""
    try:
        there = archive.has_instance(delivery.study_instance_uid, series_instance_uid, delivery.sop_instance_uid)
    except (TransientError, PermanentError) as error:
        return Answer(Reading.UNKNOWN, f"{answer.text}; it could not be asked for: {error}", answer.dimse_status)
    if there:
        return Answer(Reading.STORED_WITH_WARNING, answer.text, answer.dimse_status)
    return Answer(Reading.RETRY_FEW, f"{answer.text}; but it does not hold it", answer.dimse_status)
