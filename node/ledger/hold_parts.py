"""Deliveries that are to be held and are not yet: a study may have thousands of images, a transaction holds some.

The first ones are held with the transition that wants it, the others part by part after it (`apply`). Nothing of a
study is sent while a part of it is left (`NONE_LEFT`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from node.ledger.connection import Database
from node.ledger.due_times import MANY

NONE_LEFT = "NOT EXISTS (SELECT 1 FROM hold_parts WHERE hold_parts.study_instance_uid=deliveries.study_instance_uid)"
"""Of a delivery: nothing of its study is still to be held."""
TO_COME = "SELECT named.value FROM hold_parts, json_each(deliveries) AS named WHERE hold_parts.study_instance_uid=?"
"""Deliveries of a study that are still to be held."""
_HOLD = """
    UPDATE deliveries SET status=CASE status WHEN 'sending' THEN 'sending' ELSE 'held' END,
        hold=(SELECT reason FROM hold_parts WHERE hold_parts.id=:part)
    WHERE id IN (SELECT named.value FROM hold_parts, json_each(deliveries) AS named WHERE hold_parts.id=:part)
        AND status IN ('sending', 'waiting', 'refused') AND hold IS NULL
"""


def keep(database: Database, study: str, reason: str, ids: Sequence[int]) -> None:
    """These deliveries are to be held, `MANY` at a time."""
    rows = [(study, reason, json.dumps(list(ids[first : first + MANY]))) for first in range(0, len(ids), MANY)]
    database.conn.executemany("INSERT INTO hold_parts (study_instance_uid, reason, deliveries) VALUES (?,?,?)", rows)


def waiting(database: Database, study: str | None = None) -> list[int]:
    """Numbers of the parts, of one study or of all, the oldest first."""
    where, values = ("", []) if study is None else (" WHERE study_instance_uid=?", [study])
    rows = database.execute(f"SELECT id FROM hold_parts{where} ORDER BY id", values).fetchall()  # noqa: S608 - our own text
    return [int(number) for (number,) in rows]


def are_left(database: Database, study: str) -> bool:
    """Whether deliveries of the study are still to be held."""
    return bool(waiting(database, study))


def apply(database: Database, number: int) -> None:
    """Hold this part, as far as it can be held still; one that is being sent is held if that attempt fails."""
    database.execute(_HOLD, {"part": number})
    database.execute("DELETE FROM hold_parts WHERE id=?", [number])


def forget(database: Database, study: str, delivery: int) -> None:
    """A person wants this one sent: it is not to be held any more."""
    kept = "SELECT json_group_array(value) FROM json_each(deliveries) WHERE value<>?"
    sql = f"UPDATE hold_parts SET deliveries=({kept}) WHERE study_instance_uid=?"  # noqa: S608 - our own text
    database.execute(sql, [delivery, study])
