"""Notifications: one row a person and occasion, from enqueued to sent by every channel the person has."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, escalations, events, said
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.decisions import StoredDecision
from node.ledger.due_times import NEXT, PUT_OFF, at_next, until
from node.ledger.escalations import Escalation
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job
from node.ledger.rows import Table, moment, one, placeholders, query, to_json
from node.ledger.unreadable import readable, soonest

_NAMESPACE = uuid.UUID("0f3f4c8e-55a1-5d0c-8a57-1c3b7d9e2b60")


class Occasion(StrEnum):
    """Why somebody is notified."""

    MATCH = "match"
    """A rule matched that tells people of it."""
    WAIT_OVER = "wait-over"
    """What a rule waited for did not come in time."""
    LATE = "late"
    """A finding came later than its rule allows, or a result has not come by then."""
    FINDINGS = "findings"
    """A result has findings that a rule tells people of."""
    FAILURE = "failure"
    """There is no result, or none that can be reported."""
    NOT_ANALYSED = "not-analysed"
    """The study is one for a rule, and nothing of it fits the rule's plugin."""
    SUPERSEDED = "superseded"
    """A newer result takes the place of one that somebody was notified of."""
    WITHDRAWN = "withdrawn"
    """A result that somebody was notified of does not stand (`node.ledger.notices`)."""
    ALERT_BEGINS = "alert-begins"
    """Something of the node needs a person."""
    ALERT_LASTS = "alert-lasts"
    """It still does."""
    ALERT_ENDS = "alert-ends"
    """It does no longer."""
    MORE_ALERTS = "more-alerts"
    """More alerts than are sent one by one."""


INTERRUPTED = "interrupted while it was being sent"
"""The error of one that may have arrived: the node ended before it knew."""
BAD_NEWS = (Occasion.SUPERSEDED, Occasion.WITHDRAWN)
"""What somebody was notified of is not so any more: sent also of a held study, for the hold is why."""


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


