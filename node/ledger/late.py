"""Results that come too late by their rule's `expires`: withheld, or sent and told to a person.

A result is late when it is made, or when it has not reached its destination by then: both count from when the
images were complete. `then: notify` notifies of findings, and nothing else: nobody is called for a result that found
nothing. `notify: {on: late}` notifies of every result that is late, also of one that there is none of yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from node.clock import to_text
from node.ledger import deliveries, jobs, notices, notifications
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.job import Job, JobOutcome
from node.ledger.notifications import Occasion
from node.ledger.rows import query


def tell(database: Database, at: datetime, job: Job) -> int:
    """Tell of a result that came too late whom the rule names; how many were not told of it before."""
    told = notices.of_lateness(database, at, job)
    if job.terms.when_late != "notify" or job.outcome is not JobOutcome.FINDINGS:
        return told
    return told + notifications.enqueue(database, at, job, Occasion.LATE, job.terms.whom)


@dataclass(frozen=True, slots=True)
class ExpiredDelivery:
    """A delivery of a result that has become too late."""

    delivery: int
    job: str
    study_instance_uid: str


def settle(database: Database, at: datetime, destination: str, found: ExpiredDelivery) -> None:
    """It has become too late while it waited for a destination: withheld, or people are notified.

    What a person had sent again since then is left alone, and so is the rest of a set that is partly there.
    """
    job = jobs.get(database, found.job)
    reason = job.terms.withholds_now(at)
    if reason is None:
        tell(database, at, job)
    elif not _is_begun(database, job, destination):
        deliveries.withhold(database, at, found.delivery, reason)


def expired(database: Database, at: datetime, destination: str) -> list[ExpiredDelivery]:
    """What has become too late while it waits for a destination, oldest first."""
    rows = query(
        database,
        "SELECT deliveries.id AS delivery, jobs.id AS job, deliveries.study_instance_uid AS study_instance_uid"
        " FROM deliveries JOIN jobs ON jobs.id=deliveries.job"
        " JOIN studies ON studies.study_instance_uid=deliveries.study_instance_uid"
        " WHERE destination=? AND deliveries.status='waiting' AND studies.hold IS NULL"
        " AND deliveries.expires_at<=? AND deliveries.enqueued_at<deliveries.expires_at"
        " ORDER BY deliveries.id",
        [destination, to_text(at)],
    )
    return [ExpiredDelivery(**row) for row in rows]


def _may_be_there(delivery: Delivery) -> bool:
    """It was sent, or began to be sent and got no answer."""
    unanswered = delivery.attempts > 0 and delivery.answer is None
    return delivery.status in (DeliveryStatus.DELIVERED, DeliveryStatus.SENDING) or unanswered


def _is_begun(database: Database, job: Job, destination: str) -> bool:
    """Whether a part of it is there, or it replaces what is: a reader must not be left with half, or with the old."""
    replaced: Job | None = job
    while replaced is not None:
        sent = [each for each in deliveries.of_job(database, replaced.id) if each.destination == destination]
        if any(_may_be_there(each) for each in sent):
            return True
        replaced = jobs.get(database, replaced.supersedes) if replaced.supersedes else None
    return False
