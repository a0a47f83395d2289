"""What a person can do about one study now, each with what it will do, and doing it.

Only what the states of its rows allow is offered. What is dangerous is asked about once more (`is_serious`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.desk import actions, answers, find
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.desk.story import current_jobs, last_decisions
from node.desk.study import StudyHistory
from node.desk.words import short
from node.errors import NotFoundError
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.delivery import IN_TROUBLE, DeliveryStatus
from node.ledger.identities import IdentityStatus
from node.ledger.job import OPEN, JobStatus
from node.ledger.notifications import NotificationStatus
from node.ledger.studies import StudyStatus


class StudyActionKind(StrEnum):
    """What is done."""

    COMPLETE = "complete"
    RELEASE = "release"
    TAKE_NEWEST = "take-newest"
    RETRY = "retry"
    CANCEL = "cancel"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True)
class StudyAction:
    """One thing that can be done now."""

    kind: StudyActionKind
    what: str
    """What it is done to: a job, `delivery:NUMBER`, `notification:NUMBER`, a destination; empty for the study."""
    label: str
    effect: str
    """What it will do, in words."""
    is_serious: bool = False
    """It is asked about once more."""


def offered(database: Database, found: StudyHistory) -> list[StudyAction]:
    """All that the states of its rows allow now."""
    return [
        *_of_study(database, found),
        *_of_jobs(found),
        *_of_deliveries(found),
        *_of_notifications(found),
        *_of_images(found),
        *_of_identities(database, found),
    ]


def for_one(actions_: Sequence[StudyAction], what: str) -> list[StudyAction]:
    """Those that are done to this."""
    return [each for each in actions_ if each.what == what]


def _of_study(database: Database, found: StudyHistory) -> Iterator[StudyAction]:
    study = found.study
    if study.status is StudyStatus.RECEIVING and not found.ended:
        effect = "what has come is all there is: the study completes now, and the rules decide"
        yield StudyAction(StudyActionKind.COMPLETE, "", "Complete now", effect)
    elif any(each.outcome is DecisionOutcome.WAITING for each in last_decisions(found)) and not study.hold:
        effect = "nothing more of the study is waited for: its rules decide as at their deadlines"
        yield StudyAction(StudyActionKind.COMPLETE, "", "End the wait", effect)
    if study.hold:
        effect = "the study goes on as it was first received; its cancelled jobs run again by their own button"
        yield StudyAction(StudyActionKind.RELEASE, "", "Release the study", effect, is_serious=True)
        if actions.can_take_newest(database, study.study_instance_uid):
            effect = "the images that came last, under another patient or order, count; the rules decide again"
            yield StudyAction(StudyActionKind.TAKE_NEWEST, "", "Release with what came last", effect, is_serious=True)


def _of_jobs(found: StudyHistory) -> Iterator[StudyAction]:
    current = {each.id for each in current_jobs(found)}
    for job in found.jobs:
        if job.status in OPEN:
            effect = f"{job.plugin} is stopped; no result of this job is made or sent"
            yield StudyAction(StudyActionKind.CANCEL, job.id, "Cancel the job", effect, is_serious=True)
        elif job.id in current:
            done = job.status is JobStatus.REPORTED and job.outcome != "failed"
            effect = f"{job.plugin} runs again on the same images"
            effect += "; what it then says replaces the result that destinations have" if done else ""
            yield StudyAction(StudyActionKind.RETRY, job.id, "Run again", effect, is_serious=done)


_SENDABLE = (
    DeliveryStatus.HELD,
    DeliveryStatus.DEAD,
    DeliveryStatus.CANCELLED,
    DeliveryStatus.WITHHELD,
    DeliveryStatus.WAITING,
)
_STOPPABLE = (DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DEAD, DeliveryStatus.WITHHELD)


def _of_deliveries(found: StudyHistory) -> Iterator[StudyAction]:
    for each in found.deliveries:
        name = f"{find.DELIVERY}{each.id}"
        if each.status in _SENDABLE:
            label = "Try now" if each.status is DeliveryStatus.WAITING else "Send again"
            effect = f"the object is sent to {each.destination} now"
            serious = each.status in (DeliveryStatus.WITHHELD, DeliveryStatus.CANCELLED)
            yield StudyAction(StudyActionKind.RETRY, name, label, effect, is_serious=serious)
        elif each.status is DeliveryStatus.DELIVERED and each.commitment in IN_TROUBLE:
            effect = f"{each.destination} is asked again whether it keeps what it got"
            yield StudyAction(StudyActionKind.RETRY, name, "Ask again", effect)
        if each.status in _STOPPABLE:
            effect = f"{each.destination} does not get this object"
            yield StudyAction(StudyActionKind.CANCEL, name, "Cancel", effect, is_serious=True)


def _of_notifications(found: StudyHistory) -> Iterator[StudyAction]:
    for each in found.notifications:
        name = f"{find.NOTIFICATION}{each.id}"
        if each.status is NotificationStatus.DEAD:
            yield StudyAction(StudyActionKind.RETRY, name, "Send again", f"{each.person} is notified now")
        if each.status in (NotificationStatus.DEAD, NotificationStatus.WAITING):
            effect = f"{each.person} is not notified of this"
            yield StudyAction(StudyActionKind.CANCEL, name, "Cancel", effect, is_serious=True)


def _of_images(found: StudyHistory) -> Iterator[StudyAction]:
    statuses = {each.status for each in found.images}
    uid = found.study.study_instance_uid
    if statuses & {DeliveryStatus.HELD, DeliveryStatus.DEAD} and not found.study.hold:
        yield StudyAction(StudyActionKind.RETRY, uid, "Forward again", "held and dead images are sent now")
    if statuses & {DeliveryStatus.HELD, DeliveryStatus.DEAD, DeliveryStatus.WAITING}:
        effect = "images that have not arrived are not forwarded any more"
        yield StudyAction(StudyActionKind.CANCEL, uid, "Do not forward", effect, is_serious=True)


def _of_identities(database: Database, found: StudyHistory) -> Iterator[StudyAction]:
    uid = found.study.study_instance_uid
    for each in found.identities:
        if each.status is IdentityStatus.DIFFERS and answers.can_adopt(database, uid, each.destination):
            effect = (
                f"the results are made again for {each.destination} under the patient and order that it has "
                f"({each.detail}); what it has already is listed for withdrawal"
            )
            yield StudyAction(
                StudyActionKind.ADOPT, each.destination, f"Adopt what {each.destination} has", effect, is_serious=True
            )


_DO: Mapping[StudyActionKind, Callable[[Ledger, str, str, datetime, Actor], ActionOutcome]] = {
    StudyActionKind.COMPLETE: lambda ledger, uid, _, at, by: actions.complete(ledger, uid, at, by),
    StudyActionKind.RELEASE: lambda ledger, uid, _, at, by: actions.release(ledger, uid, at, by),
    StudyActionKind.TAKE_NEWEST: lambda ledger, uid, _, at, by: actions.release(ledger, uid, at, by, take_newest=True),
    StudyActionKind.RETRY: lambda ledger, _, what, at, by: actions.retry(ledger, what, at, by),
    StudyActionKind.CANCEL: lambda ledger, _, what, at, by: actions.cancel(ledger, what, at, by),
    StudyActionKind.ADOPT: answers.adopt,
}


def named(found: Sequence[StudyAction], kind: str, what: str) -> StudyAction:
    """The one of these that a person asked for; NotFoundError where it is not, or no longer, among them."""
    for each in found:
        if (each.kind, each.what) == (kind, what):
            return each
    item = f" {short(what)}" if what else ""
    raise NotFoundError(f'"{kind}{item}" cannot be done with this study, or not any more: look at its page again')


def carry_out(ledger: Ledger, study: str, action: StudyAction, at: datetime, by: Actor) -> ActionOutcome:
    """Do it; whatever the desk's actions raise."""
    require(by, Right.ACT)
    return _DO[action.kind](ledger, study, action.what, at, by)
