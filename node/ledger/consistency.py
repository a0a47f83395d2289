"""Whether a ledger is whole: SQLite's own checks, the numbers that are kept, and states that cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from node.errors import LedgerError
from node.ledger import tallies
from node.ledger.attempts import AttemptState
from node.ledger.connection import Connection, Database
from node.ledger.database import BUSY_SECONDS
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobStatus
from node.ledger.notifications import NotificationStatus
from node.ledger.studies import StudyStatus

_MOST = 20
"""Examples of one kind."""


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """One kind of thing that is wrong."""

    sentence: str
    rows: int
    examples: tuple[str, ...]


_ENUMS: Mapping[tuple[str, str, str], type[StrEnum]] = {
    ("attempts", "id", "state"): AttemptState,
    ("deliveries", "id", "status"): DeliveryStatus,
    ("instances", "receipt", "status"): InstanceStatus,
    ("jobs", "id", "status"): JobStatus,
    ("notifications", "id", "status"): NotificationStatus,
    ("studies", "study_instance_uid", "status"): StudyStatus,
}
"""(table, key, column) of each state: it is one of these."""

_IMPOSSIBLE: Mapping[str, str] = {
    "jobs are running without an open attempt": "SELECT id FROM jobs WHERE status='running'"
    " AND NOT EXISTS (SELECT 1 FROM attempts WHERE job=jobs.id AND ended_at IS NULL)",
    "attempts are open although their job is not running": "SELECT attempts.id FROM attempts JOIN jobs ON jobs.id=job"
    " WHERE ended_at IS NULL AND jobs.status<>'running'",
    "jobs are over without an outcome": "SELECT id FROM jobs WHERE status IN ('ended', 'reported') AND outcome IS NULL",
    "jobs are to be encoded and have no result": "SELECT id FROM jobs WHERE status='ended' AND result IS NULL",
    "jobs are of a study that is not there": "SELECT id FROM jobs WHERE study_instance_uid NOT IN"
    " (SELECT study_instance_uid FROM studies)",
    "results are to be sent, and there is no such object": "SELECT id FROM deliveries WHERE kind='object'"
    " AND item NOT IN (SELECT sop_instance_uid FROM objects)",
    "deliveries are delivered at no time": "SELECT id FROM deliveries WHERE status='delivered' AND sent_at IS NULL",
    "SOP Instance UIDs have two current instances": "SELECT sop_instance_uid FROM instances"
    " WHERE status IN ('current', 'rejected') GROUP BY sop_instance_uid HAVING count(*)>1",
    "instances are of a study that is not there": "SELECT receipt FROM instances WHERE status='current'"
    " AND study_instance_uid NOT IN (SELECT study_instance_uid FROM studies)",
    "studies are complete in no revision": "SELECT study_instance_uid FROM studies WHERE status='complete'"
    " AND revision<1",
    "studies are decided beyond their revision": "SELECT study_instance_uid FROM studies"
    " WHERE decided_revision>revision",
}
"""What cannot be, and the rows that say so."""


@contextmanager
def at_one_moment(path: Path) -> Iterator[Database]:
    """The ledger as it is when the block begins, for checks that take long: the write-ahead log grows meanwhile.

    Raises LedgerError where the file is not a ledger.
    """
    name = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(name, BUSY_SECONDS, isolation_level=None, uri=True, factory=Connection)) as found:
            found.execute("BEGIN")
            found.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
            yield Database(found)
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: damaged ({error}); restore it from a backup") from error


def faults(database: Database) -> list[LedgerFault]:
    """All that is wrong; where the file itself is damaged, that alone."""
    damage = [str(row[0]) for row in database.execute(f"PRAGMA integrity_check({_MOST})").fetchall()]
    if damage != ["ok"]:
        return [LedgerFault(DAMAGED, len(damage), tuple(damage))]
    return [
        *_broken_references(database),
        *_wrong_tallies(database),
        *_unknown_states(database),
        *_impossible(database),
    ]


def _broken_references(database: Database) -> Iterator[LedgerFault]:
    rows = database.execute("PRAGMA foreign_key_check").fetchall()
    if rows:
        told = tuple(f"{table} row {row} names a row of {parent}" for table, row, parent, _ in rows[:_MOST])
        yield LedgerFault("rows name others that are not there (foreign_key_check)", len(rows), told)


def _wrong_tallies(database: Database) -> Iterator[LedgerFault]:
    if wrong := tallies.wrong(database):
        told = tuple(
            f"{each.name} {each.place} {each.status}: {each.tallied}, counted {each.counted}" for each in wrong[:_MOST]
        )
        yield LedgerFault(TALLIES, len(wrong), told)


DAMAGED = "the file is damaged (integrity_check)"
"""Nothing that it says can be relied on: it is restored from a backup."""
TALLIES = "numbers that are kept are not what counting gives"
"""The one fault whose repair is certain: count again."""


def _unknown_states(database: Database) -> Iterator[LedgerFault]:
    for (table, key, column), states in _ENUMS.items():
        marks = ",".join("?" for _ in states)
        sql = f"SELECT {key} FROM {table} WHERE {column} NOT IN ({marks})"  # noqa: S608 - names of our own
        yield from _fault(database, f"{table} are in a state that does not exist", sql, [*states])


def _impossible(database: Database) -> Iterator[LedgerFault]:
    for sentence, sql in _IMPOSSIBLE.items():
        yield from _fault(database, sentence, sql, [])


def _fault(database: Database, sentence: str, sql: str, values: list[StrEnum]) -> Iterator[LedgerFault]:
    rows = database.execute(sql, values).fetchall()
    if rows:
        yield LedgerFault(sentence, len(rows), tuple(str(row[0]) for row in rows[:_MOST]))
