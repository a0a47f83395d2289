"""The outbox: one row per SOP instance and destination, from enqueued to accepted.

It holds results and received images side by side; both go through the same states. A study has thousands
of images: what is done with many of them at once is `node.ledger.forwards`, and of each one alone no event
is written but of what a person should know, once for each reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.events import Severity
from node.ledger.rows import Table, moment, one, query


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
    cursor = database.execute(
        "INSERT OR IGNORE INTO deliveries (sop_instance_uid, sop_class_uid, study_instance_uid, job, file, destination,"
        " status, hold, attempts, refusals, not_before, enqueued_at) VALUES (?,?,?,?,?,?,?,?,0,0,?,?)",
        [
            sop_instance_uid,
            sop_class_uid,
            study,
            job,
            file,
            destination,
            DeliveryStatus.WITHHELD if withheld else DeliveryStatus.WAITING,
            withheld,
            to_text(at),
            to_text(at),
        ],
    )
    if cursor.rowcount:
        events.record(
            database,
            at,
            "delivery.withheld" if withheld else "delivery.enqueued",
            study=study,
            job=job,
            delivery=cursor.lastrowid,
            destination=destination,
            sop_instance_uid=sop_instance_uid,
            reason=withheld,
        )
    row = one(
        database,
        "SELECT id FROM deliveries WHERE sop_instance_uid=? AND destination=?",
        [sop_instance_uid, destination],
    )
    assert row is not None, sop_instance_uid
    return int(row["id"])


SET_ASIDE = "(deliveries.unanswered>0 OR deliveries.attempts>1)"
"""It got no answer, or was tried twice: it goes after all others, alone (`node.ledger.silences.set_aside`)."""
_IMAGES = (
    "FROM deliveries AS image WHERE image.destination=deliveries.destination"
    " AND image.study_instance_uid=deliveries.study_instance_uid AND image.receipt IS NOT NULL"
)
_IN_VAIN = "(image.attempts>0 OR image.refusals>0)"
READY = (
    " FROM deliveries LEFT JOIN studies USING (study_instance_uid)"
    " WHERE destination=? AND deliveries.status='waiting' AND studies.hold IS NULL AND (receipt IS NOT NULL"
    f" OR NOT EXISTS (SELECT 1 {_IMAGES} AND image.status IN ('waiting', 'sending') AND NOT {_IN_VAIN})"
    f" OR 2<=(SELECT count(*) {_IMAGES} AND image.status='waiting' AND {_IN_VAIN}))"
)
"""Nothing of a study that is held; results only once the images that we send there ourselves have left.

A result does not wait for an image that was tried in vain; once two were, it waits for none of them any more.
"""


def due(database: Database, destination: str, at: datetime, *, set_aside: bool = False) -> list[Delivery]:
    """Results that may be sent there now, oldest first; for images see `forwards.next_images`.

    Those of studies that the destination was asked about and did not know come last: asking again takes time.
    `set_aside`: those that go last and alone, too.
    """
    which = "1" if set_aside else f"NOT {SET_ASIDE}"
    sql = (
        f"SELECT deliveries.*{READY} AND receipt IS NULL AND not_before<=? AND {which}"  # noqa: S608 - our own text
        " ORDER BY EXISTS (SELECT 1 FROM identities WHERE identities.study_instance_uid=deliveries.study_instance_uid"
        "  AND identities.destination=deliveries.destination AND identities.status='absent'), deliveries.id"
    )
    return [of_row(row) for row in query(database, sql, [destination, to_text(at)])]


def next_due_at(database: Database, destination: str) -> datetime | None:
    """When the next waiting delivery's time comes, results and images."""
    row = one(database, f"SELECT min(not_before) AS t{READY}", [destination])
    return moment(row["t"]) if row else None


def why_waiting(database: Database, destination: str) -> str | None:
    """Why the delivery there that was last put off waits; None where none was put off."""
    row = one(
        database,
        "SELECT error FROM deliveries WHERE destination=? AND status=? AND error IS NOT NULL ORDER BY not_before DESC",
        [destination, DeliveryStatus.WAITING],
    )
    return row["error"] if row else None


def sending(database: Database, at: datetime, delivery_id: int) -> Delivery:
    """A C-STORE begins; the attempt is counted now."""
    delivery = transition(database, delivery_id, (DeliveryStatus.WAITING,), DeliveryStatus.SENDING)
    database.execute("UPDATE deliveries SET attempts=attempts+1 WHERE id=?", [delivery_id])
    if delivery.receipt is not None:
        return get(database, delivery_id)
    events.record(
        database,
        at,
        "delivery.sending",
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        attempt=delivery.attempts + 1,
        destination=delivery.destination,
    )
    return get(database, delivery_id)


