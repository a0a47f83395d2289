"""Timers of rules on studies: how long one waits for more, and when it is next asked about one that grows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, placeholders, query
from node.ledger.unreadable import readable, soonest


class TimerKind(StrEnum):
    """What happens when it is over."""

    WAIT = "wait"
    """The rule is asked again, and does what it says for when more has not come."""
    GROWING = "growing"
    """The rule is asked about what has come so far."""


@dataclass(frozen=True, slots=True)
class Timer:
    """One row of `timers`: of each kind one a study and rule."""

    study_instance_uid: str
    rule: str
    kind: TimerKind
    since: datetime
    due_at: datetime
    decision: int | None
    """The decision that began to wait: its version of the rule decides in the end."""
    ended_by: str | None = None
    """Who said that nothing more comes, as an actor; None where its time decides."""


def start(
    database: Database,
    study: str,
    rule: str,
    kind: TimerKind,
    since: datetime,
    due_at: datetime,
    decision: int | None = None,
) -> None:
    """Start it, or set it again."""
    database.execute(
        "INSERT OR REPLACE INTO timers (study_instance_uid, rule, kind, since, due_at, decision) VALUES (?,?,?,?,?,?)",
        [study, rule, kind, to_text(since), to_text(due_at), decision],
    )


def end(database: Database, at: datetime, timer: Timer, by: str) -> None:
    """A person, `by` as an actor, says that nothing more comes: the wait is over now, as at its deadline."""
    study, rule = timer.study_instance_uid, timer.rule
    database.execute(
        "UPDATE timers SET due_at=min(due_at, ?), ended_by=? WHERE study_instance_uid=? AND kind='wait' AND rule=?",
        [to_text(at), by, study, rule],
    )
    events.record(database, at, EventKind.RULE_WAIT_ENDED, study=study, actor=by, rule=rule)


def stop(database: Database, study: str, kind: TimerKind, rule: str) -> None:
    """There is nothing to wait for any more."""
    database.execute("DELETE FROM timers WHERE study_instance_uid=? AND kind=? AND rule=?", [study, kind, rule])


def stop_others(database: Database, study: str, kind: TimerKind, but: Collection[str] = ()) -> None:
    """Of this study only those of the rules named go on."""
    sql = f"DELETE FROM timers WHERE study_instance_uid=? AND kind=? AND rule NOT IN ({placeholders(but)})"  # noqa: S608 - only question marks
    database.execute(sql, [study, kind, *but])


def get(database: Database, study: str, kind: TimerKind, rule: str) -> Timer | None:
    """The timer of a rule on a study."""
    sql = "SELECT * FROM timers WHERE study_instance_uid=? AND kind=? AND rule=?"
    row = one(database, sql, [study, kind, rule])
    return _timer(row) if row else None


_WAITS_OVER = (
    "SELECT timers.* FROM timers JOIN studies USING (study_instance_uid) WHERE kind='wait'"
    " AND status='complete' AND decided_revision=revision AND hold IS NULL"
)
"""A study that grows, or is about to be decided, is decided with all that has come; of a held one nothing is done."""


def waits_over(database: Database, at: datetime) -> list[Timer]:
    """Waits whose time has come, on studies that are complete and decided otherwise."""
    sql = f"{_WAITS_OVER} AND timers.due_at<=? ORDER BY timers.due_at"
    return readable(database, "timers", query(database, sql, [to_text(at)]), _timer)


def next_wait_over(database: Database) -> datetime | None:
    """When the next of these waits is over."""
    row = one(database, f"SELECT min(due_at) AS t FROM ({_WAITS_OVER})")  # noqa: S608 - a text of ours
    return soonest(row["t"]) if row else None


def waiting(database: Database, study: str | None = None) -> list[Timer]:
    """Rules that wait for more of this study (of any), soonest first."""
    sql = "SELECT * FROM timers WHERE kind=:kind AND (:study IS NULL OR study_instance_uid=:study) ORDER BY due_at"
    return readable(database, "timers", query(database, sql, {"kind": TimerKind.WAIT, "study": study}), _timer)


def _timer(row: dict[str, Any]) -> Timer:
    return Timer(
        **{
            **row,
            "kind": TimerKind(row["kind"]),
            "since": from_text(row["since"]),
            "due_at": from_text(row["due_at"]),
        }
    )
