"""What a person decides about a job, a delivery, a notification or a study: to have it done again, or not at all.

Each action is one transaction, but for the images of a study, which may be thousands. It names who decided it, and
returns what was done. What cannot be done raises a refusal that says why: NotFoundError, UsageError, PermanentError.
Every face says the same sentences.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from node.desk import answers, find
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome as ActionOutcome
from node.desk.rights import Right, require
from node.desk.words import short
from node.dimse.status import FailureReason
from node.errors import NotFoundError, PermanentError, UsageError
from node.ledger import (
    commit_batches,
    commitments,
    defects,
    deliveries,
    exchanges,
    fallbacks,
    forwards,
    hold_parts,
    identities,
    job_files,
    job_images,
    jobs,
    notices,
    notifications,
    outages,
    purges,
    recalls,
    selections,
    studies,
    study_ends,
    timers,
)
from node.ledger.database import Database, Ledger
from node.ledger.delivery import IN_TROUBLE, Delivery, DeliveryStatus
from node.ledger.due_times import MANY
from node.ledger.job import Job, JobStatus
from node.ledger.job_files import JobFiles
from node.ledger.notifications import Notification
from node.ledger.studies import Study, StudyStatus
from node.ledger.withdrawals import WithdrawalStatus
from node.wake import Stage


def retry(ledger: Ledger, what: str, at: datetime, by: Actor, *, take_newest: bool = False) -> ActionOutcome:
    """Have what is named done again, sent again, decided again, or released.

    `what` is what `find.item` takes, a storage commitment or a defect with its number (`find.COMMITMENT`,
    `find.DEFECT`), or the UID of a study. `take_newest` releases a study that was sent again under another patient or
    order, and uses what came last.
    """
    require(by, Right.ACT)
    if find.is_study(what):
        return _release_or_send(ledger, what, at, by, take_newest=take_newest, held_alone=False)
    with ledger.transaction() as database:
        return _retry(database, what, at, by, take_newest)


def release(ledger: Ledger, name: str, at: datetime, by: Actor, *, take_newest: bool = False) -> ActionOutcome:
    """Let a held study (`find.study`) go on, as `retry` does of its UID; NotFoundError where it is not held."""
    require(by, Right.ACT)
    return _release_or_send(ledger, name, at, by, take_newest=take_newest, held_alone=True)


def _release_or_send(
    ledger: Ledger, name: str, at: datetime, by: Actor, *, take_newest: bool, held_alone: bool
) -> ActionOutcome:
    with ledger.reading() as database:
        study = find.study(database, name)
        is_open = exchanges.is_open(database, study.study_instance_uid)
    uid = study.study_instance_uid
    for number in hold_parts.waiting(ledger.database, uid):
        with ledger.transaction() as database:
            hold_parts.apply(database, number)  # what is released has to be held first
    if study.hold is not None and (take_newest or is_open):
        return _take_newest(ledger, study, study.hold, at, by)
    with ledger.transaction() as database:
        study = find.study(database, uid)
        if study.hold is not None:
            outcome = _release(database, study, study.hold, at, by)
        elif held_alone or take_newest:
            raise NotFoundError(f"study {uid} is not held; name the job or the delivery to retry")
        else:
            outcome = _send_on(database, study, at, by)
    _in_parts(ledger, outcome, lambda database: forwards.again_some(database, at, uid))
    for batch in commit_batches.in_trouble(ledger.database, uid):
        with ledger.transaction() as database:
            commit_batches.ask_again(database, at, batch.id, str(by))
    return outcome


def _retry(database: Database, what: str, at: datetime, by: Actor, take_newest: bool) -> ActionOutcome:
    if take_newest:
        raise UsageError("--take-newest is for a held study: name its UID")
    if what.startswith(find.COMMITMENT):
        return _commit_again(database, what.removeprefix(find.COMMITMENT), at, by)
    if what.startswith(find.DEFECT):
        return _handle_again(database, what.removeprefix(find.DEFECT), at, by)
    return again(database, find.item(database, what), at, by)


def again(database: Database, found: Job | Delivery | Notification, at: datetime, by: Actor) -> ActionOutcome:
    """Have one done again or sent now, in the transaction of the caller; PermanentError where it cannot be."""
    require(by, Right.ACT)
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


def complete(ledger: Ledger, name: str, at: datetime, by: Actor, rule: str | None = None) -> ActionOutcome:
    """Have the study that `name` names (`find.study`) completed now, with what has come; the rules then decide.

    Neither its quiet period nor an open association is waited for. Where it is complete and rules wait for more of it,
    their waits (that of `rule` alone, where it is named) end. PermanentError where it is complete and none waits.
    """
    require(by, Right.ACT)
    with ledger.reading() as database:
        found = find.study(database, name)
        waits = found.status is StudyStatus.COMPLETE and timers.waiting(database, found.study_instance_uid)
    if rule or waits:
        return answers.end_waits(ledger, name, rule, at, by)
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

    For a study, nobody waits any more for a storage commitment to it that is refused or overdue, either.
    With `find.WITHDRAWAL` before the name of a study: what is listed for withdrawal may stay. With `conflict:` or
    `unreadable:`: what is set aside of it stays so.
    """
    require(by, Right.ACT)
    reason = _reason(by)
    if what.startswith(find.WITHDRAWAL):
        answers.list_all(ledger, what)
    with ledger.transaction() as database:
        outcome = _cancel(database, what, at, reason, by)
    if what.startswith(find.WITHDRAWAL):
        answers.end_others(ledger, outcome, at, by)
    if find.is_study(what) and "images" in outcome.value:
        study = outcome.value["study_instance_uid"]
        _in_parts(ledger, outcome, lambda database: forwards.cancel_some(database, study, reason))
        for batch in commit_batches.in_trouble(ledger.database, study):
            with ledger.transaction() as database:
                commit_batches.drop(database, at, batch.id, str(by))
    return outcome


