"""A ledger of any earlier schema becomes today's, with every row that was in it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from node.ledger import facts, instances, jobs, studies
from node.ledger.database import Ledger
from node.ledger.job import JobStatus
from node.ledger.schema.migrations import VERSIONS, migrations
from tests.support.sites.earlier import RELEASES, unpack
from tests.support.sites.outcomes import queue_job

INCREMENTAL = 2
"""`PRAGMA auto_vacuum`: free pages can be given back to the disk."""
T = "2026-03-01T00:00:00.000000Z"
ROWS = (
    f"INSERT INTO studies VALUES ('1.2','P','I','A','complete',1,1,NULL,'{T}','{T}','a','{T}','{T}')",
    f"INSERT INTO studies VALUES ('1.3','P','I','B','receiving',0,0,NULL,'{T}','{T}','a','{T}',NULL)",
    "INSERT INTO series (series_instance_uid, study_instance_uid, modality, description, last_received_at)"
    f" VALUES ('1.2.1','1.2','CT','','{T}')",
    "INSERT INTO instances VALUES ('r1','1.2.1.1','1','1.2','1.2.1','1','current','d','{}','{}',1,1,"
    f"'CT1','NODE','::1','a','received','{T}')",
    f"INSERT INTO rule_sets VALUES ('d','[]','{T}')",
    "INSERT INTO decisions (id, study_instance_uid, revision, rule, rule_set, outcome, trace, decided_at)"
    f" VALUES (7,'1.2',1,'r','d','matched','{{}}','{T}')",
    "INSERT INTO jobs (id, decision, study_instance_uid, revision, rule, step, subject, inputs_digest, round,"
    " plugin, parameters, inputs, destinations, mode, priority, on_correction, status, attempts, not_before,"
    " images_complete_at, asked, created_at) VALUES ('j',7,'1.2',1,'r','s','study','x',1,'p','{\"level\":5}',"
    f"'[[\"\",\"1.2.1\",[\"r1\"]]]','[\"pacs\"]','pilot',0,'hold','queued',0,'{T}','{T}','','{T}')",
    f"INSERT INTO objects (sop_instance_uid, sop_class_uid, series_instance_uid, study_instance_uid, job, kind,"
    f" profile, file, digest, made_at) VALUES ('2.25.1','1','2','1.2','j','sr','p','results/j/p/sr-001.dcm','d','{T}')",
    "INSERT INTO deliveries (sop_instance_uid, sop_class_uid, study_instance_uid, job, file, destination, status,"
    " attempts, refusals, not_before, enqueued_at) VALUES ('2.25.1','1','1.2','j','results/j/p/sr-001.dcm','pacs',"
    f"'waiting',0,0,'{T}','{T}')",
    f"INSERT INTO identities VALUES ('1.2','pacs','same','','{T}',NULL,0)",
    f"INSERT INTO events (at, kind, severity, detail) VALUES ('{T}','x.y','info','{{}}')",
)
INSTANCE = (
    "INSERT INTO instances VALUES (?,?,'1','1.2','1.2.1','1','current','d','{}','{}',1,1,'CT1','NODE','::1','a',"
    f"'received','{T}')"
)
TABLES = ("studies", "series", "instances", "decisions", "jobs", "objects", "deliveries", "identities", "events")
FIRST_FORM = ("DROP TABLE ledger",)
"""The first migration as the first release had it."""
SECOND_FORM = (*FIRST_FORM, "DROP INDEX jobs_to_follow_up")
"""The first two as the releases had them in which steps came in."""
GROWTH_FORM = (
    *(f"DROP INDEX {name}" for name in ("instances_not_current", "results_by_status", "results_by_destination")),
    "CREATE INDEX instances_by_status ON instances (status)",
    "CREATE INDEX deliveries_by_state ON deliveries (status)",
)
"""The ninth as it was made first."""
EARLIER: dict[str, tuple[int, tuple[str, ...]]] = {
    "0001 as the first release had it": (1, FIRST_FORM),
    "0002 as it was first": (2, SECOND_FORM),
    **{name: (number, ()) for number, name in enumerate(VERSIONS[:-1], start=1)},
    "0009 as it was first": (9, GROWTH_FORM),
}


def made(path: Path, name: str) -> None:
    """A ledger of an earlier schema, with studies under way."""
    number, edits = EARLIER[name]
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(Database(connection), stop_before=VERSIONS[number])
    for statement in (*ROWS, *edits):
        connection.execute(statement)
    columns = {"SliceThickness": {"values": [["DS", [1.0]]], "at": [0]}}
    names = ("receipt", "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid")
    row = {**dict(zip(names, ("r1", "1.2.1.1", "1", "1"), strict=True)), "frames": 1, "marks": []}
    old = json.dumps({"series": "1.2.1", "instances": [row], "columns": columns})
    if number < 3:
        sql = "INSERT INTO series_facts (study_instance_uid, series_instance_uid, revision, facts) VALUES (?,?,?,?)"
        connection.execute(sql, ["1.2", "1.2.1", 1, zlib.compress(old.encode())])
    connection.close()


def schema(path: Path) -> dict[str, str]:
    """Every table, index and trigger, in SQLite's own words."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return dict(found)


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("today") / "ledger.db"
    Ledger(path).close()
    return schema(path)


