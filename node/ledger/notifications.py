"""Notifications: one row a person and occasion, from enqueued to sent by every channel the person has."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlite_utils import Database

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.events import Severity
from node.ledger.rows import Table, moment, one, query, to_json

_NAMESPACE = uuid.UUID("0f3f4c8e-55a1-5d0c-8a57-1c3b7d9e2b60")


class Occasion(StrEnum):
    """Why somebody is notified."""

    MATCH = "match"
    """A rule matched that tells people of it."""
    WAIT_OVER = "wait-over"
    """What a rule waited for did not come in time."""
    LATE = "late"
    """A finding came later than its rule allows."""


class NotificationStatus(StrEnum):
    """Where a notification stands."""

    WAITING = "waiting"
    """To be sent at `not_before`, once its study is not held."""
    SENDING = "sending"
    """An attempt may be under way; found at start it is made again, under the same identifier."""
    SENT = "sent"
    """Every channel of the person has taken it."""
    DEAD = "dead"
    """Refused for good, or tried for too long: kept, and sent again only by `retry`."""
    CANCELLED = "cancelled"
    """A person, a correction or a rejection note stopped it."""


UNSENT = (NotificationStatus.WAITING, NotificationStatus.SENDING, NotificationStatus.DEAD)


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of `notifications`."""

    id: int
    key: str
    """Derived from what it is about: the same occasion is the same notification, however often it is asked for."""
    study_instance_uid: str
    job: str | None
    rule: str
    occasion: Occasion
    person: str
    """Name of a person in the configuration."""
    text: str
    """What the rule has to say."""
    status: NotificationStatus
    sent_by: tuple[str, ...]
    """Channels that have taken it."""
    attempts: int
    not_before: datetime
    error: str | None
    enqueued_at: datetime
    sent_at: datetime | None


def enqueue(
    database: Database,
    at: datetime,
    *,
    study: str,
    rule: str,
    occasion: Occasion,
    whom: Sequence[str],
    text: str,
    job: str | None = None,
    not_before: datetime | None = None,
) -> int:
    """Each of these people is to be notified, once for this occasion; how many were not notified of it before.

    Not before `not_before`, where that is to come.
    """
    ledger = one(database, "SELECT id FROM ledger")
    assert ledger is not None, "the first migration makes it"
    made = 0
    for person in whom:
        key = str(uuid.uuid5(_NAMESPACE, to_json([ledger["id"], study, rule, occasion, job, person])))
        cursor = database.execute(
            "INSERT OR IGNORE INTO notifications (key, study_instance_uid, job, rule, occasion, person, text, status,"
            " sent_by, attempts, not_before, enqueued_at) VALUES (?,?,?,?,?,?,?,?,'[]',0,?,?)",
            [
                key,
                study,
                job,
                rule,
                occasion,
                person,
                text,
                NotificationStatus.WAITING,
                to_text(max(at, not_before or at)),
                to_text(max(at, not_before or at)),
            ],
        )
        if cursor.rowcount:
            made += 1
            events.record(
                database,
                at,
                "notification.enqueued",
                study=study,
                job=job,
                notification=cursor.lastrowid,
                person=person,
                rule=rule,
                occasion=occasion,
            )
    return made


def due(database: Database, at: datetime) -> list[Notification]:
    """What may be sent now, oldest first, but what was tried in vain after the rest; nothing of a held study."""
    rows = query(
        database,
        "SELECT notifications.* FROM notifications JOIN studies USING (study_instance_uid)"
        " WHERE notifications.status=? AND not_before<=? AND studies.hold IS NULL"
        " ORDER BY notifications.attempts, notifications.id",
        [NotificationStatus.WAITING, to_text(at)],
    )
    return [_notification(row) for row in rows]


def next_due_at(database: Database) -> datetime | None:
    """When the next waiting one's time comes."""
    row = one(database, "SELECT min(not_before) AS t FROM notifications WHERE status=?", [NotificationStatus.WAITING])
    return moment(row["t"]) if row else None


def sending(database: Database, at: datetime, number: int) -> Notification:
    """An attempt begins; it is counted now."""
    found = _TABLE.transition(database, number, (NotificationStatus.WAITING,), NotificationStatus.SENDING)
    database.execute("UPDATE notifications SET attempts=attempts+1 WHERE id=?", [number])
    _tell(database, at, "notification.sending", found, attempt=found.attempts + 1)
    return get(database, number)


def taken(database: Database, at: datetime, number: int, channel: str) -> None:
    """A channel has taken it; it is not sent that way again."""
    found = get(database, number)
    database.execute("UPDATE notifications SET sent_by=? WHERE id=?", [to_json([*found.sent_by, channel]), number])
    _tell(database, at, "notification.taken", found, channel=channel)


