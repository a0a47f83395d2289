"""The ledger's file: opening it, its schema's version, and the one kind of transaction that writes.

SQLite in WAL mode, synchronous=FULL, foreign keys on, one connection a thread. Every write runs in
`Ledger.transaction()`, which begins IMMEDIATE: a plain BEGIN that reads and then writes fails at
once under contention, whatever the busy timeout.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from node.errors import LedgerError, NotFoundError, TransientError
from node.ledger.schema.migrations import VERSIONS, migrations

__all__ = ["Database", "Ledger"]

BUSY_SECONDS = 30.0
FILE = "ledger.db"
"""Its name in the data folder."""

_TRANSIENT = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
    | {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL}
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Ledger:
    """One ledger file; safe to share between threads, each of which gets its own connection."""

    def __init__(self, path: Path) -> None:
        """Open the ledger, making or migrating it.

        Raises LedgerError where the file is damaged or was written by a newer program.
        """
        self.path = path
        self._local = threading.local()
        try:
            self._check_version()
            migrations.apply(self.database)
        except sqlite3.DatabaseError as error:
            raise self.named(error) from error

    @classmethod
    def existing(cls, path: Path) -> Ledger:
        """Open a ledger that is there already, as it is: nothing is made and no schema is changed.

        Raises NotFoundError where there is none, LedgerError where its schema is not this program's.
        """
        if not path.is_file():
            raise NotFoundError(f"{path}: there is no ledger; `pacsnode serve` makes it when it first starts")
        ledger = cls.__new__(cls)
        ledger.path = path
        ledger._local = threading.local()
        try:
            ledger._check_version()
            behind = [migration.name for migration in migrations.pending(ledger.database)]
        except sqlite3.DatabaseError as error:
            raise ledger.named(error) from error
        if behind:
            raise LedgerError(
                f"{path}: written by an older pacsnode (schema {behind[0]} is missing). "
                "Nothing was changed. `pacsnode serve` brings it up to date when it starts."
            )
        return ledger

    @property
    def database(self) -> Database:
        """This thread's connection, for reading; writes go through `transaction()`."""
        existing: Database | None = getattr(self._local, "database", None)
        if existing is None:
            existing = self._local.database = self._connect()
        return existing

    def _connect(self) -> Database:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=True)
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={int(BUSY_SECONDS * 1000)}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return Database(connection)

    def _check_version(self) -> None:
        applied = {migration.name for migration in migrations.applied(self.database)}
        unknown = sorted(applied - set(VERSIONS))
        if unknown:
            raise LedgerError(
                f"{self.path}: written by a newer pacsnode (schema {unknown[-1]}, this program knows {VERSIONS[-1]}). "
                "Nothing was changed. Start the newer program, or restore the backup made before it was installed."
            )

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """All or nothing; committed when the block ends, rolled back when it raises.

        Raises TransientError where the ledger stays locked for longer than `BUSY_SECONDS` or the disk
        refuses, LedgerError where the file is damaged. Does not nest.
        """
        with self.reading() as database:
            database.conn.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.conn.execute("COMMIT")
            except BaseException:
                if database.conn.in_transaction:
                    database.conn.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """This thread's connection, with the failures of SQLite named as `transaction` names them."""
        try:
            yield self.database
        except sqlite3.DatabaseError as error:
            named = self.named(error)
            if named is error:
                raise
            raise named from error

    def named(self, error: Exception) -> Exception:
        """What a failure of SQLite means for the node; a mistake in a statement, or another error, stays what it is."""
        if not isinstance(error, sqlite3.DatabaseError):
            return error
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF  # without its extension
        if code in _TRANSIENT:
            return TransientError(f"{self.path}: the ledger is locked or its disk refuses ({error})")
        if code in _DAMAGED:
            return LedgerError(
                f"{self.path}: the ledger is damaged ({error}). Nothing was changed. Restore it from a backup; "
                f"the received files lie untouched in {self.path.parent / 'store'}."
            )
        return error

    def close(self) -> None:
        """Close this thread's connection."""
        existing: Database | None = getattr(self._local, "database", None)
        if existing is not None:
            existing.close()
            del self._local.database
