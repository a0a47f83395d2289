"""Open alerts as the questions that they are to a person: alike ones are one, the urgent and the old ones first.

What needs a person is an alert while it lasts (`node.ledger.alerts`); nothing else is asked here. Where one alert says
the same as another about the same study, it is left out: a held study says that its deliveries are held.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from node.clock import from_text
from node.ledger.alert_causes import cause_sql
from node.ledger.alert_conditions import still_true
from node.ledger.alert_kinds import AlertKind, AlertSeverity
from node.ledger.connection import Database
from node.ledger.rows import query
from node.ledger.unreadable import readable

PATIENT = (
    AlertKind.STUDY_HELD,
    AlertKind.STUDY_TO_WITHDRAW,
    AlertKind.INSTANCE_CONFLICT,
    AlertKind.IDENTITY_DIFFERS,
    AlertKind.DELIVERY_DELIVERED_THOUGH_HELD,
)
"""Somebody may be reading what is another patient's, or wrong: these come first."""
BY_DESTINATION = (AlertKind.DELIVERY_DEAD,)
"""One question for each destination."""
BY_PLUGIN = (AlertKind.JOB_UNREPORTABLE, AlertKind.JOB_REFUSED)
"""One question for each rule and plugin."""


class Position(NamedTuple):
    """Of a question in their order: the next page begins behind it."""

    urgency: int
    since: str
    kind: str
    group: str


@dataclass(frozen=True, slots=True)
class Question:
    """Open alerts of one kind that are one question."""

    kind: AlertKind
    group: str
    """What they have in common; the place of the alert where it is one."""
    place: str
    """Of the oldest of them."""
    count: int
    study: str | None
    """Of the oldest of them, where it is about one."""
    since: datetime
    detail: Mapping[str, Any]
    position: Position
    alert: int = 0
    """The number of the oldest of them."""
    acknowledged: bool = False
    """Somebody sees to that one."""


def _among(kinds: Sequence[AlertKind]) -> str:
    return ",".join(f"'{kind}'" for kind in kinds)


_GROUPED = (
    "WITH asked AS (SELECT alerts.*,"  # noqa: S608 - our own text
    f" {cause_sql('alerts', frozenset((*BY_DESTINATION, *BY_PLUGIN)))} AS grouped,"
    f" CASE WHEN kind IN ({_among(PATIENT)}) THEN 0"
    f" WHEN severity='{AlertSeverity.CRITICAL}' THEN 1 ELSE 2 END AS urgency"
    " FROM alerts WHERE closed_at IS NULL AND (:study IS NULL OR study=:study)"
    # each of these is a part of the question that the held study is
    f" AND NOT (kind IN ('{AlertKind.DELIVERY_HELD}', '{AlertKind.IDENTITY_DIFFERS}') AND EXISTS"
    "  (SELECT 1 FROM studies WHERE study_instance_uid=alerts.study AND hold IS NOT NULL))"
    f" AND kind<>'{AlertKind.INSTANCE_CORRECTION}'"
    f" AND NOT (kind='{AlertKind.DELIVERY_HELD}' AND EXISTS (SELECT 1 FROM alerts AS other"
    f"  WHERE other.kind='{AlertKind.IDENTITY_DIFFERS}' AND other.place=alerts.place AND other.closed_at IS NULL)))"
    " SELECT kind, grouped, place, study, detail, last_at, id, acknowledged_at, min(opened_at) AS since, count(*) AS n,"
    " urgency FROM asked"
    " GROUP BY kind, grouped"
    " HAVING :since IS NULL OR (urgency, since, kind, grouped)>(:urgency, :since, :kind, :grouped)"
    " ORDER BY urgency, since, kind, grouped LIMIT :limit"
)


def page(database: Database, limit: int, after: Position | None = None, study: str | None = None) -> list[Question]:
    """The next ones behind `after`, of all studies or of one; fewer than `limit` where there are no more.

    An alert whose condition has ended is among them until the node has closed it: `holds` says so of one.
    """
    last = after or Position(0, "", "", "")
    values = {"study": study, "limit": limit, "urgency": last.urgency, "since": last.since if after else None}
    rows = query(database, _GROUPED, values | {"kind": last.kind, "grouped": last.group})
    return readable(database, "alerts", rows, _question)


def holds(database: Database, question: Question) -> bool:
    """Whether it is still to be answered: nobody closes an alert while the node is stopped."""
    row = query(
        database,
        "SELECT detail, last_at FROM alerts WHERE kind=? AND place=? AND closed_at IS NULL",
        [question.kind, question.place],
    )
    return any(
        still_true(database, question.kind, question.place, detail=each["detail"], last=each["last_at"]) for each in row
    )


def _question(row: Mapping[str, Any]) -> Question:
    return Question(
        AlertKind(row["kind"]),
        row["grouped"],
        row["place"],
        row["n"],
        row["study"],
        from_text(row["since"]),
        json.loads(row["detail"]),
        Position(row["urgency"], row["since"], row["kind"], row["grouped"]),
        row["id"],
        row["acknowledged_at"] is not None,
    )