_STUDY = "coalesce(study, (SELECT jobs.study_instance_uid FROM jobs WHERE jobs.id=notifications.job))"
_COLUMNS = f"notifications.*, {_STUDY} AS study_instance_uid"
_WITH_STUDY = f"LEFT JOIN studies ON study_instance_uid={_STUDY}"
_MAY_BE_SENT = f"(studies.hold IS NULL OR notifications.occasion IN ('{BAD_NEWS[0]}', '{BAD_NEWS[1]}'))"
UNSENT = (NotificationStatus.WAITING, NotificationStatus.SENDING, NotificationStatus.DEAD)


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of `notifications`."""

    id: int
    key: str
    """Derived from what it is about: the same occasion is the same notification, however often it is asked for."""
    study_instance_uid: str | None
    """The study that it is about, or whose job it is about; None where it is about an alert."""
    job: str | None
    alert: int | None
    rule: str | None
    """The rule that wants it; none where it is about an alert."""
    decision: int | None
    """The decision on the study that wants it: its version of the rule has the words."""
    occasion: Occasion
    person: str
    """Name of a person in the configuration."""
    text: str | None
    """What the rule has to say, if an earlier release queued it; now the words are looked up when it is sent."""
    status: NotificationStatus
    sent_by: tuple[str, ...]
    """Channels that have taken it."""
    attempts: int
    not_before: datetime
    waited: timedelta
    """For how long it has been tried: the sum of its pauses."""
    error: str | None
    enqueued_at: datetime
    sent_at: datetime | None
    detail: Mapping[str, Any]
    """What the text says that no other row knows: why a result was withdrawn, how many alerts there are."""
    escalation: Escalation | None
    """Who is notified next where nobody acknowledges it; None where nobody has to."""
    escalate_at: datetime | None
    """When that is; None once it is over: acknowledged, handed to the next, or without ground."""
    escalated_from: int | None
    """The notification that nobody acknowledged."""
    acknowledged_by: str | None
    acknowledged_at: datetime | None

    @property
    def may_have_arrived(self) -> bool:
        """Whether the person may know of it."""
        known = (NotificationStatus.SENT, NotificationStatus.SENDING)
        return self.status in known or bool(self.sent_by) or self.sent_at is not None


@dataclass(frozen=True, slots=True)
class AboutAlert:
    """What a notification of an alert is about, and its number among those of the same occasion."""

    alert: int
    number: int = 0


def enqueue(
    database: Database,
    at: datetime,
    about: StoredDecision | Job | AboutAlert,
    occasion: Occasion,
    whom: Sequence[str],
    not_before: datetime | None = None,
    *,
    escalation: Escalation | None = None,
    **detail: Any,
) -> int:
    """Notify these people of a study that was decided on, of a job, or of an alert, once for this occasion.

    Returns how many were not notified of it before. They are notified at `not_before` at the earliest.
    """
    due_at = max(at, not_before or at)
    made = _waiting(at, due_at, occasion, escalation) | {"detail": to_json(detail)}
    return sum(_enqueue(database, at, {**made, **_subject(database, about, occasion, each)}) for each in whom)


def _waiting(at: datetime, due_at: datetime, occasion: Occasion, escalation: Escalation | None) -> dict[str, Any]:
    return {
        "status": NotificationStatus.WAITING,
        "occasion": occasion,
        "sent_by": "[]",
        "attempts": 0,
        "not_before": to_text(due_at),
        "put_off_at": to_text(at),
        "enqueued_at": to_text(due_at),
        **escalations.first(at, due_at, escalation),
    }


def _subject(
    database: Database, about: StoredDecision | Job | AboutAlert, occasion: Occasion, person: str
) -> dict[str, Any]:
    """What it is about and for whom, and the key that derives from these."""
    ledger = one(database, "SELECT id FROM ledger")
    assert ledger is not None, "the first migration makes it"
    if isinstance(about, AboutAlert):
        named = [ledger["id"], "alert", about.alert, about.number, occasion, person]
        return {"key": _key(named), "alert": about.alert, "person": person}
    study, job = about.study_instance_uid, about.id if isinstance(about, Job) else None
    return {
        "key": _key([ledger["id"], study, about.rule, occasion, job, person]),
        "study": None if job else study,
        "job": job,
        "rule": about.rule,
        "decision": about.id if isinstance(about, StoredDecision) else None,
        "person": person,
    }


def _key(named: Sequence[Any]) -> str:
    return str(uuid.uuid5(_NAMESPACE, to_json(named)))


def _enqueue(database: Database, at: datetime, row: Mapping[str, Any]) -> bool:
    sql = f"INSERT OR IGNORE INTO notifications ({','.join(row)}) VALUES ({placeholders(row)})"  # noqa: S608 - our own columns
    cursor = database.execute(sql, list(row.values()))
    if cursor.rowcount:
        assert cursor.lastrowid is not None, "SQLite gives every inserted row an id"
        enqueued = get(database, cursor.lastrowid)
        rule = {"rule": enqueued.rule} if enqueued.rule else {}
        _tell(database, at, EventKind.NOTIFICATION_ENQUEUED, enqueued, occasion=enqueued.occasion, **rule)
    return bool(cursor.rowcount)


def due(database: Database, at: datetime) -> list[Notification]:
    """What may be sent now, oldest first, but what was tried in vain after the rest; nothing of a held study."""
    rows = query(
        database,
        f"SELECT notifications.*, study_instance_uid FROM notifications {_WITH_STUDY}"  # noqa: S608 - texts of ours
        f" WHERE notifications.status=? AND not_before<=? AND {_MAY_BE_SENT}"
        " ORDER BY notifications.attempts, notifications.id",
        [NotificationStatus.WAITING, to_text(at)],
    )
    return readable(database, "notifications", rows, _notification)


def next_due_at(database: Database) -> datetime | None:
    """When the time of the next waiting one comes; of a held study's, none does."""
    sql = (
        f"SELECT min(not_before) AS t FROM notifications {_WITH_STUDY}"  # noqa: S608 - texts of ours
        f" WHERE notifications.status=? AND {_MAY_BE_SENT}"
    )
    row = one(database, sql, [NotificationStatus.WAITING])
    return soonest(row["t"]) if row else None


def sending(database: Database, at: datetime, number: int) -> Notification:
    """An attempt begins; it is counted now."""
    found = _TABLE.transition(database, number, (NotificationStatus.WAITING,), NotificationStatus.SENDING)
    database.execute("UPDATE notifications SET attempts=attempts+1 WHERE id=?", [number])
    _tell(database, at, EventKind.NOTIFICATION_SENDING, found, attempt=found.attempts + 1)
    return get(database, number)


