"""Result objects: the DICOM files made from jobs, one row each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger.connection import Database
from node.ledger.rows import one, placeholders, query


@dataclass(frozen=True, slots=True)
class ResultObject:
    """One row of `objects`; its file is durable before the row is there."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    job: str
    kind: str
    profile: str
    """Digest of the encoding profile it was made for."""
    file: str
    """Relative to the data folder."""
    digest: str
    """SHA-256 of the file."""
    made_at: datetime
    encoding: str = ""
    """Name of the encoding that it is from (`node.ledger.encodings`); empty of objects of before schema 0010."""


def insert(database: Database, made: ResultObject) -> None:
    """Record it; encoding again gives the same UID and is not a new row."""
    row = {**asdict(made), "made_at": to_text(made.made_at)}
    sql = f"INSERT OR IGNORE INTO objects ({','.join(row)}) VALUES ({placeholders(row)})"  # noqa: S608 - our own columns
    database.execute(sql, list(row.values()))


def of_job(database: Database, job: str) -> list[ResultObject]:
    """All objects of a job, in the order in which they were made."""
    rows = query(database, "SELECT * FROM objects WHERE job=? ORDER BY rowid", [job])
    return [_object(row) for row in rows]


def get(database: Database, sop_instance_uid: str) -> ResultObject | None:
    """The object of this UID, where this node made it."""
    row = one(database, "SELECT * FROM objects WHERE sop_instance_uid=?", [sop_instance_uid])
    return _object(row) if row else None


def series_of_study(database: Database, study: str) -> frozenset[str]:
    """Series Instance UIDs of all objects that were made for a study."""
    sql = (
        "SELECT DISTINCT series_instance_uid AS uid FROM objects JOIN jobs ON jobs.id=job"
        " WHERE jobs.study_instance_uid=?"
    )
    return frozenset(row["uid"] for row in query(database, sql, [study]))


def files(database: Database) -> list[str]:
    """The file of every object that is to be here, relative to the data folder."""
    sql = "SELECT file FROM objects JOIN jobs ON jobs.id=objects.job WHERE jobs.files='here'"
    return [row["file"] for row in query(database, sql)]


def is_ours(database: Database, sop_instance_uid: str, sop_class_uid: str, series_instance_uid: str) -> bool:
    """Whether this node made this object: by its UID, and by class and series, since a plugin may have chosen the UID
    (see `node.ledger.returned_objects.is_known`).
    """
    made = get(database, sop_instance_uid)
    if made is None:
        return False
    return (made.sop_class_uid, made.series_instance_uid) == (sop_class_uid, series_instance_uid)


def _object(row: dict[str, Any]) -> ResultObject:
    return ResultObject(**{**row, "made_at": from_text(row["made_at"])})
