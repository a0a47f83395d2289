"""Images that a decision forwards and that are not in the outbox yet: a study may have thousands, a transaction some.

The first ones are enqueued with the decision, the others part by part after it (`node.ledger.forwards.enqueue_part`).
Until the last part is, results of the study wait, and the study is not said to be forwarded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.ledger.connection import Database
from node.ledger.due_times import MANY
from node.ledger.rows import one, to_json


@dataclass(frozen=True, slots=True)
class ForwardPart:
    """One row of `forward_parts`."""

    id: int
    study_instance_uid: str
    destination: str
    terms: Mapping[str, Any]
    """What the rule says of them, as `node.ledger.forwards` writes it."""
    receipts: Sequence[str]
    """In the order in which they are enqueued."""
    cancelled: str
    """Why a person does not want them sent; empty: they are to be."""


def keep(database: Database, study: str, destination: str, terms: Mapping[str, Any], receipts: Sequence[str]) -> None:
    """These are to be enqueued later."""
    rows = [
        (study, destination, to_json(dict(terms)), json.dumps(receipts[first : first + MANY]))
        for first in range(0, len(receipts), MANY)
    ]
    sql = "INSERT INTO forward_parts (study_instance_uid, destination, terms, receipts) VALUES (?,?,?,?)"
    database.conn.executemany(sql, rows)


def waiting(database: Database) -> list[tuple[int, str]]:
    """Numbers of the parts, the oldest first, and their studies."""
    rows = database.execute("SELECT id, study_instance_uid FROM forward_parts ORDER BY id").fetchall()
    return [(int(number), study) for number, study in rows]


def get(database: Database, number: int) -> ForwardPart | None:
    """The part of this number; None where it is in the outbox, or was dropped."""
    row = one(database, "SELECT * FROM forward_parts WHERE id=?", [number])
    if row is None:
        return None
    terms = json.loads(row["terms"])
    cancelled = terms.pop("cancelled", "")
    return ForwardPart(**{**row, "terms": terms, "receipts": json.loads(row["receipts"]), "cancelled": cancelled})


def cancel(database: Database, study: str, why: str, destination: str | None = None) -> int:
    """Images of the study that are still to be enqueued, for this destination or for any, are not to be sent; how many
    they are."""
    which = (
        "study_instance_uid=? AND destination=coalesce(?, destination) AND json_extract(terms, '$.cancelled') IS NULL"
    )
    sql = f"SELECT coalesce(sum(json_array_length(receipts)), 0) AS n FROM forward_parts WHERE {which}"  # noqa: S608 - our own text
    found = one(database, sql, [study, destination])
    assert found is not None, "a sum is one row"
    change = f"UPDATE forward_parts SET terms=json_set(terms, '$.cancelled', ?) WHERE {which}"  # noqa: S608 - our own text
    database.execute(change, [why, study, destination])
    return int(found["n"])


def receipts_of(database: Database, study: str, destination: str) -> set[str]:
    """Images of the study that are still to be enqueued for this destination, those that were cancelled included."""
    sql = "SELECT value AS receipt FROM forward_parts, json_each(receipts) WHERE study_instance_uid=? AND destination=?"
    return {receipt for (receipt,) in database.execute(sql, [study, destination]).fetchall()}


def done(database: Database, part: ForwardPart) -> None:
    """It is in the outbox."""
    database.execute("DELETE FROM forward_parts WHERE id=?", [part.id])


def drop(database: Database, study: str) -> None:
    """The study is decided again, on other images: what was left of the decision before is not sent."""
    database.execute("DELETE FROM forward_parts WHERE study_instance_uid=?", [study])


def are_left(database: Database, study: str, destination: str) -> bool:
    """Whether images of the study for this destination are not in the outbox yet."""
    sql = "SELECT 1 FROM forward_parts WHERE study_instance_uid=? AND destination=? LIMIT 1"
    return one(database, sql, [study, destination]) is not None