def delivered(
    database: Database, at: datetime, delivery_id: int, dimse_status: int, warning: str | None = None
) -> None:
    """The destination has it; a warning that means "stored" is kept."""
    delivery = transition(database, delivery_id, (DeliveryStatus.SENDING,), DeliveryStatus.DELIVERED)
    if delivery.hold:
        events.record(
            database,
            at,
            "delivery.delivered-though-held",
            study=delivery.study_instance_uid,
            job=delivery.job,
            delivery=delivery_id,
            severity=Severity.ALERT,
            destination=delivery.destination,
            reason=delivery.hold,
        )
    database.execute(
        "UPDATE deliveries SET dimse_status=?, error=?, sent_at=? WHERE id=?",
        [dimse_status, warning, to_text(at), delivery_id],
    )
    if delivery.receipt is not None and (not warning or _told(database, delivery, "delivery.delivered", warning)):
        return
    events.record(
        database,
        at,
        "delivery.delivered",
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        severity=Severity.WARNING if warning else Severity.INFO,
        destination=delivery.destination,
        dimse_status=f"{dimse_status:04X}",
        warning=warning,
    )


def wait(
    database: Database,
    at: datetime,
    delivery_id: int,
    not_before: datetime,
    error: str,
    *,
    dimse_status: int | None = None,
    refused: bool = False,
    severity: Severity = Severity.WARNING,
) -> None:
    """Not now: again at `not_before`. The same reason a second time is recorded, but alerts nobody again.

    One that was held while it was being sent becomes `HELD`.
    """
    allowed = (DeliveryStatus.SENDING, DeliveryStatus.WAITING)
    held = get(database, delivery_id).hold is not None
    delivery = transition(database, delivery_id, allowed, DeliveryStatus.HELD if held else DeliveryStatus.WAITING)
    database.execute(
        "UPDATE deliveries SET not_before=?, error=?, dimse_status=?, refusals=refusals+? WHERE id=?",
        [to_text(not_before), error, dimse_status, int(refused), delivery_id],
    )
    if _told(database, delivery, "delivery.waits", error):
        return
    events.record(
        database,
        at,
        "delivery.waits",
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        severity=Severity.INFO if delivery.error == error else severity,
        destination=delivery.destination,
        error=error,
        not_before=to_text(not_before),
    )


def dead(database: Database, at: datetime, delivery_id: int, error: str, dimse_status: int | None = None) -> None:
    """Refused for good, or tried for too long: a dead letter, and an alert."""
    allowed = (DeliveryStatus.SENDING, DeliveryStatus.WAITING, DeliveryStatus.REFUSED)
    delivery = transition(database, delivery_id, allowed, DeliveryStatus.DEAD)
    database.execute("UPDATE deliveries SET error=?, dimse_status=? WHERE id=?", [error, dimse_status, delivery_id])
    if _told(database, delivery, "delivery.dead", error):
        return
    events.record(
        database,
        at,
        "delivery.dead",
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        severity=Severity.ALERT,
        destination=delivery.destination,
        error=error,
    )


def hold(database: Database, at: datetime, delivery_id: int, reason: str) -> None:
    """A person has to decide. What is being sent cannot be called back: it is held if that attempt fails."""
    status = get(database, delivery_id).status
    to = DeliveryStatus.SENDING if status is DeliveryStatus.SENDING else DeliveryStatus.HELD
    allowed = (DeliveryStatus.SENDING, DeliveryStatus.WAITING, DeliveryStatus.REFUSED)
    delivery = transition(database, delivery_id, allowed, to)
    database.execute("UPDATE deliveries SET hold=? WHERE id=?", [reason, delivery_id])
    if _told(database, delivery, "delivery.held", reason):
        return
    events.record(
        database,
        at,
        "delivery.held",
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        severity=Severity.ALERT,
        destination=delivery.destination,
        reason=reason,
    )


def withhold(database: Database, at: datetime, delivery_id: int, reason: str) -> None:
    """It has become too late while it waited: kept here, sent only by `retry`."""
    delivery = transition(database, delivery_id, (DeliveryStatus.WAITING,), DeliveryStatus.WITHHELD)
    database.execute("UPDATE deliveries SET hold=? WHERE id=?", [reason, delivery_id])
    events.record(
        database,
        at,
        "delivery.withheld",
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        destination=delivery.destination,
        reason=reason,
    )


def _told(database: Database, delivery: Delivery, kind: str, why: str) -> bool:
    """Whether the same was said of another image of the study that goes there: a person reads it once."""
    last = events.last_of(database, delivery.study_instance_uid, kind) if delivery.receipt is not None else None
    return last is not None and last.detail["destination"] == delivery.destination and why in last.detail.values()


