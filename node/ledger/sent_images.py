"""Images of a study that were delivered: there may be thousands, and little of each is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger import deliveries
from node.ledger.connection import Database
from node.ledger.delivery import Delivery
from node.ledger.rows import query
from node.ledger.unreadable import readable


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


def others_of_study(database: Database, study: str) -> list[Delivery]:
    """All other deliveries of a study: of results, and of images that are not there."""
    sql = (
        "SELECT * FROM deliveries WHERE study_instance_uid=? AND NOT (kind='image' AND status='delivered') ORDER BY id"
    )
    return readable(database, "deliveries", query(database, sql, [study]), deliveries.of_row)
