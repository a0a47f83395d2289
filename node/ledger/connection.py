"""One thread's connection to the ledger: what every module of this room reads and writes with.

It is SQLite's own connection and no more, so that a command that asks the ledger starts at once: sqlite-utils, which
brings numpy, is imported where a schema is made or brought up to date (`node.ledger.schema`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from node.errors import TransientError
from node.ledger.row_notes import RowNotes


class Connection(sqlite3.Connection):
    """A connection that another thread may close: between two statements or reads of rows, never within one.

    Who uses it afterwards gets a TransientError: the node is stopping, which is no mistake of what is in hand.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.busy = threading.RLock()
        """Held by the connection's thread while a statement, a transaction or a snapshot is under way."""
        self.closed = self.reads_only = False
        self.row_notes = RowNotes()
        """Those of its ledger."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """As SQLite's own."""
        with self.busy:
            self.check_open()
            return self.cursor(_Cursor).execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """As SQLite's own."""
        with self.busy:
            self.check_open()
            return self.cursor(_Cursor).executemany(*arguments)

    def check_open(self) -> None:
        """Called by who holds `busy`. Raises TransientError."""
        if self.closed:
            raise TransientError("the ledger was closed meanwhile: the node is stopping")

    def close(self) -> None:
        """Once what is under way has ended."""
        with self.busy:
            self.closed = True
            super().close()


class _Cursor(sqlite3.Cursor):
    """What one statement finds; read within its connection's `busy`."""

    connection: Connection

    def fetchone(self) -> Any:
        with self.connection.busy:
            self.connection.check_open()
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with self.connection.busy:
            self.connection.check_open()
            return super().fetchall()

    def __next__(self) -> Any:
        with self.connection.busy:
            self.connection.check_open()
            return super().__next__()


class Database:
    """The ledger by one connection."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """One statement."""
        return self.conn.execute(sql, parameters)

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """Rows as dictionaries, all of them: no cursor outlives its transaction."""
        cursor = self.conn.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