def stop(database: Database, at: datetime, delivery_id: int, status: DeliveryStatus, reason: str) -> None:
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
    events.record(
        database,
        at,
        f"delivery.{status}",
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        destination=delivery.destination,
        reason=reason,
    )


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
    database.execute(
        "UPDATE deliveries SET hold=NULL, attempts=0, refusals=0, unanswered=0, unanswered_at=NULL, enqueued_at=?,"
        " not_before=? WHERE id=?",
        [to_text(at), to_text(at), delivery_id],
    )
    events.record(
        database, at, "delivery.again", study=delivery.study_instance_uid, job=delivery.job, delivery=delivery_id, by=by
    )
    return get(database, delivery_id)


def not_kept(database: Database, at: datetime, destination: str, sop_instance_uids: Sequence[str]) -> int:
    """The destination does not have what it has taken: what was delivered there is sent again; how many that is."""
    number = 0
    for uid in sop_instance_uids:
        row = one(
            database,
            "SELECT id FROM deliveries WHERE sop_instance_uid=? AND destination=? AND status=?",
            [uid, destination, DeliveryStatus.DELIVERED],
        )
        if row is None:
            continue
        delivery = transition(database, row["id"], (DeliveryStatus.DELIVERED,), DeliveryStatus.WAITING)
        database.execute(
            "UPDATE deliveries SET refusals=0, unanswered=0, unanswered_at=NULL, enqueued_at=?, not_before=?"
            " WHERE id=?",
            [to_text(at), to_text(at), row["id"]],
        )
        events.record(
            database,
            at,
            "delivery.not-kept",
            study=delivery.study_instance_uid,
            job=delivery.job,
            delivery=row["id"],
            severity=Severity.WARNING,
            destination=destination,
        )
        number += 1
    return number


def interrupted(database: Database, at: datetime, destination: str) -> int:
    """Found "sending" while nobody sends: the outcome is unknown, so it is sent again, same UID; how many."""
    rows = query(
        database, "SELECT id FROM deliveries WHERE destination=? AND status=?", [destination, DeliveryStatus.SENDING]
    )
    for row in rows:
        wait(database, at, row["id"], at, "interrupted while it was being sent")
    return len(rows)


def of_study(database: Database, study: str) -> list[Delivery]:
    """Deliveries of a study, results and images, in the order in which they were enqueued."""
    rows = query(database, "SELECT * FROM deliveries WHERE study_instance_uid=? ORDER BY id", [study])
    return [of_row(row) for row in rows]


def results_of_study(database: Database, study: str) -> list[Delivery]:
    """Deliveries of results of a study, in the order in which they were enqueued."""
    sql = "SELECT * FROM deliveries WHERE study_instance_uid=? AND receipt IS NULL ORDER BY id"
    return [of_row(row) for row in query(database, sql, [study])]


def of_job(database: Database, job: str) -> list[Delivery]:
    """Deliveries of a job, in the order in which they were enqueued."""
    return [of_row(row) for row in query(database, "SELECT * FROM deliveries WHERE job=? ORDER BY id", [job])]


def counts(database: Database) -> dict[str, dict[DeliveryStatus, int]]:
    """How many deliveries of results are in each state, by destination."""
    found: dict[str, dict[DeliveryStatus, int]] = {}
    for row in query(
        database,
        "SELECT destination, status, count(*) AS n FROM deliveries WHERE receipt IS NULL GROUP BY destination, status",
    ):
        found.setdefault(row["destination"], {})[DeliveryStatus(row["status"])] = int(row["n"])
    return found


def with_status(database: Database, statuses: Sequence[DeliveryStatus], limit: int) -> list[Delivery]:
    """Deliveries of results in this state, newest first."""
    marks = ",".join("?" for _ in statuses)
    sql = f"SELECT * FROM deliveries WHERE status IN ({marks}) AND receipt IS NULL ORDER BY id DESC LIMIT ?"  # noqa: S608 - only question marks
    return [of_row(row) for row in query(database, sql, [*statuses, limit])]


def get(database: Database, delivery_id: int) -> Delivery:
    """The delivery of this id; NotFoundError where there is none."""
    return _TABLE.get(database, delivery_id)


def transition(database: Database, delivery_id: int, allowed: Sequence[DeliveryStatus], to: DeliveryStatus) -> Delivery:
    """Bring it there; the row as it was. PermanentError where it stands at none of the `allowed`."""
    return _TABLE.transition(database, delivery_id, allowed, to)


def of_row(row: Mapping[str, Any]) -> Delivery:
    """The delivery that a row of `deliveries` holds."""
    return Delivery(
        **{
            **row,
            "status": DeliveryStatus(row["status"]),
            "not_before": from_text(row["not_before"]),
            "enqueued_at": from_text(row["enqueued_at"]),
            "sent_at": moment(row["sent_at"]),
            "unanswered_at": moment(row["unanswered_at"]),
            "coerce": json.loads(row["coerce"]) if row["coerce"] else None,
        }
    )


_TABLE = Table("deliveries", "delivery", DeliveryStatus, of_row)
