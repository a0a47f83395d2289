"""Studies of which a person said that nothing more comes: they are completed without the rest of their quiet period."""

from __future__ import annotations

from datetime import datetime

from node.clock import to_text
from node.errors import PermanentError
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import query
from node.ledger.studies import Study, StudyStatus


def ask(database: Database, at: datetime, study: Study, by: str) -> None:
    """Have a study that is being received completed now; PermanentError where it is complete."""
    uid = study.study_instance_uid
    if study.status is StudyStatus.COMPLETE:
        raise PermanentError(f"study {uid} is complete (revision {study.revision}); nothing of it is waited for")
    database.execute("INSERT OR REPLACE INTO study_ends VALUES (?,?,?)", [uid, by, to_text(at)])
    events.record(database, at, EventKind.STUDY_ENDED, study=uid, actor=by)


def asked(database: Database) -> dict[str, str]:
    """Studies that are to be completed now, and who said so."""
    return {row["study_instance_uid"]: row["by"] for row in query(database, "SELECT * FROM study_ends")}


def done(database: Database, study: str) -> None:
    """It is complete."""
    database.execute("DELETE FROM study_ends WHERE study_instance_uid=?", [study])
