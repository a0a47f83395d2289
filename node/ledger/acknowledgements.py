"""Who has taken note of a notification or an alert, and what happens where nobody does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from node.clock import to_text
from node.errors import PermanentError
from node.ledger import alert_causes, alerts, escalations, events, notifications
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.escalations import Escalation
from node.ledger.event_kinds import EventKind
from node.ledger.notifications import Notification


def acknowledge(database: Database, at: datetime, number: int, by: str) -> list[Notification]:
    """Somebody has taken note of a notification: nobody else is notified because of silence.

    All of the same occasion are acknowledged, whoever got them: returns those. PermanentError where they were before.
    """
    about = notifications.get(database, number)
    fresh = [each for each in notifications.of_occasion(database, about) if each.acknowledged_at is None]
    if not fresh:
        raise PermanentError(f"notification {number} was acknowledged already, by {about.acknowledged_by}")
    for each in fresh:
        sql = "UPDATE notifications SET acknowledged_by=?, acknowledged_at=?, escalate_at=NULL WHERE id=?"
        database.execute(sql, [by, to_text(at), each.id])
    _tell(database, at, EventKind.NOTIFICATION_ACKNOWLEDGED, about, actor=by)
    return fresh


def hand_on(database: Database, at: datetime, number: int) -> int:
    """Nobody has acknowledged it in time: notify the next person who was not notified of it; how many that are."""
    unheard = notifications.get(database, number)
    escalations.stop(database, number)
    if unheard.escalation is None or unheard.acknowledged_at is not None:
        return 0
    left = unheard.escalation.then
    for index, person in enumerate(left):
        rest = Escalation(unheard.escalation.within, left[index + 1 :])
        if notifications.hand_on(database, at, unheard, person, rest):
            _tell(database, at, EventKind.NOTIFICATION_ESCALATED, unheard, to=person)
            return 1
    if not _asked_somebody_else(database, unheard):
        alerts.raised(
            database,
            at,
            AlertKind.NOTIFICATION_UNACKNOWLEDGED,
            str(number),
            study=unheard.study_instance_uid,
            job=unheard.job,
            notification=number,
        )
    return 0


def _asked_somebody_else(database: Database, unheard: Notification) -> bool:
    """Whether another one of the same occasion still has time."""
    return any(each.escalate_at is not None for each in notifications.of_occasion(database, unheard))


def acknowledge_alert(
    database: Database, at: datetime, number: int, by: str, owner: str | None = None, note: str | None = None
) -> int:
    """A person sees to an alert, and to all that have the same cause: they are not repeated; their end is still told.

    `owner`: who does; the one who says so where nobody is named. Said again it replaces owner and note. Returns how
    many others there are. Raises NotFoundError, PermanentError where it is over.
    """
    found = alerts.get(database, number)
    if found.closed_at is not None:
        raise PermanentError(f"alert {number} is over")
    same = alert_causes.alike(database, found)
    database.conn.executemany(
        "UPDATE alerts SET acknowledged_by=?, acknowledged_at=?, owner=?, note=coalesce(?, note) WHERE id=?",
        [(by, to_text(at), owner or by, note, each) for each in same],
    )
    events.record(
        database,
        at,
        EventKind.ALERT_ACKNOWLEDGED,
        study=found.study,
        actor=by,
        alert=found.kind,
        place=found.place,
        owner=owner or by,
        others=len(same) - 1 or None,
    )
    return len(same) - 1


def _tell(
    database: Database, at: datetime, kind: EventKind, about: Notification, actor: str = events.NODE, **detail: str
) -> None:
    said: dict[str, Any] = {"notification": about.id, "person": about.person, **detail}
    events.record(database, at, kind, study=about.study_instance_uid, job=about.job, actor=actor, **said)
