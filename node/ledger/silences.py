"""Objects to which a destination gave no answer: each goes last and alone, and after two such tries no more.

A try without an answer counts against the object only where something else was stored at the destination since
the first of them: a destination that is down as a whole answers nobody. It is counted in the row, so that a node
that dies in between goes on from there.
"""

from __future__ import annotations

from datetime import datetime

from node.clock import to_text
from node.ledger import deliveries, turns
from node.ledger.connection import Database
from node.ledger.delivery import Delivery
from node.ledger.rows import one, query
from node.ledger.unreadable import readable

_LOOKED_AT = 20
"""Rows of which one that can be read is taken."""


def unanswered(database: Database, at: datetime, delivery: Delivery) -> int:
    """No answer came while it was sent; how many such tries count against it, this one included."""
    first = delivery.unanswered_at
    if first is not None and not stored_since(database, delivery.destination, first, delivery.id):
        return delivery.unanswered
    count = delivery.unanswered + 1
    database.execute(
        "UPDATE deliveries SET unanswered=?, unanswered_at=? WHERE id=?", [count, to_text(at), delivery.id]
    )
    return count


def stored_since(database: Database, destination: str, since: datetime, besides: int) -> bool:
    """Whether the destination has stored anything since then, besides this delivery."""
    row = one(
        database,
        "SELECT 1 FROM deliveries WHERE destination=? AND sent_at>=? AND id<>? LIMIT 1",
        [destination, to_text(since), besides],
    )
    return row is not None


def set_aside(database: Database, destination: str, at: datetime) -> Delivery | None:
    """The object, result or image, that was set aside and may be sent there since longest; None where none is."""
    sql = f"SELECT deliveries.*{turns.READY_SET_ASIDE} AND not_before<=? ORDER BY not_before LIMIT {_LOOKED_AT}"
    rows = query(database, sql, [destination, to_text(at)])
    return next(iter(readable(database, "deliveries", rows, deliveries.of_row)), None)


def results_set_aside(database: Database, destination: str, at: datetime) -> list[Delivery]:
    """Results that were set aside and may be sent there now, that which may be since longest first."""
    sql = f"SELECT deliveries.*{turns.READY_SET_ASIDE} AND not_before<=? AND kind<>'image' ORDER BY not_before"
    return readable(database, "deliveries", query(database, sql, [destination, to_text(at)]), deliveries.of_row)
