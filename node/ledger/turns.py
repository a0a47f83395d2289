"""Whose turn it is: what may be sent to a destination now, in which order, and when the next time comes.

Urgent ones go first; among equals, what has been due for longest (`node.ledger.deliveries` has the rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from node.clock import to_text
from node.ledger.connection import Database
from node.ledger.deliveries import of_row
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.rows import one, query
from node.ledger.unreadable import readable, soonest

SET_ASIDE = "(deliveries.unanswered>0 OR deliveries.attempts>1)"
"""It got no answer, or was tried twice: it goes after all others, alone (`node.ledger.silences.set_aside`)."""
_IMAGES = (
    "FROM deliveries AS image WHERE image.destination=deliveries.destination"
    " AND image.study_instance_uid=deliveries.study_instance_uid AND image.kind='image'"
)
_IN_VAIN = "(image.attempts>0 OR image.refusals>0)"
READY = (
    " FROM deliveries LEFT JOIN studies USING (study_instance_uid)"
    " WHERE destination=? AND deliveries.status='waiting' AND studies.hold IS NULL AND (kind='image'"
    f" OR NOT EXISTS (SELECT 1 {_IMAGES} AND image.status IN ('waiting', 'sending') AND NOT {_IN_VAIN})"
    f" OR 2<=(SELECT count(*) {_IMAGES} AND image.status='waiting' AND {_IN_VAIN}))"
)
"""Nothing of a study that is held; results only once the images that we send there ourselves have left.

A result does not wait for an image that was tried in vain; once two were, it waits for none of them any more.
"""


_TURN = " ORDER BY deliveries.priority DESC, deliveries.not_before, deliveries.id"
_ABSENT = (
    "EXISTS (SELECT 1 FROM identities WHERE identities.study_instance_uid=deliveries.study_instance_uid"
    " AND identities.destination=deliveries.destination AND identities.status='absent')"
)


@dataclass(frozen=True, slots=True)
class StudiesDue:
    """Studies with results that may be sent now, in the order of their turns."""

    studies: Sequence[str]
    results: int
    """That were looked at: fewer than was asked for where there are no more."""


def studies_due(database: Database, destination: str, at: datetime, limit: int, *, absent: bool) -> StudiesDue:
    """Studies with results that may be sent there now, whose turn it is first: urgent ones, then by their due time.

    `absent`: those that the destination was asked about and did not know, which are asked about again after all
    others; else all but those. No more than `limit` results are looked at. For images see `forwards.next_images`.
    """
    sql = (
        f"SELECT deliveries.study_instance_uid AS study{READY} AND kind<>'image' AND not_before<=?"
        f" AND NOT {SET_ASIDE} AND {_ABSENT}=?{_TURN} LIMIT ?"
    )
    rows = query(database, sql, [destination, to_text(at), absent, limit])
    return StudiesDue(list(dict.fromkeys(row["study"] for row in rows)), len(rows))


def due(
    database: Database, destination: str, at: datetime, study: str | None = None, *, set_aside: bool = False
) -> list[Delivery]:
    """Results that may be sent there now, of one study or of all, those whose turn comes first at the beginning.

    `set_aside`: those that go last and alone, too.
    """
    which = ("" if set_aside else f" AND NOT {SET_ASIDE}") + (" AND deliveries.study_instance_uid=?" if study else "")
    sql = f"SELECT deliveries.*{READY} AND kind<>'image' AND not_before<=?{which}{_TURN}"
    rows = query(database, sql, [destination, to_text(at), *([study] if study else [])])
    return readable(database, "deliveries", rows, of_row)


def next_due_at(database: Database, destination: str) -> datetime | None:
    """When the next waiting delivery's time comes, results and images."""
    row = one(database, f"SELECT min(not_before) AS t{READY}", [destination])
    return soonest(row["t"]) if row else None


def why_waiting(database: Database, destination: str) -> str | None:
    """Why the delivery there that was last put off waits; None where none was put off."""
    row = one(
        database,
        "SELECT error FROM deliveries WHERE destination=? AND status=? AND error IS NOT NULL ORDER BY not_before DESC",
        [destination, DeliveryStatus.WAITING],
    )
    return row["error"] if row else None