def _cancel(database: Database, what: str, at: datetime, reason: str, by: Actor) -> ActionOutcome:
    if what.startswith(find.WITHDRAWAL):
        study = find.study(database, what.removeprefix(find.WITHDRAWAL))
        return answers.withdrawn(database, study, WithdrawalStatus.DISMISSED, at, by)
    if what.startswith(find.RECALL):
        return answers.recalled(database, what, WithdrawalStatus.DISMISSED, at, by)
    if answers.is_dismissable(what):
        return answers.dismiss(database, what, at, by)
    if find.is_study(what):
        return _keep_images(database, find.study(database, what), at, reason, by)
    return stop(database, find.item(database, what), at, by)


def stop(database: Database, found: Job | Delivery | Notification, at: datetime, by: Actor) -> ActionOutcome:
    """Stop one, in the transaction of the caller; PermanentError where it is over."""
    require(by, Right.ACT)
    reason = _reason(by)
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


def _reason(by: Actor) -> str:
    return f"cancelled by {by.name}"


def _keep_images(database: Database, study: Study, at: datetime, reason: str, by: Actor) -> ActionOutcome:
    uid = study.study_instance_uid
    count = forwards.cancel(database, at, uid, reason, str(by))
    refusing = sorted({each.destination for each in commit_batches.in_trouble(database, uid)})
    if not count and not refusing:
        raise NotFoundError(f"no image of study {uid} waits to be forwarded")
    value = {"study_instance_uid": uid, "status": "cancelled", "images": count}
    sentences = [f"{count} images of study {uid} are not forwarded"] if count or not refusing else []
    sentences += [
        f"nobody waits any more for the commitment of {name} to what it has of study {uid}" for name in refusing
    ]
    return ActionOutcome("\n".join(sentences), value | ({"not_committed": refusing} if refusing else {}))


def _run_again(database: Database, job: Job, at: datetime, by: Actor) -> ActionOutcome:
    if not selections.is_of_images_that_count(database, job.id):
        raise PermanentError(
            f"job {short(job.id)} cannot be done again: its images were rejected or corrected since; "
            "the rules have decided again on the images that count"
        )
    new = jobs.again(database, at, job.id, str(by))
    sentence = f"job {short(job.id)} is done again as job {short(new.id)} (round {new.round})"
    if job_images.concerned(database, new.id) and job_images.look(database, new).missing:
        sentence += "\nimages of it were deleted by retention: it waits for an archive to send them, or ends as not run"
    return ActionOutcome(sentence, {"job": new.id, "supersedes": job.id, "round": new.round, "status": new.status})


def _notify_again(database: Database, notification: Notification, at: datetime, by: Actor) -> ActionOutcome:
    notifications.again(database, at, notification.id, str(by))
    defects.forget(database, f"{find.NOTIFICATION}{notification.id}")
    sentence = f"notification {notification.id} to {notification.person} is sent now"
    return ActionOutcome(sentence, {"notification": notification.id, "status": "waiting"})


