"""The outbox: one row per item and destination, from enqueued to accepted.

It holds results and received images side by side; both go through the same states. A study has thousands
of images: what is done with many of them at once is `node.ledger.forwards`, and of each one alone no event
is written but of what a person should know, once for each reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, due_times, events, hold_parts, said, tallies
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryCommitment, DeliveryKind, DeliveryStatus
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.job import URGENT
from node.ledger.rows import Table, moment, one, query
from node.ledger.unreadable import readable

_PRIORITY = (
    "coalesce((SELECT max(priority, CASE WHEN EXISTS (SELECT 1 FROM json_each(found, '$.findings')"  # noqa: S608 - a number of ours
    f" WHERE json_extract(value, '$.present') AND json_extract(value, '$.urgent')) THEN {URGENT} ELSE 0 END)"
    " FROM jobs WHERE id=:job), 0)"
)
"""That of the rule; a finding that is urgent makes the result so."""
_ENQUEUE = (
    "INSERT OR IGNORE INTO deliveries (kind, item, sop_class_uid, study_instance_uid, job, file, destination, status,"  # noqa: S608 - our own text
    " hold, attempts, refusals, priority, not_before, put_off_at, enqueued_at, expires_at) VALUES ('object', :item,"
    f" :sop_class_uid, :study, :job, :file, :destination, :status, :withheld, 0, 0, {_PRIORITY}, :at, :at, :at,"
    " (SELECT json_extract(terms, '$.expires_at') FROM jobs WHERE id=:job))"
)


def enqueue(
    database: Database,
    at: datetime,
    *,
    sop_instance_uid: str,
    sop_class_uid: str,
    study: str,
    job: str | None,
    file: str,
    destination: str,
    withheld: str | None = None,
) -> int:
    """Into the outbox, once: an instance goes to a destination once, however often it is asked for.

    `withheld`: why it is not sent, where it is not. Returns the delivery's id.
    """
    row = {
        "item": sop_instance_uid,
        "sop_class_uid": sop_class_uid,
        "study": study,
        "job": job,
        "file": file,
        "destination": destination,
        "status": DeliveryStatus.WITHHELD if withheld else DeliveryStatus.WAITING,
        "withheld": withheld,
        "at": to_text(at),
    }
    fresh = bool(database.execute(_ENQUEUE, row).rowcount)
    found = of_item(database, sop_instance_uid, destination)
    assert found is not None, sop_instance_uid
    if fresh:
        kind = EventKind.DELIVERY_WITHHELD if withheld else EventKind.DELIVERY_ENQUEUED
        _record(database, at, kind, found, destination=destination, sop_instance_uid=found.item, reason=withheld)
    return found.id


_STOPPED = {
    DeliveryStatus.CANCELLED: EventKind.DELIVERY_CANCELLED,
    DeliveryStatus.SUPERSEDED: EventKind.DELIVERY_SUPERSEDED,
}
AFRESH = (
    "refusals=0, unanswered=0, unanswered_at=NULL, waited=0, commitment='none', commit_by=NULL, commit_batch=NULL,"
    " commit_failure=NULL, committed_at=NULL, enqueued_at=?, not_before=?, put_off_at=?"
)
"""What a row says that is as if it had just been enqueued; its values are those of `since`."""


def since(at: datetime, start: datetime | None = None) -> tuple[str, str, str]:
    """The values of `AFRESH`: enqueued at `at`, to be sent from `start` on, where that is later."""
    return to_text(start or at), to_text(start or at), to_text(at)


def sending(database: Database, at: datetime, delivery_id: int) -> Delivery:
    """It begins to be sent; the attempt is counted now."""
    delivery = transition(database, delivery_id, (DeliveryStatus.WAITING,), DeliveryStatus.SENDING)
    database.execute("UPDATE deliveries SET attempts=attempts+1 WHERE id=?", [delivery_id])
    if not delivery.is_image:
        number, to = delivery.attempts + 1, delivery.destination
        _record(database, at, EventKind.DELIVERY_SENDING, delivery, attempt=number, destination=to)
    return get(database, delivery_id)


def delivered(
    database: Database,
    at: datetime,
    delivery_id: int,
    answer: str | None,
    warning: str | None = None,
    commit_by: datetime | None = None,
) -> None:
    """The destination has it; a warning that means "stored" is kept.

    `commit_by`: until when it should commit itself to it, where it is to be asked (`node.ledger.commit_batches`).
    """
    delivery = transition(database, delivery_id, (DeliveryStatus.SENDING,), DeliveryStatus.DELIVERED)
    if delivery.hold:
        _raise(database, at, AlertKind.DELIVERY_DELIVERED_THOUGH_HELD, delivery, reason=delivery.hold)
    database.execute(
        "UPDATE deliveries SET answer=?, error=?, sent_at=?, commitment=?, commit_by=? WHERE id=?",
        [answer, warning, to_text(at), *_to_commit(commit_by), delivery_id],
    )
    kind = EventKind.DELIVERY_DELIVERED
    if delivery.is_image and (not warning or not _is_new(database, delivery, kind, warning)):
        return
    _record(
        database,
        at,
        kind,
        delivery,
        severity=Severity.WARNING if warning else Severity.INFO,
        destination=delivery.destination,
        answer=answer,
        warning=warning,
    )


def _to_commit(by: datetime | None) -> tuple[DeliveryCommitment, str | None]:
    return (DeliveryCommitment.NONE, None) if by is None else (DeliveryCommitment.WANTED, to_text(by))


def wait(
    database: Database,
    at: datetime,
    delivery_id: int,
    not_before: datetime,
    error: str,
    *,
    answer: str | None = None,
    refused: bool = False,
    severity: Severity = Severity.WARNING,
    rejected: bool = False,
) -> None:
    """Not now: again at `not_before`; recorded once for each reason, however often it waits for that.

    The pause until then counts as its age. `rejected`: the destination does not accept associations from us, which is
    an alert. One that was held while it was being sent becomes `HELD`.
    """
    allowed = (DeliveryStatus.SENDING, DeliveryStatus.WAITING)
    held = get(database, delivery_id).hold is not None
    delivery = transition(database, delivery_id, allowed, DeliveryStatus.HELD if held else DeliveryStatus.WAITING)
    database.execute(
        f"UPDATE deliveries SET {due_times.PUT_OFF}, error=?, answer=?, refusals=refusals+? WHERE id=?",  # noqa: S608 - our own text
        [*due_times.until(at, not_before), error, answer, int(refused), delivery_id],
    )
    if rejected:
        alerts.met(database, at, AlertKind.DELIVERY_WAITS, delivery.destination, error=error)
    if not _is_new(database, delivery, EventKind.DELIVERY_WAITS, error):
        return
    _record(
        database,
        at,
        EventKind.DELIVERY_WAITS,
        delivery,
        severity,
        destination=delivery.destination,
        error=error,
        not_before=to_text(not_before),
    )


def dead(database: Database, at: datetime, delivery_id: int, error: str, answer: str | None = None) -> None:
    """Refused for good, or tried for too long: a dead letter, and an alert."""
    allowed = (DeliveryStatus.SENDING, DeliveryStatus.WAITING, DeliveryStatus.REFUSED)
    delivery = transition(database, delivery_id, allowed, DeliveryStatus.DEAD)
    database.execute("UPDATE deliveries SET error=?, answer=? WHERE id=?", [error, answer, delivery_id])
    if _is_new(database, delivery, EventKind.DELIVERY_DEAD, error):
        _raise(database, at, AlertKind.DELIVERY_DEAD, delivery, error=error)


def hold(database: Database, at: datetime, delivery_id: int, reason: str) -> None:
    """A person has to decide. What is being sent cannot be called back: it is held if that attempt fails."""
    to = MAY_BE_HELD.get(get(database, delivery_id).status, DeliveryStatus.HELD)
    delivery = transition(database, delivery_id, [*MAY_BE_HELD], to)
    database.execute("UPDATE deliveries SET hold=? WHERE id=?", [reason, delivery_id])
    tell_held(database, at, delivery, reason)


MAY_BE_HELD = {
    DeliveryStatus.SENDING: DeliveryStatus.SENDING,
    DeliveryStatus.WAITING: DeliveryStatus.HELD,
    DeliveryStatus.REFUSED: DeliveryStatus.HELD,
}
"""What becomes of a delivery that is held."""


def tell_held(database: Database, at: datetime, delivery: Delivery, reason: str) -> None:
    """An alert that it is held; of images one for each reason."""
    if _is_new(database, delivery, EventKind.DELIVERY_HELD, reason):
        _raise(database, at, AlertKind.DELIVERY_HELD, delivery, reason=reason)


def withhold(database: Database, at: datetime, delivery_id: int, reason: str) -> None:
    """It has become too late while it waited: kept here, sent only by `retry`."""
    delivery = transition(database, delivery_id, (DeliveryStatus.WAITING,), DeliveryStatus.WITHHELD)
    database.execute("UPDATE deliveries SET hold=? WHERE id=?", [reason, delivery_id])
    _record(database, at, EventKind.DELIVERY_WITHHELD, delivery, destination=delivery.destination, reason=reason)


def study_at(destination: str, study: str) -> str:
    """A study at a destination, as the place of what is said of it."""
    return f"{destination} {study}"


def _is_new(database: Database, delivery: Delivery, kind: EventKind, why: str) -> bool:
    """Whether it is to be recorded: a wait once for each reason, and of images what was not said of others before."""
    if delivery.is_image:
        return said.once(database, kind, study_at(delivery.destination, delivery.study_instance_uid), why)
    return kind is not EventKind.DELIVERY_WAITS or said.once(database, kind, f"delivery:{delivery.id}", why)


def stop(
    database: Database, at: datetime, delivery_id: int, status: DeliveryStatus, reason: str, by: str = events.NODE
) -> None:
    """Never send it: `CANCELLED` or `SUPERSEDED`; PermanentError where the destination has it already."""
    allowed = (
        DeliveryStatus.WAITING,
        DeliveryStatus.HELD,
        DeliveryStatus.DEAD,
        DeliveryStatus.WITHHELD,
        DeliveryStatus.REFUSED,
    )
    delivery = transition(database, delivery_id, allowed, status)
    database.execute("UPDATE deliveries SET error=? WHERE id=?", [reason, delivery_id])
    to = delivery.destination
    _record(database, at, _STOPPED[status], delivery, actor=by, destination=to, reason=reason)


def again(database: Database, at: datetime, delivery_id: int, by: str) -> Delivery:
    """A person says: send it (again), now; the attempts start over."""
    allowed = (
        DeliveryStatus.HELD,
        DeliveryStatus.DEAD,
        DeliveryStatus.CANCELLED,
        DeliveryStatus.WAITING,
        DeliveryStatus.WITHHELD,
        DeliveryStatus.REFUSED,
    )
    delivery = transition(database, delivery_id, allowed, DeliveryStatus.WAITING)
    values = f"{AFRESH}, hold=NULL, attempts=0, resends=0"
    database.execute(f"UPDATE deliveries SET {values} WHERE id=?", [*since(at), delivery_id])  # noqa: S608 - our own text
    said.forget(database, f"delivery:{delivery_id}")
    if delivery.is_image:
        hold_parts.forget(database, delivery.study_instance_uid, delivery_id)
        said.forget(database, study_at(delivery.destination, delivery.study_instance_uid))
    _record(database, at, EventKind.DELIVERY_AGAIN, delivery, actor=by)
    return get(database, delivery_id)


def interrupted(database: Database, at: datetime, destination: str, study: str | None = None) -> int:
    """Found "sending" while nobody sends: the outcome is unknown, so it is sent again, same UID; how many.

    `study`: of this one alone, as others may be on their way just now.
    """
    which, named = ("", []) if study is None else (" AND study_instance_uid=?", [study])
    sql = f"SELECT id FROM deliveries WHERE destination=? AND status=?{which}"  # noqa: S608 - our own text
    rows = query(database, sql, [destination, DeliveryStatus.SENDING, *named])
    for row in rows:
        wait(database, at, row["id"], at, "interrupted while it was being sent")
    return len(rows)


def of_study(database: Database, study: str) -> list[Delivery]:
    """Deliveries of a study, results and images, in the order in which they were enqueued."""
    rows = query(database, "SELECT * FROM deliveries WHERE study_instance_uid=? ORDER BY id", [study])
    return readable(database, "deliveries", rows, of_row)


def results_of_study(database: Database, study: str) -> list[Delivery]:
    """Deliveries of results of a study, in the order in which they were enqueued."""
    sql = "SELECT * FROM deliveries WHERE study_instance_uid=? AND kind<>'image' ORDER BY id"
    return readable(database, "deliveries", query(database, sql, [study]), of_row)


def of_job(database: Database, job: str) -> list[Delivery]:
    """Deliveries of a job, in the order in which they were enqueued."""
    rows = query(database, "SELECT * FROM deliveries WHERE job=? ORDER BY id", [job])
    return readable(database, "deliveries", rows, of_row)


def counts(database: Database) -> dict[str, dict[DeliveryStatus, int]]:
    """How many deliveries of results are in each state, by destination."""
    return counts_of(database, DeliveryKind.OBJECT)


def counts_of(database: Database, kind: DeliveryKind) -> dict[str, dict[DeliveryStatus, int]]:
    """How many deliveries of a kind are in each state, by destination."""
    found = tallies.by_place(database, f"deliveries of {kind}")
    return {place: {DeliveryStatus(status): n for status, n in each.items()} for place, each in found.items()}


def with_status(database: Database, status: DeliveryStatus, limit: int) -> list[Delivery]:
    """Deliveries of results in this state, newest first."""
    sql = "SELECT * FROM deliveries WHERE status=? AND kind<>'image' ORDER BY id DESC LIMIT ?"
    return readable(database, "deliveries", query(database, sql, [status, limit]), of_row)


def is_waiting(database: Database, delivery_id: int) -> bool:
    """Whether it waits: nobody has held, superseded or cancelled it."""
    return get(database, delivery_id).status is DeliveryStatus.WAITING


def get(database: Database, delivery_id: int) -> Delivery:
    """The delivery of this id; NotFoundError where there is none."""
    return _TABLE.get(database, delivery_id)


def transition(database: Database, delivery_id: int, allowed: Sequence[DeliveryStatus], to: DeliveryStatus) -> Delivery:
    """Bring it there; the row as it was. PermanentError where it is in none of the `allowed`."""
    return _TABLE.transition(database, delivery_id, allowed, to)


def of_row(row: Mapping[str, Any]) -> Delivery:
    """The delivery that a row of `deliveries` holds."""
    return Delivery(
        **{
            **{name: row[name] for name in Delivery.__slots__},
            "kind": DeliveryKind(row["kind"]),
            "status": DeliveryStatus(row["status"]),
            "not_before": from_text(row["not_before"]),
            "waited": timedelta(seconds=row["waited"]),
            "enqueued_at": from_text(row["enqueued_at"]),
            "sent_at": moment(row["sent_at"]),
            "unanswered_at": moment(row["unanswered_at"]),
            "commitment": DeliveryCommitment(row["commitment"]),
            "commit_by": moment(row["commit_by"]),
            "committed_at": moment(row["committed_at"]),
            "coerce": json.loads(row["coerce"]) if row["coerce"] else None,
        }
    )


def of_item(database: Database, item: str, destination: str) -> Delivery | None:
    """The delivery of an item to a destination; None where there is none."""
    row = one(database, "SELECT * FROM deliveries WHERE item=? AND destination=?", [item, destination])
    return of_row(row) if row else None


def _record(
    database: Database,
    at: datetime,
    kind: EventKind,
    delivery: Delivery,
    severity: Severity | None = None,
    actor: str = events.NODE,
    **detail: object,
) -> None:
    events.record(
        database,
        at,
        kind,
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery.id,
        severity=severity,
        actor=actor,
        **detail,
    )


def _raise(database: Database, at: datetime, kind: AlertKind, delivery: Delivery, **detail: Any) -> None:
    """An alert about what of the study goes to that destination."""
    alerts.raised(
        database,
        at,
        kind,
        study_at(delivery.destination, delivery.study_instance_uid),
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery.id,
        destination=delivery.destination,
        **detail,
    )


_TABLE = Table("deliveries", "delivery", DeliveryStatus, of_row)
