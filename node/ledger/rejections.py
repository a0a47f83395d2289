"""What rejection notes (IHE IOCM) took out: by SOP Instance UID, also of instances that are still to come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from node.ledger.connection import Database
from node.ledger.rows import query


@dataclass(frozen=True, slots=True)
class RejectedInstance:
    """One row of `rejections`: one SOP instance named by one note."""

    sop_instance_uid: str
    study_instance_uid: str
    """As the note states it."""
    note: str
    """Receipt of the note."""
    title: str
    """Code value of its title, as in 113001 (PS3.16 CID 7010)."""


def add(database: Database, rejections: Iterable[RejectedInstance]) -> None:
    """Remember what a note rejects."""
    for rejection in rejections:
        values = [getattr(rejection, name) for name in RejectedInstance.__slots__]
        database.execute("INSERT OR IGNORE INTO rejections VALUES (?,?,?,?)", values)


def of_study(database: Database, study: str) -> frozenset[str]:
    """The SOP Instance UIDs of the study that notes reject."""
    rows = query(database, "SELECT sop_instance_uid FROM rejections WHERE study_instance_uid=?", [study])
    return frozenset(row["sop_instance_uid"] for row in rows)


def of_instance(database: Database, study: str, sop_instance_uid: str) -> list[RejectedInstance]:
    """The notes that reject this instance of this study."""
    rows: list[dict[str, Any]] = query(
        database,
        "SELECT * FROM rejections WHERE sop_instance_uid=? AND study_instance_uid=? ORDER BY note",
        [sop_instance_uid, study],
    )
    return [RejectedInstance(**row) for row in rows]
