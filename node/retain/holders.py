"""The alert that space is short and nothing may go: it says what holds the most."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from node.ledger import alerts, needed, outdated, said
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.purges import PurgeKind

_PLACE = "space"
_MOST_NAMED = 5


def alert(ledger: Ledger, at: datetime, *, free: int, below: int) -> None:
    """Open the alert, or renew what it says: how much is free, why things stay, and the largest studies that stay."""
    holds, largest = _holding(ledger.database, at)
    detail: dict[str, Any] = {
        "free_bytes": free,
        "below_bytes": below,
        "holds": [{"why": kind, "bytes": octets} for kind, octets in holds.most_common(_MOST_NAMED)],
        "largest": [{"study": study, "bytes": octets} for study, octets in largest.most_common(_MOST_NAMED)],
    }
    with ledger.transaction() as database:
        if said.once(database, EventKind.RETENTION_NO_SPACE, _PLACE, ""):
            alerts.raised(database, at, AlertKind.RETENTION_NO_SPACE, _PLACE, **detail)
        else:
            alerts.met(database, at, AlertKind.RETENTION_NO_SPACE, _PLACE, **detail)


def enough(ledger: Ledger) -> None:
    """There is space again: the alert closes."""
    if said.was(ledger.database, EventKind.RETENTION_NO_SPACE, _PLACE):
        with ledger.transaction() as database:
            said.forget(database, _PLACE)


def _holding(database: Database, at: datetime) -> tuple[Counter[str], Counter[str]]:
    """Bytes by reason (a study counts under its first) and by study, of all studies with images here."""
    by_reason: Counter[str] = Counter()
    by_study: Counter[str] = Counter()
    for kind in PurgeKind:
        for study in outdated.studies(database, kind, at):
            reasons = needed.why_needed(database, study, at)
            octets = outdated.amount(database, study).bytes
            by_reason[reasons[0].kind.sentence if reasons else f"`first` does not name {kind}"] += octets
            by_study[study] += octets
    return by_reason, by_study
