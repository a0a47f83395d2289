"""`data/console.db`: opening it, and the one kind of transaction."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from node.errors import LedgerError, TransientError

FILE = "console.db"
"""Its name in the data folder."""
_VERSION = 1
_SCHEMA = """
CREATE TABLE users (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT, must_change INTEGER NOT NULL, disabled INTEGER NOT NULL,
    created_at TEXT NOT NULL, created_by TEXT NOT NULL
);
CREATE TABLE sessions (
    digest TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE, csrf TEXT NOT NULL,
    began_at REAL NOT NULL, seen_at REAL NOT NULL, confirmed_at REAL NOT NULL, address TEXT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user);
CREATE TABLE failed_logins (place TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX failed_logins_by_place ON failed_logins (place, at);
CREATE TABLE launches (nonce TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE drafts (
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE, file TEXT NOT NULL, base TEXT NOT NULL,
    text TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (user, file)
);
"""
_TRANSIENT = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)


class Accounts:
    """One file of accounts; safe to share between threads, which take turns."""

    def __init__(self, data: Path) -> None:
        """Open the file in this data folder; it is made where there is none, for its owner alone. LedgerError."""
        self.path = data / FILE
        self._turn = threading.RLock()
        with self._named():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                self._connection.execute(f"PRAGMA {setting}")
            self._make()

    def _make(self) -> None:
        with self.transaction():
            ((version,),) = self.query("PRAGMA user_version")
            if version > _VERSION:
                raise LedgerError(f"{self.path}: written by a newer pacsnode; nothing was changed")
            if not version:
                for statement in _SCHEMA.split(";\n"):
                    if statement.strip():
                        self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={_VERSION}")

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a statement gives."""
        with self._turn, self._named():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Accounts]:
        """All or nothing. Raises TransientError where the file is locked or the disk refuses."""
        with self._turn, self._named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def copy_to(self, target: Path) -> None:
        """A copy at one moment in a new file, for a backup: accounts without sessions, which end before any restore."""
        with self._turn, self._named():
            self._connection.execute("VACUUM INTO ?", [str(target)])
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                for table in ("sessions", "failed_logins"):
                    copy.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
                copy.execute("VACUUM")  # so that no page of the file has them
            finally:
                copy.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
            kind = TransientError if code in _TRANSIENT else LedgerError
            raise kind(f"{self.path}: {error}") from error
