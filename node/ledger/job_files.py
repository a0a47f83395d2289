"""Files of a job that retention removes: a plugin's answer, its log, and the objects made from it.

    *here* → `begin` (committed) → *purging* → `results/<job>/` is removed → `end` → *gone*

Rows stay: `objects` and `deliveries` say what was made and sent (`retention.delivered_objects`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from node.errors import PermanentError
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query


class JobFiles(StrEnum):
    """Whether the files of a job are here."""

    HERE = "here"
    """They are, as far as any were made."""
    PURGING = "purging"
    """They are being removed: nothing may be sent or made from them any more."""
    GONE = "gone"
    """They were removed."""


def begin(database: Database, job: str) -> None:
    """The files of the job will go; the caller has asked whether anything needs them. PermanentError: not here."""
    changed = database.execute("UPDATE jobs SET files='purging' WHERE id=? AND files='here'", [job])
    if not changed.rowcount:
        raise PermanentError(f"job {job} has no files here that could be removed")


def under_way(database: Database) -> list[str]:
    """Jobs whose files are being removed."""
    sql = "SELECT id FROM jobs WHERE files='purging' AND files<>'gone' ORDER BY finished_at"
    return [row["id"] for row in query(database, sql)]


def end(database: Database, at: datetime, job: str, *, files: int, octets: int) -> None:
    """They are gone, and that is durable; how many they were and their bytes, as far as this run removed them."""
    row = one(database, "SELECT study_instance_uid AS study FROM jobs WHERE id=? AND files='purging'", [job])
    if row is None:
        raise PermanentError(f"the files of job {job} are not being removed")
    database.execute("UPDATE jobs SET files='gone' WHERE id=?", [job])
    events.record(database, at, EventKind.JOB_FILES_GONE, study=row["study"], job=job, files=files, bytes=octets)


def state(database: Database, job: str) -> JobFiles:
    """Whether they are here; PermanentError where there is no such job."""
    row = one(database, "SELECT files FROM jobs WHERE id=?", [job])
    if row is None:
        raise PermanentError(f"there is no job {job}")
    return JobFiles(row["files"])
