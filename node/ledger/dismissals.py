"""What was set aside of a study and a person has looked at: it stays set aside, and asks for nobody any more.

The next object that is set aside for the same reason is a new question.
"""

from __future__ import annotations

from datetime import datetime

from node.clock import to_text
from node.errors import NotFoundError
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.instances import InstanceStatus
from node.ledger.rows import one

DISMISSABLE = (InstanceStatus.CONFLICT, InstanceStatus.UNREADABLE)
"""Instances that are set aside for good: a person can only look, and have the sender send right ones."""
NOT_DISMISSED = (
    "{row}.rowid>coalesce((SELECT up_to FROM dismissals WHERE kind={row}.status"
    " AND place=coalesce({row}.study_instance_uid, '')), 0)"
)
"""Whether nobody has looked at an instance that is set aside, as SQL over a `{row}` of `instances`."""


def dismiss(database: Database, at: datetime, status: InstanceStatus, study: str, by: str) -> int:
    """All instances of the study that have this status by now; how many nobody had looked at.

    `study`: empty for objects that name none. NotFoundError where there is none.
    """
    among = f"coalesce(study_instance_uid, '')=? AND status=? AND {NOT_DISMISSED.format(row='instances')}"
    found = one(database, f"SELECT count(*) AS n, max(rowid) AS last FROM instances WHERE {among}", [study, status])  # noqa: S608 - our own text
    if found is None or not found["n"]:
        raise NotFoundError(f"nothing of {f'study {study}' if study else 'no study'} is set aside as {status}")
    database.execute(
        "INSERT OR REPLACE INTO dismissals (kind, place, up_to, by, at) VALUES (?,?,?,?,?)",
        [status, study, found["last"], by, to_text(at)],
    )
    events.record(
        database, at, EventKind.STUDY_DISMISSED, study=study or None, actor=by, what=status, instances=found["n"]
    )
    return int(found["n"])


def removed(database: Database, study: str) -> None:
    """Rows of the study's instances were removed just now, in this transaction: their numbers may be given again.

    `study`: empty for objects that name none.
    """
    left = (
        "FROM instances WHERE coalesce(study_instance_uid, '')=place AND status<>'current' AND status=kind"
        " AND instances.rowid<=up_to"
    )
    database.execute(f"DELETE FROM dismissals WHERE place=? AND NOT EXISTS (SELECT 1 {left})", [study])  # noqa: S608 - our own text
    database.execute(f"UPDATE dismissals SET up_to=(SELECT max(instances.rowid) {left}) WHERE place=?", [study])  # noqa: S608 - our own text
