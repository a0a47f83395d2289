"""Reports whose SOP class a destination refuses: another report, under another UID, takes the place of each.

The outbox writes down the refusal and the class to re-encode it in; the stage `results` makes it, and puts the new
one into the outbox in the transaction that ends the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from node.clock import to_text
from node.dicom import report_classes
from node.ledger import deliveries, events
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.rows import one, query
from node.ledger.unreadable import readable


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """Reports re-encoded for one destination since it last took one of the class that it refuses."""

    reports: int
    sop_class_uid: str
    """In which the last of them was made."""


def refused(database: Database, at: datetime, delivery_id: int, instead: str, error: str) -> None:
    """The destination takes no such SOP class, but `instead`; what was held while it was tried stays held.

    Nothing of it was stored there, so the attempt does not count.
    """
    held = deliveries.get(database, delivery_id).hold is not None
    to = DeliveryStatus.HELD if held else DeliveryStatus.REFUSED
    delivery = deliveries.transition(database, delivery_id, (DeliveryStatus.SENDING,), to)
    database.execute(
        "UPDATE deliveries SET fallback=?, error=?, attempts=attempts-1 WHERE id=?", [instead, error, delivery_id]
    )
    events.record(
        database,
        at,
        EventKind.DELIVERY_CLASS_REFUSED,
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        destination=delivery.destination,
        error=error,
    )


def waiting(database: Database) -> list[Delivery]:
    """Refused reports that are to be re-encoded, oldest first; none of a study that is held."""
    rows = query(
        database,
        "SELECT deliveries.* FROM deliveries LEFT JOIN studies USING (study_instance_uid)"
        " WHERE deliveries.status='refused' AND studies.hold IS NULL ORDER BY deliveries.id",
    )
    return readable(database, "deliveries", rows, deliveries.of_row)


def replaced(database: Database, at: datetime, delivery_id: int, successor: int) -> None:
    """The same report in another SOP class is in the outbox: this one is over.

    The new one is as old as this one: a result does not become timely because it was re-encoded.
    """
    delivery = deliveries.transition(database, delivery_id, (DeliveryStatus.REFUSED,), DeliveryStatus.REPLACED)
    new = deliveries.get(database, successor)
    refused_class, used = (report_classes.name_of(each.sop_class_uid) for each in (delivery, new))
    about = f"{delivery.destination} takes no {refused_class}: re-encoded as {used}, delivery {successor}"
    database.execute("UPDATE deliveries SET successor=?, error=? WHERE id=?", [successor, about, delivery_id])
    database.execute(
        "UPDATE deliveries SET enqueued_at=?, waited=? WHERE id=?",
        [to_text(delivery.enqueued_at), delivery.waited.total_seconds(), successor],
    )
    events.record(
        database,
        at,
        EventKind.DELIVERY_REPLACED,
        study=delivery.study_instance_uid,
        job=delivery.job,
        delivery=delivery_id,
        severity=Severity.WARNING,
        destination=delivery.destination,
        refused=refused_class,
        used=used,
        successor=successor,
        what_to_do=remedy(delivery.destination, new.sop_class_uid, refused_class),
    )


def remedy(destination: str, used: str, refused_class: str) -> str:
    """What an admin does about it, in words."""
    setting = report_classes.setting_of(used)
    return f"set sr_class: {setting} for {destination}, or have it accept {refused_class}"


def tried_before(database: Database, delivery_id: int) -> list[str]:
    """SOP classes of the reports that it took the place of, the first one first."""
    row = one(database, "SELECT id, sop_class_uid FROM deliveries WHERE successor=?", [delivery_id])
    return [*tried_before(database, row["id"]), row["sop_class_uid"]] if row else []


def newest(database: Database, delivery: Delivery) -> Delivery:
    """The delivery itself, or what took its place in the end."""
    while delivery.successor is not None:
        delivery = deliveries.get(database, delivery.successor)
    return delivery


def of_destination(database: Database, destination: str, sop_class_uid: str) -> Fallbacks | None:
    """Whether a destination refuses reports of this SOP class; None where it does not, as far as it was tried."""
    where = "FROM deliveries WHERE kind<>'image' AND destination=? AND sop_class_uid=? AND status=?"
    taken = one(database, f"SELECT max(id) AS id {where}", [destination, sop_class_uid, DeliveryStatus.DELIVERED])
    since = taken["id"] or 0 if taken else 0
    rows = query(
        database,
        f"SELECT fallback {where} AND id>? ORDER BY id",
        [destination, sop_class_uid, DeliveryStatus.REPLACED, since],
    )
    return Fallbacks(len(rows), rows[-1]["fallback"]) if rows else None
