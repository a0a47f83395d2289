"""Copies of a ledger file for backups: made while others write, and read without touching the file.

One read transaction is open while the file is copied, and SQLite copies it in one step: the copy is the ledger at one
moment. Writers go on meanwhile; only the write-ahead log grows until the copy is made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from node.errors import LedgerError, NotFoundError, TransientError
from node.ledger import identity, instances
from node.ledger.connection import Connection, Database
from node.ledger.database import BUSY_SECONDS
from node.ledger.identity import LedgerIdentity
from node.ledger.rows import one
from node.ledger.schema.versions import SET, VERSIONS
from node.ledger.turnstile import Turnstile

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CopyDescription:
    """What a copy says of itself."""

    ledger: str
    generation: int
    schema: tuple[str, ...]
    """The migrations that it has had."""
    last_event: int
    """Number of the newest event in it."""


def copy(path: Path, target: Path, beforehand: Callable[[], T]) -> T:
    """Copy the ledger at `path` to `target`; what `beforehand` returns.

    `beforehand` is called while nobody can write to the ledger, right before the moment that the copy shows: it has to
    be quick. Raises NotFoundError where there is no ledger, LedgerError where it is damaged, TransientError where it is
    locked or a disk refuses.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: there is no ledger to back up")
    try:
        with closing(_open(f"{path.absolute().as_uri()}?mode=ro")) as source:
            with _turn(path):
                seen = beforehand()
                source.execute("BEGIN")
                source.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()  # BEGIN alone takes no snapshot
            with closing(sqlite3.connect(target)) as made:
                source.backup(made)
                made.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            source.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise TransientError(f"the ledger {path} could not be copied to {target}: {error}") from error
        raise LedgerError(f"{path}: the ledger is damaged ({error}); see pacsnode verify") from error
    return seen


@contextmanager
def reading(path: Path) -> Iterator[Database]:
    """A copy that nobody writes to, of whatever schema; raises LedgerError where it is no ledger."""
    try:
        with closing(_open(f"{path.absolute().as_uri()}?mode=ro&immutable=1")) as connection:
            yield Database(connection)
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: not a ledger, or damaged ({error})") from error


def describe(database: Database) -> CopyDescription:
    """What the copy is of."""
    has_identity = one(database, "SELECT 1 FROM sqlite_schema WHERE name='ledger'")  # the first releases had none
    its = identity.of(database) if has_identity else LedgerIdentity("", 1)
    rows = database.query("SELECT name FROM _sqlite_migrations WHERE migration_set=? ORDER BY rowid", [SET])
    newest = one(database, "SELECT max(id) AS id FROM events")
    return CopyDescription(
        its.id, its.generation, tuple(row["name"] for row in rows), int((newest and newest["id"]) or 0)
    )


def damage(database: Database) -> list[str]:
    """What SQLite finds wrong with the file; nothing where it is sound."""
    found = [str(row[0]) for row in database.execute("PRAGMA quick_check(5)").fetchall()]
    return [] if found == ["ok"] else found


def newer_than_us(schema: tuple[str, ...]) -> list[str]:
    """Migrations that this program does not know."""
    return [name for name in schema if name not in VERSIONS]


def receipts(database: Database) -> Iterator[str]:
    """Every receipt whose file is to be here, sorted; in an earlier schema, whose releases removed none, all."""
    if one(database, "SELECT 1 FROM sqlite_schema WHERE name='purges'"):
        return instances.receipts(database)
    return (receipt for (receipt,) in database.execute("SELECT receipt FROM instances ORDER BY receipt"))


def result_folders(database: Database) -> Iterator[str]:
    """Ids of the jobs that have a result, sorted: the names of their folders in `results/`."""
    return (job for (job,) in database.execute("SELECT id FROM jobs WHERE result IS NOT NULL ORDER BY id"))


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    try:
        with Turnstile(path).turn(BUSY_SECONDS):
            yield
    except TimeoutError as error:
        raise TransientError(f"{path}: the ledger is locked (others write)") from error


def _open(name: str) -> Connection:
    return sqlite3.connect(name, timeout=BUSY_SECONDS, isolation_level=None, uri=True, factory=Connection)
