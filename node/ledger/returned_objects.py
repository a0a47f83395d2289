"""DICOM objects that plugins returned, as they came: a row each, with the UID that the maker gave it.

What is sent of them is in `node.ledger.objects`, under the same UIDs or under ones of this node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from node.ledger.connection import Database
from node.ledger.rows import one, placeholders, query


@dataclass(frozen=True, slots=True)
class ReturnedObjectRow:
    """One row of `returned_objects`."""

    job: str
    number: int
    """Which of the result's objects it was, from 1."""
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    modality: str
    maker: str
    """Manufacturer, model and version, as the object states them."""
    marked: bool
    """Whether it is sent as an object of this node; else as it came."""
    of_image: bool
    """Whether it has the UID of an image that the plugin was given: that image is none of the plugin's."""


def insert(database: Database, rows: Iterable[ReturnedObjectRow]) -> None:
    """Record what a job's plugin returned; of an earlier attempt that was never settled nothing stays."""
    for each in rows:
        row = asdict(each) | {"marked": int(each.marked), "of_image": int(each.of_image)}
        sql = f"INSERT OR REPLACE INTO returned_objects ({','.join(row)}) VALUES ({placeholders(row)})"  # noqa: S608 - our own columns
        database.execute(sql, list(row.values()))


def of_job(database: Database, job: str) -> list[ReturnedObjectRow]:
    """What a job's plugin returned, in its order."""
    return [_row(row) for row in query(database, "SELECT * FROM returned_objects WHERE job=? ORDER BY number", [job])]


def is_known(database: Database, sop_instance_uid: str, sop_class_uid: str, series_instance_uid: str) -> bool:
    """Whether a plugin returned this object, and no image of its UID was received.

    The UID alone does not say so: a program can give its object the one that an image has which comes later, and that
    image must not be passed over. So class and series have to be those of what was returned, too.
    """
    sql = (
        "SELECT 1 FROM returned_objects WHERE sop_instance_uid=:uid AND sop_class_uid=:class"
        " AND series_instance_uid=:series AND NOT of_image AND NOT EXISTS (SELECT 1 FROM instances"
        " WHERE sop_instance_uid=:uid AND status IN ('current', 'rejected', 'corrected')) LIMIT 1"
    )
    values = {"uid": sop_instance_uid, "class": sop_class_uid, "series": series_instance_uid}
    return one(database, sql, values) is not None


def is_uid_taken(database: Database, job: str) -> bool:
    """Whether something else has the UID of an object that a job's plugin returned to be sent as it came: an object
    of another job, one that an earlier job's plugin returned, or a received image.

    Plugins that write one UID for all patients do so, and those that return the same for a study's next revision.
    """
    sql = (
        "SELECT 1 FROM returned_objects AS mine WHERE mine.job=:job AND NOT mine.marked AND ("
        "EXISTS (SELECT 1 FROM objects WHERE objects.sop_instance_uid=mine.sop_instance_uid AND objects.job<>:job)"
        " OR EXISTS (SELECT 1 FROM returned_objects AS other JOIN jobs ON jobs.id=other.job"
        " WHERE other.sop_instance_uid=mine.sop_instance_uid AND other.job<>:job AND NOT other.marked"
        " AND (jobs.finished_at, jobs.id) < (SELECT finished_at, id FROM jobs WHERE id=:job))"
        " OR EXISTS (SELECT 1 FROM instances WHERE instances.sop_instance_uid=mine.sop_instance_uid"
        " AND status IN ('current', 'rejected', 'corrected'))) LIMIT 1"
    )
    return one(database, sql, {"job": job}) is not None


def _row(row: dict[str, Any]) -> ReturnedObjectRow:
    return ReturnedObjectRow(**{**row, "marked": bool(row["marked"]), "of_image": bool(row["of_image"])})
