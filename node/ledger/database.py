"""The ledger's file: opening it, its schema's version, and the one kind of transaction that writes.

SQLite in WAL mode, synchronous=FULL, foreign keys on, one connection a thread. Every write runs in
`Ledger.transaction()`, which begins IMMEDIATE: a plain BEGIN that reads and then writes fails at
once under contention, whatever the busy timeout. What must agree with each other is read in
`Ledger.snapshot()`: statements outside of it each see the ledger as it is at that moment.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from node.errors import LedgerError, NotFoundError, TransientError
from node.ledger.connection import Connection, Database
from node.ledger.row_notes import RowNotes
from node.ledger.schema.versions import SET, VERSIONS
from node.ledger.turnstile import Turnstile

__all__ = ["Database", "Ledger"]

T = TypeVar("T")

BUSY_SECONDS = 30.0
FILE = "ledger.db"
"""Its name in the data folder."""
_SETTINGS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "recursive_triggers=ON",  # what REPLACE removes is counted, too (`node.ledger.tallies`)
    f"journal_size_limit={64 << 20}",  # what a long reader has let the WAL grow to is given back
)

_AT_A_TIME = 50
"""Items that are settled one by one in a transaction: each takes a few statements."""

_TRANSIENT = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
    | {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL}
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class _Connections(threading.local):
    """What one thread has opened: to read and write, and to read a snapshot."""

    writing: Database | None = None
    reading: Database | None = None


def slices(those: Sequence[T]) -> Iterator[Sequence[T]]:
    """Many items, in parts that one transaction settles within 50 ms."""
    for first in range(0, len(those), _AT_A_TIME):
        yield those[first : first + _AT_A_TIME]


class Ledger:
    """One ledger file; safe to share between threads, each of which gets its own connections."""

    def __init__(self, path: Path) -> None:
        """Open the ledger, making or migrating it.

        Raises LedgerError where the file is damaged or was written by a newer program.
        """
        from node.ledger.schema import migrations  # takes a while, and whoever opens what is there needs none of it

        self._prepare(path)
        try:
            self._check_version()
            migrations.apply(self.database.conn)
        except sqlite3.DatabaseError as error:
            raise self.named(error) from error

    @classmethod
    def existing(cls, path: Path, after_write: Callable[[], None] = lambda: None) -> Ledger:
        """Open a ledger that is there already, as it is: nothing is made and no schema is changed.

        `after_write` is called after each transaction; it must not raise.
        Raises NotFoundError where there is none, LedgerError where its schema is not this program's.
        """
        if not path.is_file():
            raise NotFoundError(f"{path}: there is no ledger; `pacsnode serve` makes it when it first starts")
        ledger = cls.__new__(cls)
        ledger._prepare(path)
        ledger._after_write = after_write
        try:
            ledger._check_version()
            applied = ledger._applied()
            behind = [version for version in VERSIONS if version not in applied]
        except sqlite3.DatabaseError as error:
            raise ledger.named(error) from error
        if behind:
            raise LedgerError(
                f"{path}: written by an older pacsnode (schema {behind[0]} is missing). "
                "Nothing was changed. `pacsnode serve` brings it up to date when it starts."
            )
        return ledger

    def _prepare(self, path: Path) -> None:
        self.path = path
        self._after_write: Callable[[], None] = lambda: None
        self._turnstile = Turnstile(path)
        self._local = _Connections()
        self.row_notes = RowNotes()
        self._open: WeakSet[Connection] = WeakSet()  # a thread that ends lets go of its connections
        self._opening = threading.Lock()

    @property
    def database(self) -> Database:
        """This thread's connection, for reading; writes go through `transaction()`."""
        return self._writing()

    def _writing(self) -> Database:
        mine = self._local.writing
        if mine is None or _connection(mine).closed:
            mine = self._local.writing = self._connect(str(self.path), _SETTINGS)
        return mine

    def _reading(self) -> Database:
        mine = self._local.reading
        if mine is None or _connection(mine).closed:
            name = f"{self.path.absolute().as_uri()}?mode=ro"
            mine = self._local.reading = self._connect(name, ("query_only=ON",), reads_only=True)
        return mine

    def _connect(self, name: str, settings: tuple[str, ...], *, reads_only: bool = False) -> Database:
        connection = sqlite3.connect(
            name,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            uri=True,
            factory=Connection,
            check_same_thread=False,  # used by one thread, and closed by whichever closes the ledger
        )
        ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
        if not pages:  # a new file: before anything is written to it
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
        connection.reads_only, connection.row_notes = reads_only, self.row_notes
        with self._opening:
            self._open.add(connection)
        return Database(connection)

    def _check_version(self) -> None:
        unknown = sorted(self._applied() - set(VERSIONS))
        if unknown:
            raise LedgerError(
                f"{self.path}: written by a newer pacsnode (schema {unknown[-1]}, this program knows {VERSIONS[-1]}). "
                "Nothing was changed. Start the newer program, or restore the backup made before it was installed."
            )

    def _applied(self) -> set[str]:
        """The versions of the schema that this file has had, by sqlite-utils' own table; none in a new file."""
        table = self.database.execute("SELECT 1 FROM sqlite_schema WHERE name='_sqlite_migrations'").fetchone()
        if table is None:
            return set()
        rows = self.database.execute("SELECT name FROM _sqlite_migrations WHERE migration_set=?", [SET]).fetchall()
        return {name for (name,) in rows}

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """All or nothing; committed when the block ends, rolled back when it raises.

        Writers of all threads and processes take turns (`node.ledger.turnstile`), so that nobody waits for more than a
        few transactions of others. Hence none may be long, at most 50 ms: what has to be decoded, compressed, hashed or
        waited for is done before it.

        Raises TransientError where the ledger stays locked for longer than `BUSY_SECONDS` or the disk
        refuses, LedgerError where the file is damaged. Does not nest.
        """
        with self._named(), self._turn(), _busy(self._writing) as database:
            database.conn.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.conn.execute("COMMIT")
            except BaseException:
                if database.conn.in_transaction:
                    database.conn.execute("ROLLBACK")
                raise
        self._after_write()

    def settle_each(self, those: Sequence[T], settle: Callable[[Database, T], object]) -> None:
        """Do this with each of many, however many they are: a few in each transaction, so that others get their turn.

            ledger.settle_each(due, lambda database, each: deliveries.hold(database, now, each.id, reason))

        A crash leaves the rest as it was, and others write in between: `settle` has to look whether it still applies.
        """
        for part in slices(those):
            with self.transaction() as database:
                for each in part:
                    settle(database, each)

    def give_back(self, pages: int = 200) -> None:
        """Give some of the pages that removed rows have left back to the disk, in a turn of its own; a few ms.

        Raises what `transaction` raises.
        """
        with self._named(), self._turn(), _busy(self._writing) as database:
            # A page a step, and no rows: `execute` takes the first step only.
            database.conn.executescript(f"PRAGMA incremental_vacuum({int(pages)})")

    @contextmanager
    def snapshot(self) -> Iterator[Database]:
        """The ledger as it is when the block begins, whatever is written meanwhile; read-only.

        For reads of at most 250 ms that must agree with each other. Render, send and wait after the block, not in it:
        while a snapshot is open, the WAL cannot begin again from its start and grows with each write. Failures are
        named as `transaction` names them. Does not nest.
        """
        with self._named(), _busy(self._reading) as database:
            database.conn.execute("BEGIN")
            try:
                database.conn.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()  # BEGIN alone takes no snapshot
                yield database
            finally:
                if database.conn.in_transaction:
                    database.conn.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """This thread's connection, with the failures of SQLite named as `transaction` names them.

        Each statement sees the ledger as it is at that moment: `snapshot` is for those that must agree.
        """
        with self._named():
            yield self.database

    @contextmanager
    def _turn(self) -> Iterator[None]:
        assert not self._writing().conn.in_transaction, "transactions do not nest"
        with ExitStack() as turn:
            try:
                turn.enter_context(self._turnstile.turn(BUSY_SECONDS))
            except OSError as error:
                why = "others write" if isinstance(error, TimeoutError) else error
                raise TransientError(f"{self.path}: the ledger is locked ({why})") from error
            yield

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
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
        """Close the connections of all threads, each when its statement, transaction or snapshot is over.

        A thread that goes on after that gets a new one.
        """
        with self._opening:
            still_open = sorted(self._open, key=lambda each: not each.reads_only)  # the last takes the WAL with it
            self._turnstile = Turnstile(self.path)  # the old one's files are closed with the last who waits in it
        for connection in still_open:
            connection.close()


@contextmanager
def _busy(find: Callable[[], Database]) -> Iterator[Database]:
    """The connection that `find` has open, not closed by another thread before the block ends."""
    while True:
        database = find()
        connection = _connection(database)
        with connection.busy:
            if not connection.closed:
                yield database
                return


def _connection(database: Database) -> Connection:
    assert isinstance(database.conn, Connection), "the ledger opens no others"
    return database.conn
