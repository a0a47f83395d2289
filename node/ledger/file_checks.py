"""Whether every file that a row names was there, looked at after each upgrade (`node.serve.upgrade`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger import alerts, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, to_json


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One row of `file_checks`."""

    id: int
    at: datetime
    program: Mapping[str, Any]
    """Release, schema and layout of the program that looked."""
    images: int
    """How many stored images were missing."""
    results: int
    """How many files of results were missing."""
    examples: Sequence[str]


def record(
    database: Database,
    at: datetime,
    program: Mapping[str, Any],
    *,
    images: int = 0,
    results: int = 0,
    examples: Sequence[str] = (),
) -> None:
    """This many are missing; any is an alert until a later check finds them all."""
    database.execute(
        "INSERT INTO file_checks (at, program, images, results, examples) VALUES (?,?,?,?,?)",
        [to_text(at), to_json(dict(program)), images, results, to_json(list(examples))],
    )
    if not images and not results:
        events.record(database, at, EventKind.FILES_CHECKED, program=dict(program))
        return
    alerts.raised(
        database,
        at,
        AlertKind.FILES_MISSING,
        "data",
        program=dict(program),
        images=images,
        results=results,
        examples=list(examples),
    )


def last(database: Database) -> FileCheck | None:
    """The newest; None before the first."""
    row = one(database, "SELECT * FROM file_checks ORDER BY id DESC LIMIT 1")
    if row is None:
        return None
    values = {"at": from_text(row["at"]), "program": json.loads(row["program"])}
    return FileCheck(**{**row, **values, "examples": json.loads(row["examples"])})
