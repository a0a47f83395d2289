"""Decisions: what each rule said about each revision of a study, with the trace of every clause."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query, to_json


class DecisionOutcome(StrEnum):
    """What came of a rule."""

    NOT_MATCHED = "not_matched"
    """A clause failed, or no series was left to choose."""
    MATCHED = "matched"
    """Jobs were made."""
    WAITING = "waiting"
    """Its `when` holds, and it waits for more of the study, until a timer is over (`node.ledger.timers`)."""
    UNCHANGED = "unchanged"
    """It matched, on the very inputs it has already had jobs for: nothing new is run."""


_KINDS = {
    DecisionOutcome.NOT_MATCHED: EventKind.DECISION_NOT_MATCHED,
    DecisionOutcome.MATCHED: EventKind.DECISION_MATCHED,
    DecisionOutcome.WAITING: EventKind.DECISION_WAITING,
    DecisionOutcome.UNCHANGED: EventKind.DECISION_UNCHANGED,
}


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """One row of `decisions`."""

    id: int
    study_instance_uid: str
    revision: int
    look: int
    """0: when this revision was complete; above: while the study grew after it, or when a wait was over."""
    rule: str
    rule_set: str
    """Digest of the rule set in force."""
    outcome: DecisionOutcome
    trace: Mapping[str, Any]
    """Clause by clause: what was asked, the value found, where, and why it passed or failed."""
    decided_at: datetime


def keep_rule_set(database: Database, at: datetime, digest: str, content: str) -> None:
    """Remember the text of a rule set under its digest, once."""
    database.execute("INSERT OR IGNORE INTO rule_sets VALUES (?,?,?)", [digest, content, to_text(at)])


def rule_set(database: Database, digest: str) -> str | None:
    """The text of a rule set that was in force; None where it was never kept."""
    row = one(database, "SELECT content FROM rule_sets WHERE digest=?", [digest])
    return None if row is None else str(row["content"])


def rules_of(database: Database, digest: str) -> tuple[dict[str, Any], ...]:
    """The rules of a rule set that was in force, as they were kept; none where it was never kept."""
    return _rules(rule_set(database, digest) or "[]")


def rule_of(database: Database, decision: int) -> Mapping[str, Any] | None:
    """The rule that took a decision, in its version then; None where that version was never kept."""
    taken = get(database, decision)
    return next((each for each in rules_of(database, taken.rule_set) if each["name"] == taken.rule), None)


def rule_sets(database: Database, beginning: str) -> list[str]:
    """Digests of the rule sets that were in force and begin so."""
    sql = "SELECT digest FROM rule_sets WHERE substr(digest, 1, ?)=? ORDER BY first_used_at LIMIT 20"
    return [row["digest"] for row in query(database, sql, [len(beginning), beginning])]


def get(database: Database, decision: int) -> StoredDecision:
    """The decision of this id."""
    row = one(database, "SELECT * FROM decisions WHERE id=?", [decision])
    assert row is not None, decision
    return _decision(row)


def record(
    database: Database,
    at: datetime,
    *,
    study: str,
    revision: int,
    rule: str,
    rule_set: str,
    outcome: DecisionOutcome,
    trace: Mapping[str, Any],
    look: int = 0,
) -> int:
    """One decision; returns its id, which its jobs name."""
    cursor = database.execute(
        "INSERT INTO decisions (study_instance_uid, revision, look, rule, rule_set, outcome, trace, decided_at)"
        " VALUES (?,?,?,?,?,?,?,?)",
        [study, revision, look, rule, rule_set, outcome, to_json(trace), to_text(at)],
    )
    events.record(database, at, _KINDS[outcome], study=study, rule=rule, revision=revision)
    assert cursor.lastrowid is not None, "SQLite gives every inserted row an id"
    return int(cursor.lastrowid)


def set_outcome(database: Database, decision: int, outcome: DecisionOutcome) -> None:
    """What came of it once its jobs were checked against the earlier ones; same transaction as `record`."""
    database.execute("UPDATE decisions SET outcome=? WHERE id=?", [outcome, decision])


def of_study(database: Database, study: str) -> list[StoredDecision]:
    """Decisions on a study, in the order in which they were taken."""
    rows = query(database, "SELECT * FROM decisions WHERE study_instance_uid=? ORDER BY id", [study])
    return [_decision(row) for row in rows]


@lru_cache(maxsize=8)
def _rules(content: str) -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(content))


def _decision(row: dict[str, Any]) -> StoredDecision:
    return StoredDecision(
        **{
            **row,
            "outcome": DecisionOutcome(row["outcome"]),
            "trace": json.loads(row["trace"]),
            "decided_at": from_text(row["decided_at"]),
        }
    )
