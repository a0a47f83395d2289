"""Images of a study that were delivered, or are to be: there may be thousands, and little of each is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger import deliveries, hold_parts
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryStatus


@dataclass(frozen=True, slots=True)
class SentImage:
    """One of them, at one destination."""

    id: int
    """The delivery's."""
    item: str
    """Its SOP Instance UID."""
    destination: str
    is_image: bool = True


def of_study(database: Database, study: str) -> list[SentImage]:
    """Those of a study, in the order in which they were enqueued."""
    sql = (
        "SELECT id, item, destination FROM deliveries"
        " WHERE study_instance_uid=? AND kind='image' AND status='delivered' ORDER BY id"
    )
    return [SentImage(*row) for row in database.execute(sql, [study]).fetchall()]


@dataclass(frozen=True, slots=True)
class UnsentImage:
    """One of the others, at one destination."""

    id: int
    """The delivery's."""
    study_instance_uid: str
    item: str
    """Its SOP Instance UID."""
    destination: str
    status: DeliveryStatus
    hold: str | None
    """Why it is held, or will be once the attempt that is under way has failed."""
    job: None = None
    is_image: bool = True


def others_of_study(database: Database, study: str) -> list[Delivery | UnsentImage]:
    """All other deliveries of a study: of results, and of images that are not there.

    Without images that are to be held already (`node.ledger.hold_parts`).
    """
    sql = (
        "SELECT id, study_instance_uid, item, destination, status, hold FROM deliveries"  # noqa: S608 - our own text
        " WHERE study_instance_uid=? AND kind='image' AND status<>'delivered'"
        f" AND id NOT IN ({hold_parts.TO_COME}) ORDER BY id"
    )
    rows = database.execute(sql, [study, study]).fetchall()
    images = [
        UnsentImage(number, uid, item, destination, DeliveryStatus(status), hold)
        for number, uid, item, destination, status, hold in rows
    ]
    return [*deliveries.results_of_study(database, study), *images]
