"""Studies of which corrected instances take the place of those that count, some in each transaction.

    `begin` (committed) → `exchange_some`, until none is left → `end`

A study may have ten thousand instances. Until the end, nobody may use what counts of it: either the study is held, or
it is being received and its jobs were stopped (`node.index.corrections`). A crash goes on from what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from node.ledger.connection import Database
from node.ledger.instances import InstanceStatus
from node.ledger.rows import one

PART = 100
"""Instances that are exchanged in one transaction: with their headers and tallies some milliseconds."""
_AMONG = "receipt IN (SELECT value FROM json_each(?))"
_NEXT = """
    SELECT instances.receipt, sop_instance_uid FROM json_each(?) AS named
    CROSS JOIN instances ON instances.receipt=named.value WHERE status='correction' LIMIT ?
"""
_REPLACED = """
    SELECT old.receipt, old.sop_instance_uid, old.status FROM instances AS new
    CROSS JOIN instances AS old INDEXED BY instances_by_sop
    WHERE new.receipt IN (SELECT value FROM json_each(?))
        AND old.sop_instance_uid=new.sop_instance_uid AND old.study_instance_uid=new.study_instance_uid
        AND (old.status IN ('current', 'rejected') OR (old.status='correction' AND old.rowid<new.rowid))
"""
"""What counts, and corrections that came before the one that takes its place."""


@dataclass(frozen=True, slots=True)
class CorrectionExchange:
    """One row of `exchanges`."""

    study_instance_uid: str
    receipts: Sequence[str]
    """What will count."""
    instances: int
    """Of the study, when this is over."""
    by: str
    """Who decided it, as an actor."""
    releases: str | None
    """Why the study is released and decided again at the end; None: it is about to be complete."""


def begin(database: Database, exchange: CorrectionExchange) -> None:
    """From now on it is under way; nothing was exchanged yet."""
    values = (
        exchange.study_instance_uid,
        json.dumps(list(exchange.receipts)),
        exchange.instances,
        exchange.by,
        exchange.releases,
    )
    sql = "INSERT INTO exchanges (study_instance_uid, receipts, instances, by, releases) VALUES (?,?,?,?,?)"
    database.execute(sql, values)


def is_open(database: Database, study: str) -> bool:
    """Whether one of the study is under way."""
    return one(database, "SELECT 1 FROM exchanges WHERE study_instance_uid=?", [study]) is not None


def open_of(database: Database, study: str) -> CorrectionExchange | None:
    """The one of the study that is under way."""
    sql = "SELECT study_instance_uid, receipts, instances, by, releases FROM exchanges WHERE study_instance_uid=?"
    row = one(database, sql, [study])
    return CorrectionExchange(**{**row, "receipts": json.loads(row["receipts"])}) if row else None


def under_way(database: Database) -> list[str]:
    """Their studies, the oldest first."""
    rows = database.execute("SELECT study_instance_uid FROM exchanges ORDER BY id").fetchall()
    return [study for (study,) in rows]


def exchange_some(database: Database, exchange: CorrectionExchange) -> bool:
    """Let some of them replace what they correct; False where none is left.

    One of a rejected instance is rejected, too.
    """
    new = database.execute(_NEXT, [json.dumps(list(exchange.receipts)), PART]).fetchall()
    if not new:
        return False
    old = database.execute(_REPLACED, [json.dumps([receipt for receipt, _ in new])]).fetchall()
    rejected = {uid for _, uid, status in old if status == InstanceStatus.REJECTED}
    replaced = [receipt for receipt, _, _ in old]
    no_longer = [receipt for receipt, uid in new if uid in rejected]
    _set_status(database, replaced, InstanceStatus.CORRECTED)
    _set_status(database, [receipt for receipt, uid in new if uid not in rejected], InstanceStatus.CURRENT)
    _set_status(database, no_longer, InstanceStatus.REJECTED)
    database.execute(f"DELETE FROM headers WHERE {_AMONG}", [json.dumps([*replaced, *no_longer])])  # noqa: S608 - our own text
    return True


def end(database: Database, study: str) -> None:
    """It is over."""
    database.execute("DELETE FROM exchanges WHERE study_instance_uid=?", [study])


def _set_status(database: Database, receipts: Sequence[str], status: InstanceStatus) -> None:
    database.execute(f"UPDATE instances SET status=? WHERE {_AMONG}", [status, json.dumps(receipts)])  # noqa: S608 - our own text
