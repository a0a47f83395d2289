"""Callers whose associations were refused: what a sender that was entered wrongly looks like from here.

Receivers count them, the journal brings them (`node.store.journal`). A row is one caller, called AE title, address and
reason in one hour; what is older than a week goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from node.clock import from_text, to_text
from node.ledger.connection import Database
from node.ledger.rows import query
from node.store.callers import RefusedCaller

_KEPT = timedelta(days=7)
_RECENT = timedelta(hours=24)
_OFTEN = 10
"""Refusals that are no slip."""
_NAMED = 20
"""Callers that are an alert each."""


def add(database: Database, at: datetime, callers: Iterable[RefusedCaller]) -> None:
    """What a receiver has counted; forget what is older than a week."""
    database.execute("DELETE FROM refused_callers WHERE hour<?", [_hour(at - _KEPT)])
    for each in callers:
        database.execute(
            "INSERT INTO refused_callers (hour, calling_ae_title, called_ae_title, address, reason, times, last_at)"
            " VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET times=times+excluded.times, last_at=excluded.last_at",
            [
                _hour(each.last_at),
                each.calling_ae_title,
                each.called_ae_title,
                each.address,
                each.reason,
                each.times,
                to_text(each.last_at),
            ],
        )


def recent(database: Database, at: datetime, limit: int) -> list[RefusedCaller]:
    """Those of the last 24 hours, the latest first."""
    rows = query(
        database,
        "SELECT calling_ae_title, called_ae_title, address, reason, sum(times) AS times, max(last_at) AS last_at"
        " FROM refused_callers WHERE hour>=? AND last_at>=?"
        " GROUP BY calling_ae_title, called_ae_title, address, reason ORDER BY max(last_at) DESC LIMIT ?",
        [_hour(at - _RECENT), to_text(at - _RECENT), limit],
    )
    return [RefusedCaller(**{**row, "last_at": from_text(row["last_at"])}) for row in rows]


def persistent(database: Database, at: datetime) -> list[RefusedCaller]:
    """Those that were refused `_OFTEN` times in this hour and the one before, and in the last 60 minutes, too.

    `_NAMED` at most: a scan of the network is many callers.
    """
    hour = timedelta(hours=1)
    rows = query(
        database,
        "SELECT calling_ae_title, min(called_ae_title) AS called_ae_title, address, min(reason) AS reason,"
        " sum(times) AS times, max(last_at) AS last_at FROM refused_callers WHERE hour>=?"
        " GROUP BY calling_ae_title, address HAVING sum(times)>=? AND max(last_at)>=? ORDER BY sum(times) DESC LIMIT ?",
        [_hour(at - hour), _OFTEN, to_text(at - hour), _NAMED],
    )
    return [RefusedCaller(**{**row, "last_at": from_text(row["last_at"])}) for row in rows]


def _hour(at: datetime) -> str:
    return to_text(at.replace(minute=0, second=0, microsecond=0))
