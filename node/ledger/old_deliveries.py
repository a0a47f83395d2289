"""What has waited for too long for a destination that is not reached: dead letters, as `retry.give_up_after` says.

While an outage lasts the rows that wait are not touched, so its length counts with their own age, as far as they were
there. Their age by the wall clock only bounds it: an outage is as long as its pauses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.clock import to_text
from node.ledger import forwards_due
from node.ledger.connection import Database
from node.ledger.deliveries import of_row
from node.ledger.delivery import Delivery
from node.ledger.due_times import MANY
from node.ledger.outages import Outage
from node.ledger.rows import query
from node.ledger.unreadable import readable

_WAITING = (
    " FROM deliveries WHERE destination=? AND status='waiting'"
    " AND study_instance_uid NOT IN (SELECT study_instance_uid FROM studies WHERE hold IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class OldImages:
    """Images of a study that have waited for too long."""

    study_instance_uid: str
    images: int

    @property
    def parts(self) -> range:
        """Once for each statement that changes all of them."""
        return range(0, self.images, MANY)


class AgeLimit:
    """Which deliveries of a destination are too old during an outage."""

    def __init__(self, outage: Outage, longest: timedelta, at: datetime) -> None:
        self._destination = outage.destination
        left = (longest - outage.waited).total_seconds()
        self._which, self._values = " AND enqueued_at<=?", list[object]([to_text(at - longest)])
        if left > 0:  # by an index: what came during the outage is not older than the outage
            self._which, self._values = " AND waited>0 AND waited>=?", [left]

    def results(self, database: Database) -> list[Delivery]:
        """Results that are too old."""
        sql = f"SELECT deliveries.*{_WAITING}{self._which} AND kind<>'image' ORDER BY id"
        return readable(database, "deliveries", query(database, sql, self._all()), of_row)

    def images(self, database: Database) -> list[OldImages]:
        """Studies with images that are too old."""
        sql = (
            f"SELECT study_instance_uid AS study, count(*) AS n{_WAITING}{self._which} AND kind='image' GROUP BY study"
        )
        return [OldImages(row["study"], int(row["n"])) for row in query(database, sql, self._all())]

    def give_up(self, database: Database, at: datetime, old: OldImages, why: str) -> None:
        """The first `MANY` of these images are dead letters; the others need a transaction each."""
        which = f"SELECT id{_WAITING}{self._which} AND kind='image' AND study_instance_uid=? LIMIT {MANY}"
        values = [*self._all(), old.study_instance_uid]
        forwards_due.dead(database, at, old.study_instance_uid, self._destination, old.images, why, which, values)

    def _all(self) -> Sequence[object]:
        return [self._destination, *self._values]
