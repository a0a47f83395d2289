"""What a notification of an alert says: what needs a person, where, since when, and where the handbook says what to do.

Of a study it names the UID, and the accession number where the site wants it. What the node recorded in words is quoted
of itself and its systems alone: of a study it could be a text that a plugin or a modality wrote.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from node.ledger import alert_causes, alerts, studies
from node.ledger.alert_kinds import AlertSeverity
from node.ledger.alerts import Alert
from node.ledger.database import Database
from node.ledger.notifications import INTERRUPTED, Notification, Occasion
from node.notify.texts import MessageTexts
from node.notify.words import Message, moment

_LONGEST = 300
"""Characters of what was recorded."""


def compose(
    database: Database,
    notification: Notification,
    node: str,
    zone: tzinfo,
    texts: MessageTexts,
    *,
    accession_number: bool,
) -> Message:
    """The message; `node` is our AE title."""
    assert notification.alert is not None, notification.id
    alert = alerts.get(database, notification.alert)
    number = (texts.notification, texts.of_node.format(number=notification.id, node=node))
    twice = [(texts.notification, texts.perhaps_twice)] if notification.error == INTERRUPTED else []
    plain: dict[str, Any] = {
        "id": notification.key,
        "notification": notification.id,
        "node": node,
        "occasion": notification.occasion,
    }
    if notification.occasion is Occasion.MORE_ALERTS:
        return _of_more(notification, node, texts, plain, (*twice, number))
    same = alert_causes.alike(database, alert) if alert.kind in alert_causes.SHARED else []
    about = _lines(database, alert, zone, texts, len(same), accession_number=accession_number)
    is_over = notification.occasion is Occasion.ALERT_ENDS
    text = texts.was.format(sentence=texts.sentences[alert.kind]) if is_over else texts.sentences[alert.kind]
    critical = alert.severity is AlertSeverity.CRITICAL and not is_over
    headline = f"{f'{texts.severities[alert.severity]}: ' if critical else ''}{texts.headlines[notification.occasion]}"
    plain |= {
        "headline": headline,
        "urgent": critical,
        "text": text,
        "study_instance_uid": alert.study,
        "alert": {"id": alert.id, "kind": alert.kind, "place": _clean(alert.place), "severity": alert.severity}
        | {"opened_at": moment(alert.opened_at, zone), "times": alert.times, "owner": alert.owner}
        | {"alike": max(1, len(same)), "page": alert.kind.page, "what_to_do": alert.kind.how},
    }
    place = f" ({_about(database, alert, len(same))})" if not alert.study or len(same) > 1 else ""
    subject = f"{headline}: {alert.kind}{place}, {node}"
    return Message(notification.key, subject, (*about, *twice, number), text, plain)


def _of_more(
    notification: Notification,
    node: str,
    texts: MessageTexts,
    plain: dict[str, Any],
    lines: tuple[tuple[str, str], ...],
) -> Message:
    """How many there are beyond those that are sent one by one."""
    headline, text = texts.headlines[notification.occasion], texts.more_alerts.format(**notification.detail)
    plain |= {"headline": headline, "urgent": False, "text": text, **notification.detail}
    return Message(notification.key, f"{headline} ({node})", lines, text, plain)


def _about(database: Database, alert: Alert, same: int) -> str:
    """What it is about, or how many of the same cause."""
    return f"{_clean(alert_causes.cause_of(database, alert))}, {same}" if same > 1 else _clean(alert.place)


def _lines(
    database: Database, alert: Alert, zone: tzinfo, texts: MessageTexts, same: int, *, accession_number: bool
) -> list[tuple[str, str]]:
    said = [(texts.alert, f"{alert.id}: {alert.kind}"), (texts.severity, texts.severities[alert.severity])]
    if alert.study is not None:
        said.append((texts.study_uid, alert.study))
        study = studies.get(database, alert.study)
        if accession_number and study is not None and study.accession_number:
            said.append((texts.accession_number, study.accession_number))
        if isinstance(destination := alert.detail.get("destination"), str):
            said.append((texts.place, _clean(destination)))
    elif alert.place:
        said.append((texts.place, _clean(alert.place)))
    recorded = alert.detail.get("reason") or alert.detail.get("error")
    if alert.study is None and isinstance(recorded, str):
        said.append((texts.cause, _clean(recorded)))
    said.append((texts.since, moment(alert.opened_at, zone)))
    if alert.closed_at is not None:
        said.append((texts.until, moment(alert.gone_since or alert.closed_at, zone)))
    said.append((texts.times, str(alert.times)))
    cause = _clean(alert_causes.cause_of(database, alert))
    if same > 1 and alert.closed_at is None:
        said.append((texts.alike, texts.alike_open.format(count=same, cause=cause)))
    elif not same and alert.kind in alert_causes.SHARED:
        said.append((texts.alike, texts.alike_over.format(cause=cause)))
    if alert.owner:
        said.append((texts.owner, _clean(alert.owner)))
    if alert.closed_at is not None:
        return said  # nothing is to be done, and nothing can be acknowledged
    return [*said, (texts.what_to_do, f"{alert.kind.how}; pacsnode alerts ack {alert.id}")]


def _clean(text: str) -> str:
    """One printable line of bounded length."""
    return "".join(each if each.isprintable() else "?" for each in text)[:_LONGEST]
