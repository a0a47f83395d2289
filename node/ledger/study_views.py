"""Who looked at which study: one event for a person and a study in `WITHIN`, however often the page is asked for.

Rows are those of the last ten minutes only; the history is the events.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from node.clock import to_text
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one

WITHIN = timedelta(minutes=10)


def is_known(database: Database, at: datetime, study: str, actor: str) -> bool:
    """Whether it is recorded already that this person looks at the study these minutes."""
    sql = "SELECT 1 FROM study_views WHERE study_instance_uid=? AND actor=? AND at>? AND at<=?"
    return one(database, sql, [study, actor, to_text(at - WITHIN), to_text(at)]) is not None


def record(database: Database, at: datetime, study: str, actor: str) -> None:
    """This person looks at the study; nothing where that is known."""
    old = "DELETE FROM study_views WHERE at<=? OR at>?"  # later than now: the clock was set back
    database.execute(old, [to_text(at - WITHIN), to_text(at)])
    if is_known(database, at, study, actor):
        return
    database.execute("INSERT INTO study_views VALUES (?,?,?)", [study, actor, to_text(at)])
    events.record(database, at, EventKind.STUDY_VIEWED, study=study, actor=actor)
