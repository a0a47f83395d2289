"""The ledger's file: transactions, versions, damage, and several writers at once."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlite_utils import Database as SchemaDatabase

from node.errors import LedgerError, NotFoundError, TransientError
from node.ledger import database as module
from node.ledger import decisions, events, facts, jobs
from node.ledger.database import Database, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one
from node.ledger.schema.migrations import migrations
from node.ledger.schema.versions import VERSIONS
from node.ledger.terms import Terms
from tests.support import history

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_events_can_be_neither_changed_nor_deleted(ledger: Ledger) -> None:
    """History is append-only, whoever tries."""
    for statement in ("UPDATE events SET kind='x'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"), ledger.transaction() as database:
            database.execute(statement)
    assert history.latest(ledger.database, 10)


def test_a_transaction_that_raises_leaves_nothing(ledger: Ledger) -> None:
    """What was written before the exception is rolled back, and the connection goes on working."""
    before = len(history.latest(ledger.database, 1000))
    with pytest.raises(RuntimeError), ledger.transaction() as database:
        _record_and_fail(database)
    assert len(history.latest(ledger.database, 1000)) == before
    with ledger.transaction() as database:
        events.record(database, NOW, EventKind.ITEM_RECOVERED)
    assert len(history.latest(ledger.database, 1000)) == before + 1


def _record_and_fail(database: Database) -> None:
    events.record(database, NOW, EventKind.ITEM_RECOVERED)
    raise RuntimeError


def test_writers_in_several_threads_lose_nothing(ledger: Ledger) -> None:
    """8 threads × 25 read-then-write transactions: every number once, so none read what another was changing."""
    problems: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(25):
                with ledger.transaction() as database:
                    row = one(database, "SELECT count(*) AS n FROM events WHERE kind='item.recovered'")
                    assert row is not None
                    events.record(database, NOW, EventKind.ITEM_RECOVERED, number=row["n"])
        except BaseException as error:  # noqa: BLE001 - a thread's failure has to reach the test
            problems.append(error)
        finally:
            ledger.close()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    numbers = [
        event.detail["number"]
        for event in history.latest(ledger.database, 1000)
        if event.kind == EventKind.ITEM_RECOVERED
    ]
    assert sorted(numbers) == list(range(200))


def test_a_reader_sees_the_state_before_while_another_writes(ledger: Ledger) -> None:
    """WAL: reading waits for nobody and sees no half transaction."""
    seen: list[int] = []

    def read() -> None:
        seen.append(
            len([event for event in history.latest(ledger.database, 1000) if event.kind == EventKind.ITEM_RECOVERED])
        )

    with ledger.transaction() as database:
        events.record(database, NOW, EventKind.ITEM_RECOVERED)
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert seen == [0]


def test_a_snapshot_does_not_change_while_others_write(ledger: Ledger) -> None:
    """What another thread commits after the block began is seen after it only."""

    def write() -> None:
        with ledger.transaction() as database:
            events.record(database, NOW, EventKind.ITEM_RECOVERED)

    with ledger.snapshot() as database:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write).result()
        assert EventKind.ITEM_RECOVERED not in {event.kind for event in history.latest(database, 1000)}
        assert EventKind.ITEM_RECOVERED in {event.kind for event in history.latest(ledger.database, 1000)}
    with ledger.snapshot() as database:
        assert EventKind.ITEM_RECOVERED in {event.kind for event in history.latest(database, 1000)}


def test_a_snapshot_cannot_be_written_to(ledger: Ledger) -> None:
    """A reader's mistake changes nothing, and the next snapshot goes on working."""
    with pytest.raises(TransientError, match="readonly"), ledger.snapshot() as database:
        events.record(database, NOW, EventKind.ITEM_RECOVERED)
    with ledger.snapshot() as database:
        assert EventKind.ITEM_RECOVERED not in {event.kind for event in history.latest(database, 1000)}


def test_a_snapshot_is_over_when_its_block_raises(ledger: Ledger) -> None:
    """It holds on to no old state: the WAL can be emptied after it."""
    with pytest.raises(ZeroDivisionError), ledger.snapshot():
        _ = 1 / 0
    with ledger.transaction() as database:
        events.record(database, NOW, EventKind.ITEM_RECOVERED)
    blocked, *_ = ledger.database.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not blocked


def test_a_snapshot_of_a_ledger_that_nobody_has_open(ledger: Ledger) -> None:
    """A command reads while the node is stopped, when there is no WAL; in a folder with any name."""
    ledger.close()
    folder = ledger.path.parent / "50% of #1?"
    folder.mkdir()
    shutil.move(ledger.path, folder)
    with Ledger.existing(folder / ledger.path.name).snapshot() as database:
        assert history.latest(database, 10)