def taken(database: Database, at: datetime, number: int, channel: str) -> None:
    """A channel has taken it; it is not sent that way again."""
    found = get(database, number)
    database.execute("UPDATE notifications SET sent_by=? WHERE id=?", [to_json([*found.sent_by, channel]), number])
    _tell(database, at, EventKind.NOTIFICATION_TAKEN, found, channel=channel)


def sent(database: Database, at: datetime, number: int) -> None:
    """Every channel has taken it."""
    found = _TABLE.transition(database, number, (NotificationStatus.SENDING,), NotificationStatus.SENT)
    database.execute("UPDATE notifications SET sent_at=?, error=NULL WHERE id=?", [to_text(at), number])
    if found.escalation is not None:
        escalations.begin(database, at, number, found.escalation.within)
    _tell(database, at, EventKind.NOTIFICATION_SENT, found)


def wait(database: Database, at: datetime, number: int, not_before: datetime, error: str) -> None:
    """Not now: again at `not_before`. That nobody has been notified yet is an alert, once for each reason."""
    allowed = (NotificationStatus.SENDING, NotificationStatus.WAITING)
    found = _TABLE.transition(database, number, allowed, NotificationStatus.WAITING)
    values = [*until(at, not_before), error, number]
    database.execute(f"UPDATE notifications SET {PUT_OFF}, error=? WHERE id=?", values)  # noqa: S608 - our own text
    alerts.met(database, at, AlertKind.NOTIFICATION_WAITS, str(number), study=found.study_instance_uid, error=error)
    if not said.once(database, EventKind.NOTIFICATION_WAITS, f"notification:{number}", error):
        return
    _tell(database, at, EventKind.NOTIFICATION_WAITS, found, error=error, not_before=to_text(not_before))


def dead(database: Database, at: datetime, number: int, error: str) -> None:
    """Nobody is notified by it any more, unless somebody says `retry`."""
    allowed = (NotificationStatus.SENDING, NotificationStatus.WAITING)
    found = _TABLE.transition(database, number, allowed, NotificationStatus.DEAD)
    database.execute("UPDATE notifications SET error=? WHERE id=?", [error, number])
    _tell(database, at, EventKind.NOTIFICATION_DEAD, found, error=error)
    alerts.met(database, at, AlertKind.NOTIFICATION_DEAD, str(number), study=found.study_instance_uid, error=error)


def cancel(database: Database, at: datetime, number: int, reason: str, by: str = events.NODE) -> None:
    """It has no ground any more; PermanentError where it was sent."""
    found = _TABLE.transition(database, number, UNSENT, NotificationStatus.CANCELLED)
    database.execute("UPDATE notifications SET error=?, escalate_at=NULL WHERE id=?", [reason, number])
    _tell(database, at, EventKind.NOTIFICATION_CANCELLED, found, actor=by, reason=reason)


def cancel_about(
    database: Database, at: datetime, study: str, reason: str, jobs: Collection[str] | None = None
) -> None:
    """Nobody is notified any more about a study, or about these jobs; what is being sent cannot be called back."""
    for each in of_study(database, study):
        concerned = jobs is None or each.job in jobs
        if not concerned or each.occasion in BAD_NEWS:
            continue
        if each.status in (NotificationStatus.WAITING, NotificationStatus.DEAD):
            cancel(database, at, each.id, reason)
        elif each.escalate_at is not None:
            escalations.stop(database, each.id)


def again(database: Database, at: datetime, number: int, by: str) -> Notification:
    """A person says: send it, now, by the channels that have not taken it."""
    allowed = (NotificationStatus.DEAD, NotificationStatus.CANCELLED, NotificationStatus.WAITING)
    found = _TABLE.transition(database, number, allowed, NotificationStatus.WAITING)
    database.execute(
        f"UPDATE notifications SET {NEXT}, waited=0, enqueued_at=? WHERE id=?",  # noqa: S608 - our own text
        [*at_next(at, at), to_text(at), number],
    )
    said.forget(database, f"notification:{number}")
    _tell(database, at, EventKind.NOTIFICATION_AGAIN, found, actor=by)
    return get(database, number)