def sent(database: Database, at: datetime, number: int) -> None:
    """Every channel has taken it."""
    found = _TABLE.transition(database, number, (NotificationStatus.SENDING,), NotificationStatus.SENT)
    database.execute("UPDATE notifications SET sent_at=?, error=NULL WHERE id=?", [to_text(at), number])
    _tell(database, at, "notification.sent", found)


def wait(database: Database, at: datetime, number: int, not_before: datetime, error: str) -> None:
    """Not now: again at `not_before`. That nobody has been notified yet is an alert, once for each reason."""
    allowed = (NotificationStatus.SENDING, NotificationStatus.WAITING)
    found = _TABLE.transition(database, number, allowed, NotificationStatus.WAITING)
    database.execute("UPDATE notifications SET not_before=?, error=? WHERE id=?", [to_text(not_before), error, number])
    severity = Severity.INFO if found.error == error else Severity.ALERT
    _tell(database, at, "notification.waits", found, severity, error=error, not_before=to_text(not_before))


def dead(database: Database, at: datetime, number: int, error: str) -> None:
    """Nobody is notified by it any more, unless somebody says `retry`."""
    allowed = (NotificationStatus.SENDING, NotificationStatus.WAITING)
    found = _TABLE.transition(database, number, allowed, NotificationStatus.DEAD)
    database.execute("UPDATE notifications SET error=? WHERE id=?", [error, number])
    _tell(database, at, "notification.dead", found, Severity.ALERT, error=error)


def cancel(database: Database, at: datetime, number: int, reason: str) -> None:
    """It has no ground any more; PermanentError where it was sent."""
    found = _TABLE.transition(database, number, UNSENT, NotificationStatus.CANCELLED)
    database.execute("UPDATE notifications SET error=? WHERE id=?", [reason, number])
    _tell(database, at, "notification.cancelled", found, reason=reason)


def cancel_about(
    database: Database, at: datetime, study: str, reason: str, jobs: Collection[str] | None = None
) -> None:
    """Nobody is notified any more about a study, or about these jobs; what is being sent cannot be called back."""
    for each in of_study(database, study):
        concerned = jobs is None or each.job in jobs
        if concerned and each.status in (NotificationStatus.WAITING, NotificationStatus.DEAD):
            cancel(database, at, each.id, reason)


def again(database: Database, at: datetime, number: int, by: str) -> Notification:
    """A person says: send it, now, by the channels that have not taken it."""
    allowed = (NotificationStatus.DEAD, NotificationStatus.CANCELLED, NotificationStatus.WAITING)
    found = _TABLE.transition(database, number, allowed, NotificationStatus.WAITING)
    database.execute(
        "UPDATE notifications SET enqueued_at=?, not_before=? WHERE id=?", [to_text(at), to_text(at), number]
    )
    _tell(database, at, "notification.again", found, by=by)
    return get(database, number)


def interrupted(database: Database, at: datetime) -> None:
    """Found "sending" while nobody sends: the outcome is unknown, so it is sent again under the same identifier."""
    for row in query(database, "SELECT id FROM notifications WHERE status=?", [NotificationStatus.SENDING]):
        wait(database, at, row["id"], at, "interrupted while it was being sent")


def of_study(database: Database, study: str) -> list[Notification]:
    """Notifications about a study, in the order in which they were enqueued."""
    rows = query(database, "SELECT * FROM notifications WHERE study_instance_uid=? ORDER BY id", [study])
    return [_notification(row) for row in rows]


def with_status(database: Database, statuses: Sequence[NotificationStatus], limit: int) -> list[Notification]:
    """Notifications in this state, newest first."""
    marks = ",".join("?" for _ in statuses)
    sql = f"SELECT * FROM notifications WHERE status IN ({marks}) ORDER BY id DESC LIMIT ?"  # noqa: S608 - only question marks
    return [_notification(row) for row in query(database, sql, [*statuses, limit])]


def counts(database: Database) -> dict[NotificationStatus, int]:
    """How many notifications are in each state."""
    return _TABLE.counts(database)


def get(database: Database, number: int) -> Notification:
    """The notification of this number; NotFoundError where there is none."""
    return _TABLE.get(database, number)


def _tell(
    database: Database, at: datetime, kind: str, about: Notification, severity: Severity = Severity.INFO, **detail: Any
) -> None:
    events.record(
        database,
        at,
        kind,
        study=about.study_instance_uid,
        job=about.job,
        severity=severity,
        notification=about.id,
        person=about.person,
        **detail,
    )


def _notification(row: dict[str, Any]) -> Notification:
    return Notification(
        **{
            **row,
            "occasion": Occasion(row["occasion"]),
            "status": NotificationStatus(row["status"]),
            "sent_by": tuple(json.loads(row["sent_by"])),
            "not_before": from_text(row["not_before"]),
            "enqueued_at": from_text(row["enqueued_at"]),
            "sent_at": moment(row["sent_at"]),
        }
    )


_TABLE = Table("notifications", "notification", NotificationStatus, _notification)