def test_closing_closes_the_connections_of_all_threads(ledger: Ledger) -> None:
    """No connection stays open, whoever opened it, and nothing is left beside the file. A thread may go on after it."""
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            for opening in (ledger.snapshot, ledger.transaction, ledger.reading):
                assert pool.submit(_events_in, opening).result()
            assert history.latest(ledger.database, 10)
            assert str(ledger.path) in _open_files()
            ledger.close()
            assert str(ledger.path) not in _open_files()
            assert not Path(f"{ledger.path}-wal").exists()


def _open_files() -> set[str]:
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            found.add(os.readlink(each))
    return found


def _events_in(opening: Callable[[], AbstractContextManager[Database]]) -> list[events.Event]:
    with opening() as database:
        return history.latest(database, 10)


def test_who_reads_on_a_connection_that_was_closed_meanwhile_is_said_that_the_node_stops(ledger: Ledger) -> None:
    """A TransientError, whichever way it reads: at a stop no item gets an alert for that (`node.items`)."""
    database = ledger.database
    cursor = database.execute("SELECT 1 UNION SELECT 2")
    assert next(cursor) == (1,)
    ledger.close()
    for reading in (
        lambda: next(cursor),
        cursor.fetchone,
        cursor.fetchall,
        lambda: list(cursor),
        lambda: history.latest(database, 1),
        lambda: database.execute("SELECT 1"),
        lambda: database.conn.executemany("DELETE FROM said WHERE place=?", [("x",)]),
    ):
        with pytest.raises(TransientError, match="stopping"):
            reading()


def test_closing_waits_for_rows_that_are_being_read(ledger: Ledger) -> None:
    """Never within a read: a thread that reads while others close gets rows, or is said that the node stops."""
    sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 20000) SELECT x FROM n"
    over = threading.Event()

    def read() -> int:
        number = 0
        while not over.is_set():
            with suppress(TransientError):
                assert len(ledger.database.query(sql)) == 20000
                number += 1
        return number

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for _ in range(200):
            ledger.close()
        over.set()
        reading.result()


def test_closing_waits_for_a_transaction(ledger: Ledger) -> None:
    """It is committed, not torn."""
    begun, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with ledger.transaction() as database:
            begun.set()
            assert go_on.wait(30)
            events.record(database, NOW, EventKind.ITEM_RECOVERED)
            assert ledger.database is database

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        assert begun.wait(30)
        closing = pool.submit(ledger.close)
        go_on.set()
        writing.result(), closing.result()
    assert EventKind.ITEM_RECOVERED in {event.kind for event in history.latest(ledger.database, 10)}


def test_what_a_reader_let_the_log_grow_to_is_given_back(ledger: Ledger) -> None:
    """The WAL keeps 64 MiB at most once it begins again from its start."""
    assert ledger.database.conn.execute("PRAGMA journal_size_limit").fetchone() == (64 << 20,)


def test_fault_54_locked_is_transient(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program holds the write lock: TransientError naming the file, at opening and at writing."""
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(ledger.path, isolation_level=None)
    second = Ledger(ledger.path)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TransientError, match=r"ledger\.db.*locked"), second.transaction():
        pass
    other.execute("ROLLBACK")
    with second.transaction() as database:
        events.record(database, NOW, EventKind.ITEM_RECOVERED)
    other.close()


def test_fault_54_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """Not a database at all: LedgerError that says what to do; not a byte is changed."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(LedgerError, match="Restore it from a backup"):
        Ledger(path)
    assert path.read_bytes() == b"this is no database" * 100


def test_fault_54_damage_within_the_file_is_named(ledger: Ledger) -> None:
    """Pages overwritten: LedgerError at the latest when they are read."""
    with ledger.transaction() as database:
        for _ in range(2000):
            events.record(database, NOW, EventKind.ITEM_RECOVERED, text="x" * 200)
    ledger.database.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.close()
    with ledger.path.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * 4096 * 60)
    with pytest.raises(LedgerError, match="damaged"):  # noqa: PT012 - which of the two notices is SQLite's choice
        damaged = Ledger(ledger.path)
        with damaged.reading() as database:
            list(database.query("SELECT * FROM events"))


def test_newer_schema_is_refused(ledger: Ledger) -> None:
    """Written by a newer program: LedgerError naming both versions; nothing is changed."""
    ledger.database.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('pacsnode', '9999_future', 'now')"
    )
    ledger.close()
    for opening in (Ledger, Ledger.existing):
        with pytest.raises(LedgerError, match=f"newer pacsnode.*9999_future.*{VERSIONS[-1]}"):
            opening(ledger.path)


