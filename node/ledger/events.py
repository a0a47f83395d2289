"""History: append-only, one row a transition, written in the transition's own transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.rows import query, to_json

NODE = "node"
"""The actor of what the node does by itself."""


def ae(title: str, address: str = "") -> str:
    """The actor of what a peer did, `ae:CT1@10.0.0.5`: its calling AE title, and its address where that is known."""
    return f"ae:{title.strip()}@{address}" if address else f"ae:{title.strip()}"


@dataclass(frozen=True, slots=True)
class Event:
    """One row of history."""

    id: int
    at: datetime
    kind: str
    severity: Severity
    study_instance_uid: str | None
    job: str | None
    delivery: int | None
    detail: Mapping[str, Any]
    actor: str
    """Who did it: `node`, `os:USER`, `user:NAME`, `ae:TITLE@ADDRESS`, `plugin:NAME`."""


def record(
    database: Database,
    at: datetime,
    kind: EventKind,
    *,
    study: str | None = None,
    job: str | None = None,
    delivery: int | None = None,
    severity: Severity | None = None,
    actor: str = NODE,
    **detail: Any,
) -> None:
    """Append one event; `detail` is JSON-able and names no patient.

    `severity`: where it is not that of the kind. `actor`: who did it, where it was not the node by itself.
    """
    database.execute(
        "INSERT INTO events (at, kind, severity, study_instance_uid, job, delivery, detail, actor)"
        " VALUES (?,?,?,?,?,?,?,?)",
        [to_text(at), kind, severity or kind.severity, study, job, delivery, to_json(detail), actor],
    )


def of_study(database: Database, study: str) -> list[Event]:
    """All that happened to one study, oldest first."""
    return [
        from_row(row) for row in query(database, "SELECT * FROM events WHERE study_instance_uid=? ORDER BY id", [study])
    ]


def after(database: Database, number: int, limit: int) -> list[Event]:
    """The next events behind this one, in the order in which they were committed."""
    sql = "SELECT * FROM events WHERE id>? ORDER BY id LIMIT ?"
    return [from_row(row) for row in query(database, sql, [number, limit])]


def from_row(row: dict[str, Any]) -> Event:
    """An event, from its row."""
    return Event(
        id=row["id"],
        at=from_text(row["at"]),
        kind=row["kind"],
        severity=Severity(row["severity"]),
        study_instance_uid=row["study_instance_uid"],
        job=row["job"],
        delivery=row["delivery"],
        detail=json.loads(row["detail"]),
        actor=row["actor"],
    )
