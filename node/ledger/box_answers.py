"""What boxes sent back: one row an object, and the attempt that it belongs to, or why nobody knows.

The index stage writes a row when an object comes from a box; `node.run.boxes` finds its attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.errors import NotFoundError
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query
from node.ledger.unreadable import readable


class AnswerStatus(StrEnum):
    """Where an object stands that a box sent."""

    NEW = "new"
    """Its attempt is still to be found."""
    MATCHED = "matched"
    """It belongs to an attempt."""
    UNMATCHED = "unmatched"
    """Nobody knows what it answers, or it came too late: a person decides."""
    ECHO = "echo"
    """The box sent back an image that it was sent: no answer."""
    DISMISSED = "dismissed"
    """A person said that it answers nothing."""


@dataclass(frozen=True, slots=True)
class BoxAnswer:
    """One row of `box_answers`."""

    receipt: str
    box: str
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    """As the object has it: what the box was sent, or something else."""
    called_ae_title: str
    association: str
    received_at: datetime
    status: AnswerStatus
    attempt: str | None
    """The one that it belongs to; of one that came too late, the one that it would have belonged to."""
    why: str | None
    """Why it is unmatched, for a person."""
    by: str | None
    """Who decided."""


def received(database: Database, new: BoxAnswer) -> None:
    """An object came from a box."""
    database.execute(
        "INSERT OR IGNORE INTO box_answers (receipt, box, sop_instance_uid, sop_class_uid, study_instance_uid,"
        " called_ae_title, association, received_at, status) VALUES (?,?,?,?,?,?,?,?,?)",
        [
            new.receipt,
            new.box,
            new.sop_instance_uid,
            new.sop_class_uid,
            new.study_instance_uid,
            new.called_ae_title,
            new.association,
            to_text(new.received_at),
            AnswerStatus.NEW,
        ],
    )


def is_answer(database: Database, sop_instance_uid: str) -> bool:
    """Whether a box has sent this instance as an answer."""
    sql = "SELECT 1 FROM box_answers WHERE sop_instance_uid=? AND status<>'echo' LIMIT 1"
    return one(database, sql, [sop_instance_uid]) is not None


def new(database: Database, box: str) -> list[BoxAnswer]:
    """Those of a box whose attempt is to be found, in the order in which they came."""
    return _select(database, "status='new' AND box=? ORDER BY receipt", box)


def of_attempt(database: Database, attempt: str) -> list[BoxAnswer]:
    """What belongs to an attempt, in the order in which it came."""
    return _select(database, "attempt=? AND status='matched' ORDER BY receipt", attempt)


def unmatched(database: Database) -> list[BoxAnswer]:
    """What waits for a person, in the order in which it came."""
    return _select(database, "status='unmatched' ORDER BY receipt")


def get(database: Database, receipt: str) -> BoxAnswer:
    """The answer under this receipt; NotFoundError."""
    found = _select(database, "receipt=?", receipt)
    if not found:
        raise NotFoundError(f"there is no answer {receipt}")
    return found[0]


def same_uid(database: Database, answer: BoxAnswer) -> bool:
    """Whether another answer of the box has its SOP Instance UID, with other content."""
    sql = "SELECT 1 FROM box_answers WHERE sop_instance_uid=? AND box=? AND receipt<>? LIMIT 1"
    return one(database, sql, [answer.sop_instance_uid, answer.box, answer.receipt]) is not None


def matched(database: Database, answer: BoxAnswer, attempt: str) -> None:
    """Its attempt is known."""
    _settle(database, answer.receipt, AnswerStatus.MATCHED, attempt)


def echoed(database: Database, answer: BoxAnswer) -> None:
    """It is an image that the box was sent."""
    _settle(database, answer.receipt, AnswerStatus.ECHO)


def not_matched(
    database: Database, at: datetime, answer: BoxAnswer, why: str, attempt: str | None = None, study: str | None = None
) -> None:
    """A person has to decide; `attempt` and `study`: what it seems to be about."""
    _settle(database, answer.receipt, AnswerStatus.UNMATCHED, attempt, why)
    place = f"{answer.box} {answer.study_instance_uid}"
    alerts.raised(database, at, AlertKind.BOX_ANSWER_UNMATCHED, place, study=study, box=answer.box, reason=why)


def given(database: Database, answers: Sequence[BoxAnswer], attempt: str, by: str) -> None:
    """A person says that they belong to an attempt."""
    for each in answers:
        _settle(database, each.receipt, AnswerStatus.MATCHED, attempt, by=by)


def dismissed(database: Database, at: datetime, answers: Sequence[BoxAnswer], by: str) -> None:
    """A person says that they answer nothing."""
    for each in answers:
        _settle(database, each.receipt, AnswerStatus.DISMISSED, each.attempt, by=by)
    events.record(database, at, EventKind.BOX_ANSWER_DISMISSED, actor=by, objects=len(answers), box=answers[0].box)


def _settle(
    database: Database,
    receipt: str,
    status: AnswerStatus,
    attempt: str | None = None,
    why: str | None = None,
    by: str | None = None,
) -> None:
    database.execute(
        "UPDATE box_answers SET status=?, attempt=?, why=?, by=? WHERE receipt=?", [status, attempt, why, by, receipt]
    )


def _select(database: Database, which: str, *values: str) -> list[BoxAnswer]:
    rows = query(database, f"SELECT * FROM box_answers WHERE {which}", values)  # noqa: S608 - our own conditions
    return readable(database, "box_answers", rows, _from_row)


def _from_row(row: Mapping[str, Any]) -> BoxAnswer:
    return BoxAnswer(**{**row, "status": AnswerStatus(row["status"]), "received_at": from_text(row["received_at"])})
