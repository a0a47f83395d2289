"""Searching the history, the newest event first: by the ledger's own order, from one place to an earlier one.

A period is found by halving: events are appended, so their moments rise with their numbers, except where the clock was
set back. Kind and actor have no index; a search looks at a bounded number of events and says how far it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.events import Event
from node.ledger.rows import one, query

_LOOKED_AT = 50_000
"""Events that one search looks at, at most, for a kind or an actor."""


@dataclass(frozen=True, slots=True)
class EventSearch:
    """What is asked for; empty where anything will do."""

    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""
    """As an event has it, or its beginning."""
    actor: str = ""
    """As an event has it, or its beginning: `user:`, `os:alice`."""
    study: str = ""
    """Study Instance UID."""


@dataclass(frozen=True, slots=True)
class FoundEvents:
    """A part of the history."""

    events: list[Event]
    """The newest first."""
    before: int | None
    """Where the search goes on; None where there is nothing more."""
    looked_back_to: datetime | None
    """As far as was looked, where it goes on."""


def find(database: Database, asked: EventSearch, limit: int, before: int | None = None) -> FoundEvents:
    """The newest events that have all of this, `limit` at most, of those with a number below `before`."""
    newest = _newest(database)
    top = newest if before is None else min(before - 1, newest)
    if asked.until is not None:
        top = min(top, _first_at(database, asked.until, newest) - 1)
    bottom = _first_at(database, asked.since, newest) if asked.since is not None else 1
    lowest = max(bottom, top - _LOOKED_AT + 1) if not asked.study and (asked.kind or asked.actor) else bottom
    found = _between(database, asked, lowest, top, limit)
    last = found[limit - 1].id if len(found) > limit else lowest
    if len(found) <= limit and lowest <= max(bottom, 1):
        return FoundEvents(found, None, None)
    return FoundEvents(found[:limit], last, _moment(database, last))


def _between(database: Database, asked: EventSearch, lowest: int, top: int, limit: int) -> list[Event]:
    """One more than the limit, where there are as many."""
    conditions = ["id BETWEEN :lowest AND :top"]
    if asked.study:
        conditions.append("study_instance_uid=:study")
    if asked.kind:
        conditions.append("substr(kind, 1, length(:kind))=:kind")
    if asked.actor:
        conditions.append("substr(actor, 1, length(:actor))=:actor")
    sql = f"SELECT * FROM events WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :most"  # noqa: S608 - texts of ours
    texts = {"study": asked.study, "kind": asked.kind, "actor": asked.actor}
    values: dict[str, Any] = {**texts, "lowest": lowest, "top": top, "most": limit + 1}
    return [events.from_row(row) for row in query(database, sql, values)]


def _newest(database: Database) -> int:
    found = one(database, "SELECT max(id) AS id FROM events")
    return int(found["id"] or 0) if found else 0


def _first_at(database: Database, moment: datetime, newest: int) -> int:
    """The number of the first event that is not before this moment; one above the newest where there is none."""
    wanted, low, high = to_text(moment), 1, newest + 1
    while low < high:
        middle = (low + high) // 2
        row = one(database, "SELECT id, at FROM events WHERE id>=? ORDER BY id LIMIT 1", [middle])
        if row is None or row["id"] >= high or row["at"] >= wanted:
            high = middle
        else:
            low = int(row["id"]) + 1
    return low


def _moment(database: Database, number: int) -> datetime | None:
    row = one(database, "SELECT at FROM events WHERE id>=? ORDER BY id LIMIT 1", [number])
    return from_text(row["at"]) if row else None
