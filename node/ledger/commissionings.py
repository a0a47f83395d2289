"""Commissionings: whether a plugin, as it is now, says of its examples what it has to say.

A row is of one digest: of code, weights, interpreter, driver and exchange version, and of the examples themselves. A
plugin whose last row is a failure does not run (`node.run.commissioning`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from node.clock import from_text, to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one


@dataclass(frozen=True, slots=True)
class CommissioningRow:
    """One row of `commissionings`."""

    id: int
    plugin: str
    digest: str
    passed: bool
    detail: str
    """The examples that passed, or the first difference."""
    at: datetime
    by: str
    """Who had them run, as an actor."""


def record(
    database: Database, at: datetime, plugin: str, digest: str, detail: str, *, passed: bool, by: str = events.NODE
) -> None:
    """What came of it; a failure is an alert until a later row of the plugin is a pass."""
    database.execute(
        "INSERT INTO commissionings (plugin, digest, passed, detail, at, by) VALUES (?,?,?,?,?,?)",
        [plugin, digest, int(passed), detail, to_text(at), by],
    )
    if passed:
        events.record(database, at, EventKind.PLUGIN_COMMISSIONED, actor=by, plugin=plugin, detail=detail)
        return
    alerts.raised(
        database,
        at,
        AlertKind.PLUGIN_NOT_COMMISSIONED,
        plugin,
        actor=by,
        plugin=plugin,
        reason=detail,
        command=f"pacsnode plugin check {plugin}",
    )


def last(database: Database, plugin: str) -> CommissioningRow | None:
    """The newest of a plugin; None before the first."""
    return _row(one(database, "SELECT * FROM commissionings WHERE plugin=? ORDER BY id DESC LIMIT 1", [plugin]))


def of_digest(database: Database, plugin: str, digest: str) -> CommissioningRow | None:
    """The newest of a plugin as it is by this digest; None where it was never tried so."""
    sql = "SELECT * FROM commissionings WHERE plugin=? AND digest=? ORDER BY id DESC LIMIT 1"
    return _row(one(database, sql, [plugin, digest]))


def _row(row: dict[str, object] | None) -> CommissioningRow | None:
    if row is None:
        return None
    return CommissioningRow(**{**row, "passed": bool(row["passed"]), "at": from_text(str(row["at"]))})  # type: ignore[arg-type]  # the columns are typed by the table
