"""Restored ledgers: what a restore changes in the ledger of a backup, and the record of it.

The node went on after the backup, and what it did then is not in this ledger. So nothing may be taken for what it was:
jobs under way begin again, no attempt elsewhere is taken up by its handle, but at a vendor's box (`box_doubts`), and
what was to be sent may be there already (`node.ledger.earlier_results`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from node.clock import from_text, to_text
from node.ledger import attempts, backups, box_doubts, boxes, events, identity, jobs
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query


@dataclass(frozen=True, slots=True)
class Restoration:
    """One row of `restorations`."""

    id: int
    at: datetime
    by: str
    """Who restored it, as an actor: `os:USER`."""
    backup: str
    """Name of the backup."""
    made_at: datetime
    """When the backup was made: what came later is not in the ledger."""
    earlier_ledger: str
    """Identity of the ledger in the backup."""
    generation: int


def begin(database: Database, at: datetime, *, by: str, backup: str, made_at: datetime) -> Restoration:
    """This ledger goes on in the place of the one that it is a copy of."""
    earlier = identity.of(database)
    now = identity.renew(database)
    database.execute(
        "INSERT INTO restorations (at, by, backup, made_at, earlier_ledger, generation) VALUES (?,?,?,?,?,?)",
        [to_text(at), by, backup, to_text(made_at), earlier.id, now.generation],
    )
    restarted = _restart_jobs(database, at)
    _keep_at_boxes(database, at, made_at)
    backups.abandon(database, at)
    database.execute("DELETE FROM file_checks")  # the first start looks for every file
    events.record(
        database,
        at,
        EventKind.LEDGER_RESTORED,
        actor=by,
        backup=backup,
        made_at=to_text(made_at),
        generation=now.generation,
        jobs_restarted=restarted,
    )
    found = last(database)
    assert found is not None, "it was inserted"
    return found


def _restart_jobs(database: Database, at: datetime) -> int:
    """Attempts that were open at the backup are not taken up: whatever runs them knows another ledger.

    But for those at a vendor's box, which knows its images alone, and is not to get them again unasked.
    """
    running = [each.job for each in attempts.all_open(database) if boxes.box_at(each.place) is None]
    for job in running:
        jobs.interrupted(database, at, job, "the ledger was restored from a backup: it runs again")
    return len(running)


def _keep_at_boxes(database: Database, at: datetime, made_at: datetime) -> None:
    """They have as long as they had at the backup; where images were still to be sent, a person is asked."""
    there = [each for each in attempts.all_open(database) if boxes.box_at(each.place) is not None]
    for place in sorted({each.place for each in there}):
        attempts.clock_was_set(database, place, max(at - made_at, timedelta(0)))
    for each in there:
        known, box = boxes.get(database, each.id), boxes.box_at(each.place)
        if box is not None and (known is None or known.sent_at is None):
            box_doubts.ask(database, at, each.job, box, jobs.get(database, each.job).study_instance_uid)


def last(database: Database) -> Restoration | None:
    """The newest; None for a ledger that was never restored."""
    row = one(database, "SELECT * FROM restorations ORDER BY id DESC LIMIT 1")
    return _restoration(row) if row else None


def every(database: Database) -> list[Restoration]:
    """All of them, the newest first."""
    return [_restoration(row) for row in query(database, "SELECT * FROM restorations ORDER BY id DESC")]


def _restoration(row: dict[str, Any]) -> Restoration:
    return Restoration(**{**row, "at": from_text(row["at"]), "made_at": from_text(row["made_at"])})