@pytest.mark.parametrize("name", EARLIER)
def test_finding_m2_every_earlier_schema_becomes_todays_and_keeps_its_rows(
    tmp_path: Path, name: str, today: dict[str, str]
) -> None:
    """Tables, indexes and triggers are those of a new ledger; studies, jobs and deliveries are as they were."""
    path = tmp_path / "ledger.db"
    made(path, name)
    for _ in range(2):
        ledger = Ledger(path)
        assert schema(path) == today
        database = ledger.database
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (INCREMENTAL,)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        counted = {table: database[table].count for table in TABLES}
        assert counted == dict.fromkeys(TABLES, 1) | {"studies": 2}
        job = jobs.get(database, "j")
        assert (job.status, job.parameters, job.inputs[0].receipts) == (JobStatus.QUEUED, {"level": 5}, ("r1",))
        assert [row.receipt for row in instances.of_study(database, "1.2")] == ["r1"]
        assert [row.study_instance_uid for row in studies.receiving(database)] == ["1.3"]
        if EARLIER[name][0] < 3:
            (record,) = facts.of_study(database, "1.2", 1)
            assert record.instances[0].header == {"SliceThickness": ["DS", [1.0]]}
        ledger.close()


@pytest.mark.parametrize("name", EARLIER)
def test_finding_m2_jobs_can_be_made_in_a_ledger_of_every_earlier_schema(tmp_path: Path, name: str) -> None:
    """The first release had no identity of the ledger, from which the ids of jobs derive."""
    path = tmp_path / "ledger.db"
    made(path, name)
    ledger = Ledger(path)
    job = queue_job(ledger, datetime(2026, 3, 1, tzinfo=UTC), "1.2", ["r1"])
    assert jobs.get(ledger.database, job.id) == job
    ledger.close()


@pytest.mark.parametrize("release", RELEASES)
def test_finding_m2_a_ledger_that_a_release_wrote_becomes_todays(
    tmp_path: Path, release: str, today: dict[str, str]
) -> None:
    """The same of ledgers that those programs wrote themselves."""
    path = unpack(release, tmp_path) / "ledger.db"
    Ledger(path).close()
    assert schema(path) == today


def test_rows_that_refer_to_another_are_found_by_an_index(tmp_path: Path) -> None:
    """For every foreign key of every table: to remove a row costs no look through a whole table."""
    database = Ledger(tmp_path / "ledger.db").database
    slow, keys = [], 0
    for table in database.table_names():
        for key in database[table].foreign_keys:
            keys += 1
            sql = f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE {key.column}=?"
            plan = [row[3] for row in database.execute(sql, ["x"])]
            slow += [(table, key.column, step) for step in plan if not step.startswith("SEARCH")]
    assert keys > 20
    assert slow == []


