"""Since when the oldest of a queue has waited: each by an index, which is not read beyond its first rows."""

from __future__ import annotations

from datetime import datetime

from node.clock import from_text
from node.ledger import tallies
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryKind, DeliveryStatus
from node.ledger.rows import moment, one

_IMAGES = (
    "WITH RECURSIVE step(priority) AS ("
    " SELECT max(priority) FROM deliveries WHERE destination=:place AND status='waiting' AND kind='image'"
    " UNION ALL SELECT (SELECT max(priority) FROM deliveries WHERE destination=:place AND status='waiting'"
    " AND kind='image' AND priority<step.priority) FROM step WHERE step.priority IS NOT NULL)"
    " SELECT (SELECT enqueued_at FROM deliveries WHERE destination=:place AND status='waiting' AND kind='image'"
    " AND deliveries.priority=step.priority ORDER BY id LIMIT 1) AS at FROM step WHERE priority IS NOT NULL"
)
"""The oldest of each priority, of which there are a few: an index by time alone would cost each of many rows."""


def oldest_job(database: Database) -> datetime | None:
    """When the oldest job was made that is queued; None where none is."""
    # named, because the planner would sort all that are queued
    sql = "SELECT created_at FROM jobs INDEXED BY jobs_by_age WHERE status='queued' ORDER BY created_at LIMIT 1"
    row = one(database, sql)
    return moment(row["created_at"]) if row else None


def oldest_results(database: Database) -> dict[str, datetime]:
    """Of each destination for which objects of results wait, since when the oldest does."""
    sql = (
        "SELECT enqueued_at FROM deliveries WHERE destination=? AND kind<>'image' AND status='waiting'"
        " ORDER BY enqueued_at LIMIT 1"
    )
    found = {}
    for place in _places(database, DeliveryKind.OBJECT):
        row = one(database, sql, [place])
        if row is not None:
            found[place] = from_text(row["enqueued_at"])
    return found


def oldest_images(database: Database) -> dict[str, datetime]:
    """Of each destination for which forwarded images wait, since when the oldest does."""
    found = {}
    for place in _places(database, DeliveryKind.IMAGE):
        waiting = [from_text(at) for (at,) in database.execute(_IMAGES, {"place": place}).fetchall() if at]
        if waiting:
            found[place] = min(waiting)
    return found


def last_sent(database: Database, destination: str) -> datetime | None:
    """When the destination accepted something last; None before the first."""
    row = one(database, "SELECT max(sent_at) AS at FROM deliveries WHERE destination=? AND sent_at>=''", [destination])
    return moment(row["at"]) if row else None


def _places(database: Database, kind: DeliveryKind) -> list[str]:
    """Destinations that something of this kind waits for."""
    counted = tallies.by_place(database, f"deliveries of {kind}")
    return sorted(place for place, counts in counted.items() if DeliveryStatus.WAITING in counts)