def _send_again(database: Database, delivery: Delivery, at: datetime, by: Actor) -> ActionOutcome:
    if delivery.job and job_files.state(database, delivery.job) is not JobFiles.HERE:
        raise PermanentError(
            f"delivery {delivery.id} cannot be sent again: retention deleted the files of its job; "
            f"pacsnode retry {short(delivery.job)} has the result made again"
        )
    if delivery.job and (recall := recalls.of_job(database, delivery.job)) is not None:
        raise PermanentError(
            f"delivery {delivery.id} is not sent: {recall.sentence}; "
            f"pacsnode plugin reinstate {recall.plugin} {recall.version} takes that back"
        )
    if delivery.is_image and purges.is_going(database, delivery.study_instance_uid, delivery.receipt or ""):
        raise PermanentError(
            f"delivery {delivery.id} cannot be sent again: retention is deleting the images of its study"
        )
    identities.forget(database, delivery.study_instance_uid, delivery.destination)
    last = fallbacks.newest(database, delivery)
    batch = commit_batches.batch_of(database, last.id)
    if last.commitment in IN_TROUBLE and batch is not None:
        return _ask_for_commitment(database, last, batch, at, by)
    if last != delivery and last.status is DeliveryStatus.DELIVERED:
        raise PermanentError(
            f"{_in_place_of(delivery, last)}which was delivered: the report would be there twice; "
            f"pacsnode retry {short(delivery.job or '')} makes the result again, in the class that is configured now"
        )
    again = deliveries.again(database, at, last.id, str(by))
    outages.try_now(database, at, again.destination, str(by))
    defects.forget(database, f"{find.DELIVERY}{last.id}")
    sentence = f"{_in_place_of(delivery, last)}delivery {again.id} to {again.destination} waits to be sent now"
    return ActionOutcome(sentence, {"delivery": again.id, "destination": again.destination, "status": again.status})


def _ask_for_commitment(database: Database, delivery: Delivery, batch: int, at: datetime, by: Actor) -> ActionOutcome:
    """It was delivered, and its destination has not committed itself to it."""
    left = commit_batches.ask_again(database, at, batch, str(by))
    defects.forget(database, f"commit-batch:{batch}")
    sentence = f"{delivery.destination} is asked again now for its commitment to {left} instances of the study"
    value = {"delivery": delivery.id, "destination": delivery.destination, "status": delivery.status}
    return ActionOutcome(sentence, {**value, "instances": left})


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
        sentence += f"\nits study stays held; release it when that is done: pacsnode release {study.study_instance_uid}"
    return ActionOutcome(sentence, {"defect": found.id, "stage": found.stage, "item": found.item})


def _release(database: Database, study: Study, hold: str, at: datetime, by: Actor) -> ActionOutcome:
    uid = study.study_instance_uid
    if exchanges.is_open(database, uid):
        raise PermanentError(f"somebody has just begun to take what came last of study {uid}")
    studies.unhold(database, at, uid, str(by))
    return _released(database, uid, hold, forwards.again(database, at, uid, str(by)))


def _released(database: Database, uid: str, hold: str, images: int = 0) -> ActionOutcome:
    stopped = [job.id for job in jobs.of_study(database, uid) if job.status is JobStatus.CANCELLED]
    sentence = f"study {uid} is released; it was held because: {hold}"
    if stopped:
        sentence += f"\njobs that were cancelled are done again by pacsnode retry: {', '.join(map(short, stopped))}"
    if images:
        sentence += f"\n{images} images that were held wait to be forwarded now"
    value = {"study_instance_uid": uid, "status": "released", "cancelled_jobs": stopped, "images": images}
    return ActionOutcome(sentence, value)


def can_take_newest(database: Database, uid: str) -> bool:
    """Whether all of the study was sent again, for one patient and order."""
    from node.index import corrections  # as below

    return corrections.can_take_newest(database, uid)


def _take_newest(ledger: Ledger, study: Study, hold: str, at: datetime, by: Actor) -> ActionOutcome:
    """It stays held until all were taken; cut short, the node, or the same command again, takes the others."""
    from node.index import corrections  # with the library that reads DICOM, which no other action needs

    uid = study.study_instance_uid
    releases = f"{by.name} took the corrected instances"
    if not corrections.take_newest(ledger, at, uid, str(by), releases=releases):
        raise PermanentError("not every instance of the study was sent again: taking the newer would mix two patients")
    with ledger.reading() as database:
        if find.study(database, uid).hold is not None:
            raise PermanentError(
                f"what was sent again of study {uid} counts now, but it was sent once more meanwhile: it stays held"
            )
        return _released(database, uid, hold)


def _send_on(database: Database, study: Study, at: datetime, by: Actor) -> ActionOutcome:
    """Its held and dead images; NotFoundError where there is none."""
    uid = study.study_instance_uid
    images = forwards.again(database, at, uid, str(by))
    for destination in {each.destination for each in forwards.of_study(database, uid)} if images else ():
        outages.try_now(database, at, destination, str(by))
    defects.study_changed(database, uid, Stage.DELIVER)
    asked = sorted({each.destination for each in commit_batches.in_trouble(database, uid)})
    if not images and not asked:
        raise NotFoundError(f"study {uid} is not held, nor any image of it; name the job or the delivery to retry")
    sentences = [f"{images} images of study {uid} wait to be forwarded now"] if images or not asked else []
    sentences += [f"{name} is asked again now for its commitment to what it has of study {uid}" for name in asked]
    value = {"study_instance_uid": uid, "images": images}
    return ActionOutcome("\n".join(sentences), value | ({"asked_to_commit": asked} if asked else {}))
