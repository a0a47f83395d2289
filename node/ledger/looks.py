"""Looks: the times that rules are asked about a study besides when it is complete.

While it grows after a revision (`series complete`, `every 5 minutes`), when what a rule waited for has not come, or
when a vendor's box has answered (`origin: answer`).
The facts of a look are kept like those of a revision, under its number, so that what was decided can be explained.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger import events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import moment, one, query, to_json
from node.ledger.unreadable import readable


@dataclass(frozen=True, slots=True)
class Look:
    """One row of `looks`."""

    study_instance_uid: str
    revision: int
    """The newest complete revision then; 0 before the first."""
    look: int
    """1, and one more for each further look at this revision."""
    rules: tuple[str, ...]
    """Names of the rules that are asked."""
    growing: frozenset[str] | None
    """Series of which more is expected; None where the study is complete."""
    asked_at: datetime
    decided_at: datetime | None
    answer: str | None = None
    """The job of a vendor's box whose answer it is about."""


def planned(
    database: Database,
    at: datetime,
    study: str,
    revision: int,
    rules: Iterable[str],
    growing: Collection[str] | None = None,
    answer: str | None = None,
) -> Look:
    """The next look at a study, not kept yet."""
    row = one(database, "SELECT max(look) AS n FROM looks WHERE study_instance_uid=? AND revision=?", [study, revision])
    number = (row["n"] or 0) + 1 if row else 1
    expected = None if growing is None else frozenset(growing)
    return Look(study, revision, number, tuple(sorted(rules)), expected, at, None, answer)


def keep(database: Database, look: Look) -> None:
    """It is to be decided on; whoever takes it has kept the facts that it sees, where they are new."""
    growing = None if look.growing is None else to_json(sorted(look.growing))
    database.execute(
        "INSERT INTO looks (study_instance_uid, revision, look, rules, growing, asked_at, answer)"
        " VALUES (?,?,?,?,?,?,?)",
        [
            look.study_instance_uid,
            look.revision,
            look.look,
            to_json(look.rules),
            growing,
            to_text(look.asked_at),
            look.answer,
        ],
    )
    events.record(
        database,
        look.asked_at,
        EventKind.STUDY_LOOKED_AT,
        study=look.study_instance_uid,
        revision=look.revision,
        look=look.look,
        rules=look.rules,
        growing=look.growing is not None,
    )


def decided(database: Database, at: datetime, look: Look) -> None:
    """The rules have decided, or need not any more."""
    database.execute(
        "UPDATE looks SET decided_at=? WHERE study_instance_uid=? AND revision=? AND look=?",
        [to_text(at), look.study_instance_uid, look.revision, look.look],
    )


def undecided(database: Database) -> list[Look]:
    """Looks on which nothing has been decided, oldest first."""
    return readable(
        database, "looks", query(database, "SELECT * FROM looks WHERE decided_at IS NULL ORDER BY rowid"), _look
    )


def get(database: Database, study: str, revision: int, look: int) -> Look | None:
    """The look of this number; None where there is none, as for a complete revision (look 0)."""
    row = one(
        database, "SELECT * FROM looks WHERE study_instance_uid=? AND revision=? AND look=?", [study, revision, look]
    )
    return _look(row) if row else None


def _look(row: dict[str, Any]) -> Look:
    return Look(
        **{
            **row,
            "rules": tuple(json.loads(row["rules"])),
            "growing": None if row["growing"] is None else frozenset(json.loads(row["growing"])),
            "asked_at": from_text(row["asked_at"]),
            "decided_at": moment(row["decided_at"]),
        }
    )
