"""What an answer means for a delivery, written down: arrived, again later, or a dead letter. For results and images."""

from __future__ import annotations

from datetime import datetime

from node.config.destinations import Destination
from node.deliver.policy import MOST_UNANSWERED, Answer, GiveUp, after
from node.deliver.ways.archive import Archive
from node.errors import PermanentError, TransientError
from node.items import Item
from node.ledger import deliveries, silences
from node.ledger.database import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import Severity
from node.outcome import AnswerReading
from node.wake import Stage

STAGE = Stage.DELIVER
"""Under which the items of every destination are known (`node.items`)."""
OPEN = (DeliveryStatus.WAITING, DeliveryStatus.SENDING)
_STORED = (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING)


def settle(database: Database, now: datetime, delivery: Delivery, answer: Answer, destination: Destination) -> None:
    """One object was answered, or was not, or could not be asked for."""
    if answer.reading in _STORED:
        warning = answer.text if answer.reading is AnswerReading.STORED_WITH_WARNING else None
        within = destination.time_to_commit
        by = now + within if within is not None else None
        deliveries.delivered(database, now, delivery.id, answer.code, warning, by)
        return
    if answer.reading is AnswerReading.UNKNOWN and answer.code is None:
        count = silences.unanswered(database, now, delivery)
        if count >= MOST_UNANSWERED:
            why = f"{answer.text}; {count} tries, and other objects were stored in between"
            deliveries.dead(database, now, delivery.id, why)
            return
    step = after(delivery.refusals, delivery.waited, answer, destination.retry, now)
    if isinstance(step, GiveUp):
        deliveries.dead(database, now, delivery.id, step.reason, answer.code)
        return
    deliveries.wait(
        database,
        now,
        delivery.id,
        step.at,
        answer.text,
        answer=answer.code,
        refused=answer.reading is AnswerReading.RETRY_FEW,
        rejected=is_rejection(answer),
    )


def item_of(delivery: Delivery) -> Item:
    """One delivery: an unexpected exception delays it in its own row, and makes it a dead letter in the end."""

    def put_off(database: Database, now: datetime, again: datetime, why: str) -> None:
        if deliveries.get(database, delivery.id).status in OPEN:
            # Counted like a refusal where it is an image: the results of the study do not wait for it.
            refused = delivery.is_image
            deliveries.wait(database, now, delivery.id, again, why, refused=refused, severity=Severity.INFO)

    def give_up(database: Database, now: datetime, why: str) -> None:
        if deliveries.get(database, delivery.id).status in OPEN:
            deliveries.dead(database, now, delivery.id, why)

    study, job = delivery.study_instance_uid, delivery.job
    return Item(f"delivery:{delivery.id}", study, job, delivery.id, put_off=put_off, give_up=give_up)


def is_rejection(answer: Answer) -> bool:
    """Whether a person has to act, because the destination does not authorise us."""
    return answer.reading is AnswerReading.RETRY_SLOWLY


def is_it_there(archive: Archive, delivery: Delivery, series_instance_uid: str, answer: Answer) -> Answer:
    """It says that it has this SOP instance already: accepted where it does hold it (case 66)."""
    try:
        there = archive.has_instance(delivery.study_instance_uid, series_instance_uid, delivery.item)
    except (TransientError, PermanentError) as error:
        return Answer(AnswerReading.UNKNOWN, f"{answer.text}; it could not be asked for: {error}", answer.code)
    if there:
        return Answer(AnswerReading.STORED_WITH_WARNING, answer.text, answer.code)
    return Answer(AnswerReading.RETRY_FEW, f"{answer.text}; but it does not hold it", answer.code)
