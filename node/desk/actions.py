"""What a person decides about a job, a delivery, a notification or a study: to have it done again, or not at all.

Each action is one transaction, but for the images of a study, which may be thousands. It names who decided it, and
returns what was done. What cannot be done raises a refusal that says why: NotFoundError, UsageError, PermanentError.
Every face says the same sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.desk import find
from node.desk.actor import Actor
from node.desk.words import short
from node.dimse.status import FailureReason
from node.errors import NotFoundError, PermanentError, UsageError
from node.ledger import (
    commitments,
    defects,
    deliveries,
    fallbacks,
    forwards,
    identities,
    jobs,
    notices,
    notifications,
    studies,
    study_ends,
    withdrawals,
)
from node.ledger.database import Database, Ledger
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.due_times import MANY
from node.ledger.job import Job, JobStatus
from node.ledger.notifications import Notification
from node.ledger.studies import Study
from node.wake import Stage


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """What an action did."""

    sentence: str
    """For people; may have several lines."""
    value: Mapping[str, Any]
    """The same for scripts."""


def retry(ledger: Ledger, what: str, at: datetime, by: Actor, *, take_newest: bool = False) -> ActionOutcome:
    """Have what is named done again, sent again, decided again, or released.

    `what` is what `find.item` takes, a storage commitment or a defect with its number (`find.COMMITMENT`,
    `find.DEFECT`), or the UID of a study. `take_newest` releases a study that was sent again under another patient or
    order, and uses what came last.
    """
    with ledger.transaction() as database:
        outcome = _retry(database, what, at, by, take_newest)
    if find.is_study(what):
        study = outcome.value["study_instance_uid"]
        _in_parts(ledger, outcome, lambda database: forwards.again_some(database, at, study))
    return outcome


def _retry(database: Database, what: str, at: datetime, by: Actor, take_newest: bool) -> ActionOutcome:
    if find.is_study(what):
        return _release(database, find.study(database, what), at, by, take_newest)
    if take_newest:
        raise UsageError("--take-newest is for a held study: name its UID")
    if what.startswith(find.COMMITMENT):
        return _commit_again(database, what.removeprefix(find.COMMITMENT), at, by)
    if what.startswith(find.DEFECT):
        return _handle_again(database, what.removeprefix(find.DEFECT), at, by)
    found = find.item(database, what)
    if isinstance(found, Job):
        return _run_again(database, found, at, by)
    if isinstance(found, Notification):
        return _notify_again(database, found, at, by)
    return _send_again(database, found, at, by)


def _in_parts(ledger: Ledger, outcome: ActionOutcome, change: Callable[[Database], None]) -> None:
    """The study's other images, behind those that the action itself has changed: the node wants to write meanwhile.

    Where that is cut short, they are as they were, and the same command changes them.
    """
    for _ in range(MANY, outcome.value.get("images", 0), MANY):
        with ledger.transaction() as database:
            change(database)


def complete(ledger: Ledger, name: str, at: datetime, by: Actor) -> ActionOutcome:
    """Have the study that `name` names (`find.study`) completed now, with what has come; the rules then decide.

    Neither its quiet period nor an open association is waited for. PermanentError where it is complete.
    """
    with ledger.transaction() as database:
        study = find.study(database, name)
        uid = study.study_instance_uid
        study_ends.ask(database, at, study, str(by))
        images = sum(series.instances for series in studies.series_of(database, uid))
    sentence = (
        f"study {uid} is completed now with the {images} instances that have come; later ones make a new revision"
    )
    return ActionOutcome(sentence, {"study_instance_uid": uid, "status": "to be completed", "instances": images})


def cancel(ledger: Ledger, what: str, at: datetime, by: Actor) -> ActionOutcome:
    """Stop a job that was not reported, a delivery or notification that was not sent, or the images of a study.

    With `find.WITHDRAWAL` before the name of a study: what is listed for withdrawal has been seen to.
    """
    reason = f"cancelled by {by.name}"
    with ledger.transaction() as database:
        outcome = _cancel(database, what, at, reason, by)
    if find.is_study(what):
        study = outcome.value["study_instance_uid"]
        _in_parts(ledger, outcome, lambda database: forwards.cancel_some(database, study, reason))
    return outcome


def _cancel(database: Database, what: str, at: datetime, reason: str, by: Actor) -> ActionOutcome:
    if what.startswith(find.WITHDRAWAL):
        return _seen_to(database, find.study(database, what.removeprefix(find.WITHDRAWAL)), at, by)
    if find.is_study(what):
        return _keep_images(database, find.study(database, what), at, reason, by)
    found = find.item(database, what)
    if isinstance(found, Job):
        jobs.cancel(database, at, found.id, reason, str(by))
        notices.withdraw(database, at, [found], reason)
        return ActionOutcome(f"job {short(found.id)} is cancelled", {"job": found.id, "status": "cancelled"})
    if isinstance(found, Notification):
        notifications.cancel(database, at, found.id, reason, str(by))
        value = {"notification": found.id, "status": "cancelled"}
        return ActionOutcome(f"notification {found.id} is cancelled", value)
    last = fallbacks.newest(database, found)
    deliveries.stop(database, at, last.id, DeliveryStatus.CANCELLED, reason, str(by))
    sentence = f"{_in_place_of(found, last)}delivery {last.id} is cancelled"
    return ActionOutcome(sentence, {"delivery": last.id, "status": "cancelled"})


def _seen_to(database: Database, study: Study, at: datetime, by: Actor) -> ActionOutcome:
    """What is listed for withdrawal was taken out at the destinations, or may stay."""
    uid = study.study_instance_uid
    count = withdrawals.dismiss(database, at, uid, str(by))
    if not count:
        raise NotFoundError(f"nothing of study {uid} is listed for withdrawal")
    value = {"study_instance_uid": uid, "status": "dismissed", "objects": count}
    return ActionOutcome(f"{count} objects of study {uid} are no longer listed for withdrawal", value)


def _keep_images(database: Database, study: Study, at: datetime, reason: str, by: Actor) -> ActionOutcome:
    uid = study.study_instance_uid
    count = forwards.cancel(database, at, uid, reason, str(by))
    if not count:
        raise NotFoundError(f"no image of study {uid} waits to be forwarded")
    value = {"study_instance_uid": uid, "status": "cancelled", "images": count}
    return ActionOutcome(f"{count} images of study {uid} are not forwarded", value)


def _run_again(database: Database, job: Job, at: datetime, by: Actor) -> ActionOutcome:
    new = jobs.again(database, at, job.id, str(by))
    sentence = f"job {short(job.id)} is done again as job {short(new.id)} (round {new.round})"
    return ActionOutcome(sentence, {"job": new.id, "supersedes": job.id, "round": new.round, "status": new.status})


def _notify_again(database: Database, notification: Notification, at: datetime, by: Actor) -> ActionOutcome:
    notifications.again(database, at, notification.id, str(by))
    defects.forget(database, f"{find.NOTIFICATION}{notification.id}")
    sentence = f"notification {notification.id} to {notification.person} is sent now"
    return ActionOutcome(sentence, {"notification": notification.id, "status": "waiting"})


def _send_again(database: Database, delivery: Delivery, at: datetime, by: Actor) -> ActionOutcome:
    identities.forget(database, delivery.study_instance_uid, delivery.destination)
    last = fallbacks.newest(database, delivery)
    if last != delivery and last.status is DeliveryStatus.DELIVERED:
        raise PermanentError(
            f"{_in_place_of(delivery, last)}which was delivered: the report would be there twice; "
            f"pacsnode retry {short(delivery.job or '')} makes the result again, in the class that is configured now"
        )
    again = deliveries.again(database, at, last.id, str(by))
    defects.forget(database, f"{find.DELIVERY}{last.id}")
    sentence = f"{_in_place_of(delivery, last)}delivery {again.id} to {again.destination} waits to be sent now"
    return ActionOutcome(sentence, {"delivery": again.id, "destination": again.destination, "status": again.status})


def _in_place_of(asked: Delivery, last: Delivery) -> str:
    """Says so where another delivery is meant than the one that was named."""
    return "" if last == asked else f"delivery {asked.id} was replaced by delivery {last.id}: "


def _commit_again(database: Database, number: str, at: datetime, by: Actor) -> ActionOutcome:
    if not find.is_number(number):
        raise UsageError(f'"{number}" is not the number of a storage commitment, as `status` and `study` show it')
    again = commitments.again(database, at, int(number), str(by), keep=FailureReason.DUPLICATE_TRANSACTION)
    defects.forget(database, f"{find.COMMITMENT}{again.id}")
    sentence = f"storage commitment {again.id} is decided again and reported to {again.requester}"
    return ActionOutcome(sentence, {"commitment": again.id, "requester": again.requester, "status": again.status})


def _handle_again(database: Database, number: str, at: datetime, by: Actor) -> ActionOutcome:
    if not find.is_number(number):
        raise UsageError(f'"{number}" is not the number of a defect, as `status` shows it')
    found = defects.again(database, at, int(number), str(by))
    sentence = f"{found.stage} tries {found.item} again now"
    study = studies.get(database, found.study_instance_uid) if found.study_instance_uid else None
    if study is not None and study.hold is not None:
        sentence += f"\nits study stays held; release it when that is done: pacsnode retry {study.study_instance_uid}"
    return ActionOutcome(sentence, {"defect": found.id, "stage": found.stage, "item": found.item})


def _release(database: Database, study: Study, at: datetime, by: Actor, newest: bool) -> ActionOutcome:
    uid = study.study_instance_uid
    if study.hold is None and not newest:
        return _send_on(database, study, at, by)
    if study.hold is None:
        raise NotFoundError(f"study {uid} is not held; name the job or the delivery to retry")
    if newest:
        _take_newest(database, uid, at, by)
    studies.unhold(database, at, uid, str(by))
    images = 0 if newest else forwards.again(database, at, uid, str(by))  # the newest are decided on
    stopped = [job.id for job in jobs.of_study(database, uid) if job.status is JobStatus.CANCELLED]
    sentence = f"study {uid} is released; it was held because: {study.hold}"
    if stopped:
        sentence += f"\njobs that were cancelled are done again by pacsnode retry: {', '.join(map(short, stopped))}"
    if images:
        sentence += f"\n{images} images that were held wait to be forwarded now"
    value = {"study_instance_uid": uid, "status": "released", "cancelled_jobs": stopped, "images": images}
    return ActionOutcome(sentence, value)


def _take_newest(database: Database, uid: str, at: datetime, by: Actor) -> None:
    from node.index import corrections  # with the library that reads DICOM, which no other action needs

    if not corrections.take_newest(database, at, uid, str(by)):
        raise PermanentError("not every instance of the study was sent again: taking the newer would mix two patients")
    studies.reopened(database, at, uid, at, f"{by.name} took the corrected instances", str(by))


def _send_on(database: Database, study: Study, at: datetime, by: Actor) -> ActionOutcome:
    """Its held and dead images; NotFoundError where there is none."""
    uid = study.study_instance_uid
    images = forwards.again(database, at, uid, str(by))
    defects.study_changed(database, uid, Stage.DELIVER)
    if not images:
        raise NotFoundError(f"study {uid} is not held, nor any image of it; name the job or the delivery to retry")
    return ActionOutcome(
        f"{images} images of study {uid} wait to be forwarded now", {"study_instance_uid": uid, "images": images}
    )
