"""Whose turn it is: what may be sent to a destination now, in which order, and when the next time comes.

Urgent ones go first; among equals, what has been due for longest (`node.ledger.deliveries` has the rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from node.clock import to_text
from node.ledger import hold_parts
from node.ledger.connection import Database
from node.ledger.deliveries import of_row
from node.ledger.delivery import Delivery
from node.ledger.job import URGENT
from node.ledger.rows import one, query
from node.ledger.unreadable import readable, soonest

SET_ASIDE = "(deliveries.unanswered>0 OR deliveries.attempts>1)"
"""It got no answer, or was tried twice: it goes after all others, alone (`node.ledger.silences.set_aside`)."""
_OF_STUDY = (
    " WHERE image.destination=deliveries.destination"
    " AND image.study_instance_uid=deliveries.study_instance_uid AND image.kind='image'"
)
_IN_VAIN = "(image.attempts>0 OR image.refusals>0)"
_READY = (
    " LEFT JOIN studies USING (study_instance_uid)"  # noqa: S608 - our own text
    " WHERE destination=? AND deliveries.status='waiting' AND studies.hold IS NULL"
    f" AND {hold_parts.NONE_LEFT} AND (kind='image'"
    f" OR (NOT EXISTS (SELECT 1 FROM deliveries AS image INDEXED BY deliveries_of_images{_OF_STUDY}"
    f"  AND image.status IN ('waiting', 'sending') AND NOT {_IN_VAIN}) AND NOT EXISTS (SELECT 1 FROM forward_parts"
    "  WHERE forward_parts.study_instance_uid=deliveries.study_instance_uid"
    "  AND forward_parts.destination=deliveries.destination))"
    f" OR 2<=(SELECT count(*) FROM deliveries AS image INDEXED BY images_in_vain{_OF_STUDY}"
    f"  AND image.status='waiting' AND {_IN_VAIN}))"
)
READY = f" FROM deliveries{_READY}"
"""Nothing of a study that is held; results only once the images that we send there ourselves have left.

A result does not wait for an image that was tried in vain; once two were, it waits for none of them any more.
"""
READY_SET_ASIDE = f" FROM deliveries INDEXED BY deliveries_set_aside{_READY} AND {SET_ASIDE}"
"""The same of what was set aside, by the index that has nothing else."""
_TURN = " ORDER BY deliveries.priority DESC, deliveries.not_before, deliveries.id"
_ABSENT = (
    "EXISTS (SELECT 1 FROM identities WHERE identities.study_instance_uid=deliveries.study_instance_uid"
    " AND identities.destination=deliveries.destination AND identities.status='absent')"
)


@dataclass(frozen=True, slots=True)
class ResultDue:
    """A result that may be sent now."""

    delivery: int
    study: str
    priority: int


@dataclass(frozen=True, slots=True)
class StudiesDue:
    """Results that may be sent now, in the order of their turns."""

    results: Sequence[ResultDue]
    """Fewer than was asked for where there are no more."""

    @property
    def studies(self) -> list[str]:
        """Theirs, each once."""
        return list(dict.fromkeys(each.study for each in self.results))


def studies_due(
    database: Database, destination: str, at: datetime, limit: int, *, absent: bool, least: int = 0
) -> StudiesDue:
    """Studies with results that may be sent there now, whose turn it is first: urgent ones, then by their due time.

    `absent`: those that the destination was asked about and did not know, which are asked about again after all
    others; else all but those. `least`: of this priority or higher. No more than `limit` results are looked at. For
    images see `node.ledger.image_turns`.
    """
    sql = (
        f"SELECT deliveries.id AS id, deliveries.study_instance_uid AS study, priority{READY} AND kind<>'image'"
        f" AND not_before<=? AND priority>=? AND NOT {SET_ASIDE} AND {_ABSENT}=?{_TURN} LIMIT ?"
    )
    rows = query(database, sql, [destination, to_text(at), least, absent, limit])
    return StudiesDue([ResultDue(int(row["id"]), row["study"], int(row["priority"])) for row in rows])


def due(database: Database, destination: str, at: datetime, study: str, *, least: int = 0) -> list[Delivery]:
    """Results of a study that may be sent there now, those whose turn comes first at the beginning.

    Not those that go last and alone. `least`: of this priority or higher.
    """
    sql = (
        f"SELECT deliveries.*{READY} AND kind<>'image' AND not_before<=? AND priority>=? AND NOT {SET_ASIDE}"
        f" AND deliveries.study_instance_uid=?{_TURN}"
    )
    rows = query(database, sql, [destination, to_text(at), least, study])
    return readable(database, "deliveries", rows, of_row)


def next_due_at(database: Database, destination: str) -> datetime | None:
    """When the next waiting delivery's time comes, results and images."""
    row = one(database, f"SELECT not_before AS t{READY} ORDER BY not_before LIMIT 1", [destination])
    return soonest(row["t"]) if row else None


def is_urgent_waiting(database: Database, destination: str) -> bool:
    """Whether anything urgent waits for this destination."""
    return any(
        one(
            database,
            "SELECT 1 FROM deliveries WHERE destination=? AND status='waiting' AND priority>=?"  # noqa: S608 - our own text
            f" AND kind{which}'image' LIMIT 1",
            [destination, URGENT],
        )
        for which in ("<>", "=")
    )


def is_waiting(database: Database, destination: str) -> bool:
    """Whether anything waits for this destination."""
    sql = "SELECT 1 FROM deliveries WHERE destination=? AND status IN ('waiting', 'sending') LIMIT 1"
    return one(database, sql, [destination]) is not None


def why_waiting(database: Database, destination: str) -> str | None:
    """Why the delivery there that was last put off waits; None where none was put off."""
    row = one(
        database,
        "SELECT error FROM deliveries INDEXED BY deliveries_put_off"
        " WHERE destination=? AND status='waiting' AND error IS NOT NULL ORDER BY not_before DESC LIMIT 1",
        [destination],
    )
    return row["error"] if row else None
