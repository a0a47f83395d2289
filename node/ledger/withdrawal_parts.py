"""What is to be listed for withdrawal and is not yet: a study may have thousands of images, a transaction lists some.

The first ones are listed with the transition that wants it, the others part by part after it (`enter`).
A part names deliveries by their ids: it holds whatever becomes of the image meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from node.ledger import events
from node.ledger.connection import Database
from node.ledger.due_times import MANY

_ENTER = """
    INSERT OR IGNORE INTO withdrawals
        (item, destination, study_instance_uid, delivery, reason, by, status, listed_at)
    SELECT item, destination, deliveries.study_instance_uid, deliveries.id, reason, ?, 'listed', listed_at
    FROM withdrawal_parts, json_each(withdrawal_parts.deliveries) AS named JOIN deliveries ON deliveries.id=named.value
    WHERE withdrawal_parts.id=?
"""


def keep(database: Database, study: str, reason: str, listed_at: str, ids: Sequence[int]) -> None:
    """These deliveries are to be listed, `MANY` at a time."""
    rows = [
        (study, reason, listed_at, json.dumps(list(ids[first : first + MANY]))) for first in range(0, len(ids), MANY)
    ]
    sql = "INSERT INTO withdrawal_parts (study_instance_uid, reason, listed_at, deliveries) VALUES (?,?,?,?)"
    database.conn.executemany(sql, rows)


def waiting(database: Database, study: str | None = None) -> list[int]:
    """Numbers of the parts, of one study or of all, the oldest first."""
    where, values = ("", []) if study is None else (" WHERE study_instance_uid=?", [study])
    rows = database.execute(f"SELECT id FROM withdrawal_parts{where} ORDER BY id", values).fetchall()  # noqa: S608 - our own text
    return [int(number) for (number,) in rows]


def to_come(database: Database, study: str) -> set[int]:
    """Deliveries of the study that are still to be listed."""
    sql = "SELECT named.value FROM withdrawal_parts, json_each(deliveries) AS named WHERE study_instance_uid=?"
    return {int(delivery) for (delivery,) in database.execute(sql, [study]).fetchall()}


def enter(database: Database, number: int) -> None:
    """List this part; of a delivery whose row is gone, nothing is left to withdraw."""
    database.execute(_ENTER, [events.NODE, number])
    database.execute("DELETE FROM withdrawal_parts WHERE id=?", [number])