def test_an_image_is_removed_without_a_look_at_every_delivery(tmp_path: Path) -> None:
    """What the indexes are for: the steps that SQLite takes do not grow with what else was sent on."""
    ledger = Ledger(tmp_path / "ledger.db")
    connection = ledger.database.conn
    connection.execute("PRAGMA foreign_keys=OFF")  # the rows around these are of no interest here
    steps = []
    for number in (10, 1000):
        for each in range(number):
            connection.execute(
                "INSERT INTO deliveries (sop_instance_uid, sop_class_uid, study_instance_uid, receipt, file,"
                " destination, status, attempts, refusals, not_before, enqueued_at)"
                f" VALUES (?,'1','1.2',?,'f','p','sent',0,0,'{T}','{T}')",
                [f"{number}.{each}", f"{number}-{each}"],
            )
        receipt = f"alone-{number}"
        connection.execute(INSTANCE, [receipt, f"9.{number}"])
        connection.execute("PRAGMA foreign_keys=ON")
        taken: list[None] = []
        connection.set_progress_handler(lambda taken=taken: taken.append(None), 1)
        connection.execute("DELETE FROM instances WHERE receipt=?", [receipt])
        connection.set_progress_handler(None, 0)
        connection.execute("PRAGMA foreign_keys=OFF")
        steps.append(len(taken))
    ledger.close()
    assert steps[1] < steps[0] + 100


def test_what_rows_took_is_given_back_to_the_disk(tmp_path: Path) -> None:
    """A new ledger, and one that was written anew: the file is smaller after rows are gone and pages are given back."""
    made(tmp_path / "old.db", VERSIONS[-2])
    for name in ("old.db", "new.db"):
        ledger = Ledger(tmp_path / name)
        connection = ledger.database.conn
        with ledger.transaction() as database:
            database.execute("INSERT INTO rule_sets VALUES ('big', ?, ?)", ["x" * 2_000_000, T])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = ledger.path.stat().st_size
        with ledger.transaction() as database:
            database.execute("DELETE FROM rule_sets WHERE digest='big'")
        connection.executescript("PRAGMA incremental_vacuum(1000)")  # execute() gives back one page, and no more
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert ledger.path.stat().st_size < before - 1_500_000
        ledger.close()


def test_the_order_of_arrival_survives_that_a_ledger_is_written_anew(tmp_path: Path) -> None:
    """The order of rows is that of arrival, gaps between them or not."""
    path = tmp_path / "ledger.db"
    made(path, VERSIONS[-2])
    connection = sqlite3.connect(path, isolation_level=None)
    for receipt in ("r9", "r3", "r7", "r5"):
        connection.execute(INSTANCE, [receipt, f"1.2.1.{receipt[1:]}"])
    connection.execute("DELETE FROM instances WHERE receipt='r3'")
    connection.close()
    assert [row.receipt for row in instances.of_study(Ledger(path).database, "1.2")] == ["r1", "r9", "r7", "r5"]


def test_a_full_disk_does_not_keep_a_ledger_from_becoming_todays(
    tmp_path: Path, today: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no room to write it anew: it is as it was, with the indexes, and the next start takes it as it is."""
    path = tmp_path / "ledger.db"
    made(path, VERSIONS[-2])
    execute = Database.execute

    def full(database: Database, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "VACUUM":
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return execute(database, sql, *parameters)

    monkeypatch.setattr(Database, "execute", full)
    for _ in range(2):
        ledger = Ledger(path)
        assert schema(path) == today
        assert [row.receipt for row in instances.of_study(ledger.database, "1.2")] == ["r1"]
        ledger.close()