def test_opening_again_keeps_everything(ledger: Ledger) -> None:
    """A restart migrates nothing and loses nothing."""
    before = history.latest(ledger.database, 1000)
    ledger.close()
    assert history.latest(Ledger(ledger.path).database, 1000) == before


def test_existing_makes_nothing(tmp_path: Path) -> None:
    """A command that only looks says that there is no ledger, and makes none."""
    with pytest.raises(NotFoundError):
        Ledger.existing(tmp_path / "ledger.db")
    assert not (tmp_path / "ledger.db").exists()


def test_a_copy_made_while_it_is_open_is_readable(ledger: Ledger, tmp_path: Path) -> None:
    """A backup of the file together with its WAL opens."""
    for suffix in ("", "-wal"):
        if Path(f"{ledger.path}{suffix}").exists():
            shutil.copy(f"{ledger.path}{suffix}", tmp_path / f"copy.db{suffix}")
    assert history.latest(Ledger(tmp_path / "copy.db").database, 10)


def test_mistakes_in_statements_are_not_transient(ledger: Ledger) -> None:
    """A typo is no reason to try again for ever."""
    with pytest.raises(sqlite3.OperationalError, match="no such table"), ledger.transaction() as database:
        database.execute("SELECT * FROM nonsense")


def test_facts_that_an_earlier_version_kept_are_still_read(ledger: Ledger) -> None:
    """One JSON document a series becomes a line for each attribute: the same record comes out."""
    header = {"SliceThickness": ["DS", [1.0]]}
    rows = [
        {
            "receipt": f"r{number}",
            "sop_instance_uid": f"1.2.{number}",
            "sop_class_uid": "1.2.840",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "frames": 1,
            "marks": ["lossy"],
        }
        for number in (1, 2)
    ]
    old = {
        "series": "1.2.1",
        "instances": rows,
        "columns": {"SliceThickness": {"values": [["DS", [1.0]]], "at": [0, -1]}},
    }
    blob = zlib.compress(json.dumps(old).encode())
    connection = ledger.database.conn
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("INSERT INTO series_facts VALUES ('1.2', '1.2.1', 1, 0, ?)", [blob])
    connection.execute("DELETE FROM _sqlite_migrations WHERE name='0003_facts_line_by_line'")
    connection.commit()
    ledger.close()
    (record,) = facts.of_study(Ledger(ledger.path).database, "1.2", 1)
    assert [one.receipt for one in record.instances] == ["r1", "r2"]
    assert [dict(one.header) for one in record.instances] == [header, {}]
    assert record.instances[0].marks == ("lossy",)


def test_a_ledger_of_an_earlier_schema_is_brought_up_to_date_and_keeps_its_rows(tmp_path: Path) -> None:
    """Tables that are made anew hold what they held, references to them hold, and a second opening changes nothing."""
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(SchemaDatabase(connection), stop_before="0005_looks")
    for statement in (
        "INSERT INTO studies VALUES ('1.2','P','','A','complete',1,1,NULL,'t','t','a','t','2026-03-01')",
        "INSERT INTO series VALUES ('1.2.1','1.2','CT','','t')",
        "INSERT INTO rule_sets VALUES ('d','[]','t')",
        "INSERT INTO decisions VALUES (7,'1.2',1,'r','d','matched','{}','2026-03-01T00:00:00.000000Z')",
        "INSERT INTO jobs (id, decision, study_instance_uid, revision, rule, step, subject, inputs_digest, round,"
        " plugin, parameters, inputs, destinations, mode, priority, on_correction, status, attempts, not_before,"
        " images_complete_at, asked, created_at) VALUES ('j',7,'1.2',1,'r','s','study','x',1,'p','{}','[]','[]',"
        "'pilot',0,'hold','queued',0,'2026-03-01T00:00:00.000000Z','2026-03-01T00:00:00.000000Z','',"
        "'2026-03-01T00:00:00.000000Z')",
    ):
        connection.execute(statement)
    connection.close()
    for _ in range(2):
        ledger = Ledger(path)
        (decision,) = decisions.of_study(ledger.database, "1.2")
        assert (decision.id, decision.look) == (7, 0)
        job = jobs.get(ledger.database, "j")
        assert (job.decision, job.look, job.terms) == (7, 0, Terms())
        assert ledger.database.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert ledger.database.execute("PRAGMA foreign_key_check").fetchall() == []
        ledger.close()
