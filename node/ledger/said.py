"""What was said already: the same about the same place is recorded once, however often it is met.

if said.once(database, EventKind.DELIVERY_WAITS, f"delivery:{number}", error):
    events.record(...)
"""

from __future__ import annotations

from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one


def once(database: Database, kind: EventKind, place: str, what: str) -> bool:
    """Whether it was not said of this place before; from now on it was."""
    cursor = database.execute("INSERT OR IGNORE INTO said (kind, place, what) VALUES (?,?,?)", [kind, place, what])
    return bool(cursor.rowcount)


def instead(database: Database, kind: EventKind, place: str, what: str) -> bool:
    """Whether something else was said of this place last; from now on it is this."""
    if one(database, "SELECT 1 FROM said WHERE place=? AND kind=? AND what=?", [place, kind, what]):
        return False
    database.execute("DELETE FROM said WHERE place=? AND kind=?", [place, kind])
    return once(database, kind, place, what)


def was(database: Database, kind: EventKind, place: str, what: str | None = None) -> bool:
    """Whether this, or anything of this kind, was said of this place."""
    sql = "SELECT 1 FROM said WHERE place=? AND kind=? AND what=coalesce(?, what) LIMIT 1"
    return one(database, sql, [place, kind, what]) is not None


def forget(database: Database, place: str, *, unless: str | None = None) -> None:
    """Begin again with this place: a person had it tried again, or what was said is over; `unless` it is this."""
    database.execute("DELETE FROM said WHERE place=? AND what IS NOT ?", [place, unless])