def interrupted(database: Database, at: datetime) -> None:
    """Found "sending" while nobody sends: the outcome is unknown, so it is sent again under the same identifier."""
    for row in query(database, "SELECT id FROM notifications WHERE status=?", [NotificationStatus.SENDING]):
        wait(database, at, row["id"], at, INTERRUPTED)


def of_study(database: Database, study: str) -> list[Notification]:
    """Notifications about a study, in the order in which they were enqueued."""
    sql = (
        f"SELECT {_COLUMNS} FROM notifications"  # noqa: S608 - texts of ours
        " WHERE study=:study OR job IN (SELECT id FROM jobs WHERE study_instance_uid=:study) ORDER BY id"
    )
    return readable(database, "notifications", query(database, sql, {"study": study}), _notification)


def with_status(database: Database, statuses: Sequence[NotificationStatus], limit: int) -> list[Notification]:
    """Notifications in this state, newest first."""
    among = placeholders(statuses)
    sql = f"SELECT {_COLUMNS} FROM notifications WHERE status IN ({among}) ORDER BY id DESC LIMIT ?"  # noqa: S608 - texts of ours
    return readable(database, "notifications", query(database, sql, [*statuses, limit]), _notification)


def of_occasion(database: Database, about: Notification) -> list[Notification]:
    """All notifications of the same occasion about the same study and rule, job or alert, whoever got them."""
    sql = (
        f"SELECT {_COLUMNS} FROM notifications WHERE occasion=? AND rule IS ? AND job IS ? AND study IS ?"  # noqa: S608 - texts of ours
        " AND alert IS ? ORDER BY id"
    )
    study = None if about.job else about.study_instance_uid
    rows = query(database, sql, [about.occasion, about.rule, about.job, study, about.alert])
    return readable(database, "notifications", rows, _notification)


def hand_on(database: Database, at: datetime, unheard: Notification, person: str, rest: Escalation) -> int:
    """Notify the next person of what nobody has acknowledged; how many that are: none who was notified of it before."""
    row = one(database, "SELECT * FROM notifications WHERE id=?", [unheard.id])
    ledger = one(database, "SELECT id FROM ledger")
    assert row is not None, unheard.id
    assert ledger is not None, "the first migration makes it"
    same = {name: row[name] for name in ("study", "job", "rule", "decision", "detail")}
    named = [ledger["id"], unheard.study_instance_uid, unheard.rule, unheard.occasion, unheard.job, person]
    made = {"key": _key(named), "person": person, "escalated_from": unheard.id}
    return int(_enqueue(database, at, {**_waiting(at, at, unheard.occasion, rest), **same, **made}))


def counts(database: Database) -> dict[NotificationStatus, int]:
    """How many notifications are in each state."""
    return _TABLE.counts(database)


def get(database: Database, number: int) -> Notification:
    """The notification of this number; NotFoundError where there is none."""
    return _TABLE.get(database, number)


def _tell(database: Database, at: datetime, kind: EventKind, about: Notification, **detail: Any) -> None:
    if about.study_instance_uid is None:  # of an alert: its row says all, and nobody looks for it in a study's history
        return
    events.record(
        database,
        at,
        kind,
        study=about.study_instance_uid,
        job=about.job,
        notification=about.id,
        person=about.person,
        **detail,
    )


def _notification(row: dict[str, Any]) -> Notification:
    columns = {name: row[name] for name in Notification.__slots__}
    return Notification(
        **{
            **columns,
            "occasion": Occasion(row["occasion"]),
            "status": NotificationStatus(row["status"]),
            "sent_by": tuple(json.loads(row["sent_by"])),
            "not_before": from_text(row["not_before"]),
            "waited": timedelta(seconds=row["waited"]),
            "enqueued_at": from_text(row["enqueued_at"]),
            "sent_at": moment(row["sent_at"]),
            "detail": json.loads(row["detail"]),
            "escalation": escalations.from_kept(row["escalation"]),
            "escalate_at": moment(row["escalate_at"]),
            "acknowledged_at": moment(row["acknowledged_at"]),
        }
    )


_TABLE = Table("notifications", "notification", NotificationStatus, _notification, _COLUMNS)
