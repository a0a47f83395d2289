"""Destinations that are not reached: one row each, instead of one try for each of what waits for them.

An outage begins with a failure that is about the destination as a whole, not about one object. While it lasts, nothing
that waits is touched: the row says since when, why, and when the destination is tried next. It ends with an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, events, pauses
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.pauses import Pausable
from node.ledger.rows import one, query

ALERT_AFTER = timedelta(minutes=10)
"""An outage that lasts longer is an alert: archives are restarted, and most are back by then."""


class OutageScope(StrEnum):
    """What is not answered."""

    DESTINATION = "destination"
    """No association, or no answer on one: nothing is sent."""
    QUERY = "query"
    """C-FIND: what needs an identity check waits, and received images go on."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One row of `outages`."""

    destination: str
    scope: OutageScope
    since: datetime
    why: str
    tries: int
    """That failed."""
    waited: timedelta
    """The sum of the pauses between tries: its length, whatever the clock says."""
    not_before: datetime
    """The next try."""
    put_off_at: datetime
    """The last try."""
    stores_nothing: bool
    """It accepts associations and stores nothing: only an object that it answers ends the outage."""

    def is_due(self, at: datetime) -> bool:
        """Whether it may be tried; a time that a clock said that was ahead counts as over."""
        return at >= self.not_before or at < self.put_off_at


def get(database: Database, destination: str, scope: OutageScope = OutageScope.DESTINATION) -> Outage | None:
    """The outage of this destination, where it has one."""
    row = one(database, "SELECT * FROM outages WHERE destination=? AND scope=?", [destination, scope])
    return _outage(row) if row else None


def every(database: Database) -> list[Outage]:
    """All that last, by destination."""
    return [_outage(row) for row in query(database, "SELECT * FROM outages ORDER BY destination, scope")]


def failed(
    database: Database,
    at: datetime,
    destination: str,
    why: str,
    not_before: datetime,
    *,
    scope: OutageScope = OutageScope.DESTINATION,
    stores_nothing: bool = False,
    rejected: bool = False,
) -> None:
    """A try failed: the outage begins, or lasts until `not_before` at least. An event for the first of each reason.

    `rejected`: the destination does not accept associations from us, which is an alert at once.
    """
    before = get(database, destination, scope)
    pause = max(0.0, (not_before - at).total_seconds())
    database.execute(
        "INSERT INTO outages (destination, scope, since, why, tries, waited, not_before, put_off_at, stores_nothing)"
        " VALUES (?,?,?,?,1,?,?,?,?) ON CONFLICT DO UPDATE SET why=excluded.why, tries=tries+1,"
        " waited=waited+excluded.waited, not_before=excluded.not_before, put_off_at=excluded.put_off_at,"
        " stores_nothing=excluded.stores_nothing",
        [destination, scope, to_text(at), why, pause, to_text(not_before), to_text(at), stores_nothing],
    )
    if before is None or before.why != why:
        events.record(database, at, EventKind.DESTINATION_UNREACHED, name=destination, scope=scope, error=why)
    if rejected:
        alerts.met(database, at, AlertKind.DELIVERY_WAITS, destination, error=why)


def raise_if_long(database: Database, at: datetime, destination: str) -> None:
    """An alert where it has lasted for more than `ALERT_AFTER`, once for as long as it lasts.

    None while the destination is paused: nothing is tried, and whoever paused it knows.
    """
    if pauses.get(database, Pausable.DESTINATION, destination) is not None:
        return
    for scope in OutageScope:
        found = get(database, destination, scope)
        if found is None or at - found.since < ALERT_AFTER:
            continue
        place = destination if scope is OutageScope.DESTINATION else f"{destination} {scope}"
        open_ones = "SELECT 1 FROM alerts WHERE kind IN (?,?) AND place=? AND closed_at IS NULL"
        if one(database, open_ones, [AlertKind.DESTINATION_DOWN, AlertKind.DELIVERY_WAITS, place]):
            continue  # that it rejects us is an alert of its own
        alerts.raised(database, at, AlertKind.DESTINATION_DOWN, place, name=destination, scope=scope, error=found.why)


def resumed(database: Database, at: datetime, destination: str) -> None:
    """Its pause is over: it is tried now, and how long it has not been reached is counted from now on."""
    sql = "UPDATE outages SET since=?, not_before=?, put_off_at=? WHERE destination=?"
    database.execute(sql, [to_text(at), to_text(at), to_text(at), destination])


def try_now(database: Database, at: datetime, destination: str, by: str) -> bool:
    """A person, `by` as an actor, wants it tried now; whether it has an outage."""
    sql = "UPDATE outages SET not_before=?, put_off_at=? WHERE destination=?"
    if not database.execute(sql, [to_text(at), to_text(at), destination]).rowcount:
        return False
    events.record(database, at, EventKind.DESTINATION_TRIED, actor=by, name=destination)
    return True


def answered(database: Database, at: datetime, destination: str, by: str, *, questions: bool) -> None:
    """It answered a person's test, `by` as an actor; `questions`: and a C-FIND.

    That ends an outage of associations. Whether it stores anything only an object tells: that is tried at once.
    """
    found = get(database, destination)
    if found is not None and found.stores_nothing:
        try_now(database, at, destination, by)
    elif found is not None:
        ended(database, at, destination, OutageScope.DESTINATION, by)
    if questions:
        ended(database, at, destination, OutageScope.QUERY, by)


def ended(
    database: Database, at: datetime, destination: str, scope: OutageScope, by: str = events.NODE
) -> Outage | None:
    """The destination answered, or nothing waits for it any more; the outage that ended, where there was one."""
    found = get(database, destination, scope)
    if found is not None:
        database.execute("DELETE FROM outages WHERE destination=? AND scope=?", [destination, scope])
        events.record(
            database,
            at,
            EventKind.DESTINATION_REACHED,
            actor=by,
            name=destination,
            scope=scope,
            since=to_text(found.since),
            tries=found.tries,
        )
    return found


def _outage(row: dict[str, Any]) -> Outage:
    return Outage(
        **{
            **row,
            "scope": OutageScope(row["scope"]),
            "since": from_text(row["since"]),
            "waited": timedelta(seconds=row["waited"]),
            "not_before": from_text(row["not_before"]),
            "put_off_at": from_text(row["put_off_at"]),
            "stores_nothing": bool(row["stores_nothing"]),
        }
    )
