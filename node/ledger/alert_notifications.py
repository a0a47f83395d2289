"""Which alerts people are to be notified of, and what they were notified of already.

Alerts about a notification of an alert are left out: where that does not get through, another one would not either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, notifications
from node.ledger.alert_causes import SHARED, alike, cause_sql
from node.ledger.alert_kinds import AlertKind, AlertSeverity
from node.ledger.alerts import Alert
from node.ledger.connection import Database
from node.ledger.notifications import AboutAlert, Occasion
from node.ledger.rows import one, placeholders, query
from node.ledger.unreadable import readable

_BEGUN = "begun_at IS NOT NULL AND told_at IS NULL AND closed_at IS NULL AND gone_since IS NULL"
_SHARED = ",".join(f"'{kind}'" for kind in sorted(SHARED))
_OF_ITSELF = (
    "NOT (kind IN ('notification.waits', 'notification.dead')"
    " AND EXISTS (SELECT 1 FROM notifications WHERE notifications.id=alerts.place AND alert IS NOT NULL))"
)


@dataclass(frozen=True, slots=True)
class AlertGroup:
    """Alerts of one kind and cause that one message tells of."""

    alerts: tuple[Alert, ...]
    """The message is about the first."""
    last: Alert
    """Of all open ones of this cause, that of which people were notified last; of those that ended, any."""


def join(database: Database, at: datetime) -> int:
    """What has begun of a cause that people know of is known, too; how many. The next message of the cause has them."""
    untold = " AND ".join(f"alerts.{each}" for each in _BEGUN.split(" AND "))
    return int(
        database.execute(
            f"UPDATE alerts SET told_at=? WHERE {untold} AND kind IN ({_SHARED}) AND EXISTS"  # noqa: S608 - texts of ours
            " (SELECT 1 FROM alerts AS other WHERE other.kind=alerts.kind AND other.closed_at IS NULL"
            f" AND other.told_at IS NOT NULL AND {cause_sql('other')}={cause_sql('alerts')})",
            [to_text(at)],
        ).rowcount
    )


def begun(database: Database, severities: Collection[AlertSeverity]) -> list[AlertGroup]:
    """Those that have begun and still hold, and that nobody was notified of."""
    return _groups(database, severities, _BEGUN)


def joined(database: Database, severities: Collection[AlertSeverity]) -> list[AlertGroup]:
    """Those that have joined a cause since the last message about it, and still hold."""
    where = "told_at IS NOT NULL AND last_told_at IS NULL AND closed_at IS NULL AND gone_since IS NULL"
    return _groups(database, severities, where)


def ended(database: Database, severities: Collection[AlertSeverity]) -> list[AlertGroup]:
    """Those that people were notified of and that are over, of which they do not know yet."""
    return _groups(database, severities, "told_at IS NOT NULL AND end_told_at IS NULL AND closed_at IS NOT NULL")


def lasting(database: Database, severities: Collection[AlertSeverity]) -> list[AlertGroup]:
    """Those that people were notified of, that still hold, and that nobody has acknowledged."""
    where = "told_at IS NOT NULL AND closed_at IS NULL AND gone_since IS NULL AND acknowledged_at IS NULL"
    return _groups(database, severities, where)


def missed(database: Database, severities: Collection[AlertSeverity]) -> list[Alert]:
    """Those that began and ended while no more could be sent."""
    where = "begun_at IS NOT NULL AND told_at IS NULL AND end_told_at IS NULL AND closed_at IS NOT NULL"
    return [alert for alert, _ in _select(database, severities, where)]


def tell(database: Database, at: datetime, group: AlertGroup, occasion: Occasion, whom: Sequence[str]) -> None:
    """Notify these people of them, in one message."""
    first = group.alerts[0]
    number = _how_many(database, first.id, occasion) if occasion is Occasion.ALERT_LASTS else 0
    notifications.enqueue(database, at, AboutAlert(first.id, number), occasion, whom)
    note(database, at, group.alerts, occasion)


def note(database: Database, at: datetime, those: Collection[Alert], occasion: Occasion) -> None:
    """People know of it, one by one or as one of many."""
    columns = {
        Occasion.ALERT_BEGINS: "told_at=coalesce(told_at, :at), last_told_at=:at",
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


def _select(database: Database, severities: Collection[AlertSeverity], where: str) -> list[tuple[Alert, str]]:
    """With the cause of each."""
    sql = (
        f"SELECT *, {cause_sql('alerts')} AS cause FROM alerts WHERE id IN (SELECT id FROM alerts"  # noqa: S608 - texts of ours
        f" WHERE severity IN ({placeholders(severities)}) AND {where} AND {_OF_ITSELF}) ORDER BY id"
    )
    rows = query(database, sql, list(severities))
    return readable(database, "alerts", rows, lambda row: (alerts.of_row(row), str(row["cause"])))


def _groups(database: Database, severities: Collection[AlertSeverity], where: str) -> list[AlertGroup]:
    """By kind and cause; those whose oldest alert is the oldest come first."""
    found: dict[tuple[AlertKind, str], list[Alert]] = {}
    for each, cause in _select(database, severities, where):
        found.setdefault((each.kind, cause), []).append(each)
    return [AlertGroup(tuple(those), _told_last(database, cause, those[0])) for (_, cause), those in found.items()]


def _told_last(database: Database, cause: str, alert: Alert) -> Alert:
    sql = (
        "SELECT * FROM alerts WHERE kind=? AND closed_at IS NULL AND last_told_at IS NOT NULL"  # noqa: S608 - texts of ours
        f" AND {cause_sql('alerts')}=? ORDER BY last_told_at DESC, id DESC LIMIT 1"
    )
    row = one(database, sql, [alert.kind, cause]) if alert.kind in SHARED else None
    return alerts.of_row(row) if row else alert


def is_over(database: Database, group: AlertGroup) -> bool:
    """Whether nothing is open of its cause."""
    return not alike(database, group.alerts[0])
