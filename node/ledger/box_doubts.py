"""What a vendor's box may have from between a backup and the restore: it cannot be asked, so a person is.

A box answers no C-FIND, and may charge for each image. So nothing goes to it again before a person has said whether it
has the images: *taken as sent*: they are not sent, and its answer is waited for; *sent instead*: they are sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, attempts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query


class BoxDoubtAnswer(StrEnum):
    """What a person has said."""

    TAKEN_AS_SENT = "taken_as_sent"
    """The box has the images: they are not sent, and its answer is waited for."""
    SENT_INSTEAD = "sent_instead"
    """They are sent."""


@dataclass(frozen=True, slots=True)
class BoxDoubt:
    """One row of `box_doubts`."""

    job: str
    box: str
    study_instance_uid: str
    asked_at: datetime
    answer: BoxDoubtAnswer | None
    """None while nobody has answered."""
    answered_by: str | None

    @property
    def question(self) -> str:
        """What a person is asked, in one sentence."""
        return f"the box {self.box} may have the images of a job from before the restore, and cannot be asked"


def ask(database: Database, at: datetime, job: str, box: str, study: str) -> None:
    """A person is asked, once, by an alert."""
    database.execute(
        "INSERT OR IGNORE INTO box_doubts (job, box, study_instance_uid, asked_at) VALUES (?,?,?,?)",
        [job, box, study, to_text(at)],
    )
    alerts.raised(database, at, AlertKind.BOX_PERHAPS_SENT, f"{box} {study}", study=study, box=box, job=job)


def get(database: Database, job: str) -> BoxDoubt | None:
    """What is asked about a job, or was; None where nothing was."""
    row = one(database, "SELECT * FROM box_doubts WHERE job=?", [job])
    return _doubt(row) if row else None


def questions(database: Database, study: str | None = None) -> list[BoxDoubt]:
    """Those that wait for a person, the oldest first; of one study, where that is named."""
    rows = query(
        database,
        "SELECT * FROM box_doubts WHERE answer IS NULL AND study_instance_uid=coalesce(?, study_instance_uid)"
        " ORDER BY asked_at, job",
        [study],
    )
    return [_doubt(row) for row in rows]


def answered(database: Database, at: datetime, doubt: BoxDoubt, answer: BoxDoubtAnswer, by: str) -> None:
    """A person has said it: the job goes on now."""
    database.execute("UPDATE box_doubts SET answer=?, answered_by=? WHERE job=?", [answer, by, doubt.job])
    for each in attempts.of_job(database, doubt.job):
        if each.ended_at is None:
            attempts.look_again(database, each.id, at)
    study = doubt.study_instance_uid
    events.record(
        database, at, EventKind.RESULTS_ANSWERED, study=study, job=doubt.job, actor=by, box=doubt.box, answer=answer
    )


def _doubt(row: Mapping[str, Any]) -> BoxDoubt:
    answer = BoxDoubtAnswer(row["answer"]) if row["answer"] else None
    return BoxDoubt(**{**row, "asked_at": from_text(row["asked_at"]), "answer": answer})
