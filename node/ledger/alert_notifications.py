"""Which alerts people are to be notified of, and what they were notified of already.

Alerts about a notification of an alert are left out: where that does not get through, another one would not either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, notifications
from node.ledger.alert_kinds import AlertSeverity
from node.ledger.alerts import Alert
from node.ledger.connection import Database
from node.ledger.notifications import AboutAlert, Occasion
from node.ledger.rows import one, placeholders, query

_OF_ITSELF = (
    "NOT (kind IN ('notification.waits', 'notification.dead')"
    " AND EXISTS (SELECT 1 FROM notifications WHERE notifications.id=alerts.place AND alert IS NOT NULL))"
)


def begun(database: Database, severities: Collection[AlertSeverity]) -> list[Alert]:
    """Those that have begun and still hold, and that nobody was notified of; critical ones first."""
    where = "begun_at IS NOT NULL AND told_at IS NULL AND closed_at IS NULL AND gone_since IS NULL"
    return _select(database, severities, where)


def ended(database: Database, severities: Collection[AlertSeverity]) -> list[Alert]:
    """Those that people were notified of and that are over, of which they do not know yet."""
    return _select(database, severities, "told_at IS NOT NULL AND end_told_at IS NULL AND closed_at IS NOT NULL")


def lasting(database: Database, severities: Collection[AlertSeverity]) -> list[Alert]:
    """Those that people were notified of, that still hold, and that nobody has acknowledged."""
    where = "told_at IS NOT NULL AND closed_at IS NULL AND gone_since IS NULL AND acknowledged_at IS NULL"
    return _select(database, severities, where)


def missed(database: Database, severities: Collection[AlertSeverity]) -> list[Alert]:
    """Those that began and ended while no more could be sent."""
    where = "begun_at IS NOT NULL AND told_at IS NULL AND end_told_at IS NULL AND closed_at IS NOT NULL"
    return _select(database, severities, where)


def tell(database: Database, at: datetime, alert: Alert, occasion: Occasion, whom: Sequence[str]) -> None:
    """Notify these people of it."""
    number = _how_many(database, alert.id, occasion) if occasion is Occasion.ALERT_LASTS else 0
    notifications.enqueue(database, at, AboutAlert(alert.id, number), occasion, whom)
    note(database, at, [alert], occasion)


def note(database: Database, at: datetime, those: Collection[Alert], occasion: Occasion) -> None:
    """People know of it, one by one or as one of many."""
    columns = {
        Occasion.ALERT_BEGINS: "told_at=:at, last_told_at=:at",
        Occasion.ALERT_LASTS: "last_told_at=:at",
        Occasion.ALERT_ENDS: "told_at=coalesce(told_at, :at), end_told_at=:at",
    }[occasion]
    rows = [{"at": to_text(at), "id": each.id} for each in those]
    database.conn.executemany(f"UPDATE alerts SET {columns} WHERE id=:id", rows)  # noqa: S608 - our own texts


def pass_over(database: Database, at: datetime, those: Collection[Alert]) -> None:
    """They are over, and nobody has to know any more."""
    rows = [(to_text(at), each.id) for each in those]
    database.conn.executemany("UPDATE alerts SET end_told_at=? WHERE id=?", rows)


def tell_of_more(database: Database, at: datetime, about: Alert, whom: Sequence[str], **detail: Any) -> None:
    """Notify these people of how many more there are than are sent one by one; `about` is one of them."""
    number = _how_many(database, about.id, Occasion.MORE_ALERTS)
    notifications.enqueue(database, at, AboutAlert(about.id, number), Occasion.MORE_ALERTS, whom, **detail)


def sent_since(database: Database, since: datetime) -> list[tuple[Occasion, AlertSeverity, datetime]]:
    """Messages about alerts since then: of what, and when; one that goes to several people is one."""
    rows = query(
        database,
        "SELECT occasion, severity, min(enqueued_at) AS at FROM notifications JOIN alerts ON alerts.id=alert"
        " WHERE enqueued_at>=? GROUP BY alert, occasion, enqueued_at ORDER BY at",
        [to_text(since)],
    )
    return [(Occasion(row["occasion"]), AlertSeverity(row["severity"]), from_text(row["at"])) for row in rows]


def _how_many(database: Database, number: int, occasion: Occasion) -> int:
    row = one(database, "SELECT count(*) AS n FROM notifications WHERE alert=? AND occasion=?", [number, occasion])
    return int(row["n"]) if row else 0


def _select(database: Database, severities: Collection[AlertSeverity], where: str) -> list[Alert]:
    among = placeholders(severities)
    sql = f"SELECT id FROM alerts WHERE severity IN ({among}) AND {where} AND {_OF_ITSELF} ORDER BY severity, id"  # noqa: S608 - texts of ours
    return [alerts.get(database, row["id"]) for row in query(database, sql, list(severities))]
