"""A ledger of any earlier schema becomes today's, with every row that was in it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database as SchemaDatabase

from node.app.alerts import AlertSweep
from node.clock import SystemClock, from_text
from node.ledger import (
    alerts,
    attempts,
    events,
    facts,
    instances,
    job_studies,
    jobs,
    studies,
    tallies,
    withdrawals,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Ledger
from node.ledger.event_kinds import Severity
from node.ledger.job import JobStatus
from node.ledger.schema import m0016_alerts
from node.ledger.schema.migrations import migrations
from node.ledger.schema.versions import VERSIONS
from node.ledger.withdrawals import WithdrawalStatus
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history
from tests.support.sites.earlier import RELEASES, unpack
from tests.support.sites.outcomes import queue_job

INCREMENTAL = 2
"""`PRAGMA auto_vacuum`: free pages can be given back to the disk."""
BEFORE_SPACE = "0013_defects"
"""The last schema whose ledgers are written anew."""
T = "2026-03-01T00:00:00.000000Z"
STUDY = (
    "study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status, revision, decided_revision, hold,"
    " first_received_at, last_received_at, last_association, due_at, completed_at"
)
ROWS = (
    f"INSERT INTO studies ({STUDY}) VALUES ('1.2','P','I','A','complete',1,1,NULL,'{T}','{T}','a','{T}','{T}')",
    f"INSERT INTO studies ({STUDY}) VALUES ('1.3','P','I','B','receiving',0,0,NULL,'{T}','{T}','a','{T}',NULL)",
    "INSERT INTO series (series_instance_uid, study_instance_uid, modality, description, last_received_at)"
    f" VALUES ('1.2.1','1.2','CT','','{T}')",
    "INSERT INTO instances VALUES ('r1','1.2.1.1','1','1.2','1.2.1','1','current','d','{}','{}',1,1,"
    f"'CT1','NODE','::1','a','received','{T}')",
    f"INSERT INTO rule_sets VALUES ('d','[]','{T}')",
    "INSERT INTO decisions (id, study_instance_uid, revision, rule, rule_set, outcome, trace, decided_at)"
    f" VALUES (7,'1.2',1,'r','d','matched','{{}}','{T}')",
    f"INSERT INTO objects (sop_instance_uid, sop_class_uid, series_instance_uid, study_instance_uid, job, kind,"
    f" profile, file, digest, made_at) VALUES ('2.25.1','1','2','1.2','j','sr','p','results/j/p/sr-001.dcm','d','{T}')",
    "INSERT INTO deliveries (sop_instance_uid, sop_class_uid, study_instance_uid, job, file, destination, status,"
    " attempts, refusals, not_before, enqueued_at) VALUES ('2.25.1','1','1.2','j','results/j/p/sr-001.dcm','pacs',"
    f"'waiting',0,0,'{T}','{T}')",
    "INSERT INTO identities (study_instance_uid, destination, status, detail, waiting_since, checked_at, alerted)"
    f" VALUES ('1.2','pacs','same','','{T}',NULL,0)",
    f"INSERT INTO events (at, kind, severity, detail) VALUES ('{T}','x.y','info','{{}}')",
)
JOB: dict[str, Any] = {
    "id": "j",
    "decision": 7,
    "study_instance_uid": "1.2",
    "revision": 1,
    "rule": "r",
    "step": "s",
    "subject": "study",
    "inputs_digest": "x",
    "round": 1,
    "plugin": "p",
    "parameters": '{"level":5}',
    "inputs": '[["","1.2.1",["r1"]]]',
    "destinations": '["pacs"]',
    "mode": "pilot",
    "priority": 0,
    "on_correction": "hold",
    "status": "queued",
    "attempts": 0,
    "not_before": T,
    "images_complete_at": T,
    "asked": "",
    "created_at": T,
}
"""With every column that a job of some schema cannot do without."""
INSTANCE = (
    "INSERT INTO instances VALUES (?,?,'1','1.2','1.2.1','1','current','d','{}','{}',1,1,'CT1','NODE','::1','a',"
    f"'received','{T}')"
)
BEFORE_JOBS = next(number for number, row in enumerate(ROWS) if "INTO objects" in row)
TABLES = ("studies", "series", "instances", "decisions", "jobs", "objects", "deliveries", "identities", "events")
ITEMS = VERSIONS.index("0017_ways")
"""From which schema on deliveries are of items."""
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
    migrations.apply(SchemaDatabase(connection), stop_before=VERSIONS[number])
    for statement in ROWS[:BEFORE_JOBS]:
        connection.execute(statement)
    insert_job(connection)
    for statement in (*ROWS[BEFORE_JOBS:], *edits):
        named = "deliveries (item," if number > ITEMS else "deliveries (sop_instance_uid,"
        connection.execute(statement.replace("deliveries (sop_instance_uid,", named))
    columns = {"SliceThickness": {"values": [["DS", [1.0]]], "at": [0]}}
    names = ("receipt", "sop_instance_uid", "sop_class_uid", "transfer_syntax_uid")
    row = {**dict(zip(names, ("r1", "1.2.1.1", "1", "1"), strict=True)), "frames": 1, "marks": []}
    old = json.dumps({"series": "1.2.1", "instances": [row], "columns": columns})
    if number < 3:
        sql = "INSERT INTO series_facts (study_instance_uid, series_instance_uid, revision, facts) VALUES (?,?,?,?)"
        connection.execute(sql, ["1.2", "1.2.1", 1, zlib.compress(old.encode())])
    connection.close()


def insert_job(connection: sqlite3.Connection, **changes: Any) -> None:
    """JOB with these changes, as far as the schema has the columns."""
    known = {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}
    row = {name: value for name, value in (JOB | changes).items() if name in known}
    marks = ",".join("?" for _ in row)
    connection.execute(f"INSERT INTO jobs ({','.join(row)}) VALUES ({marks})", list(row.values()))


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
    """Tables, indexes and triggers are those of a new ledger; studies, jobs and deliveries are as they were.

    And jobs can be made in it: the first release had no identity of the ledger, from which their ids derive.
    """
    path = tmp_path / "ledger.db"
    made(path, name)
    for _ in range(2):
        ledger = Ledger(path)
        assert schema(path) == today
        database = ledger.database
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (INCREMENTAL,)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        counted = {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
        assert counted == dict.fromkeys(TABLES, 1) | {"studies": 2}
        job = jobs.get(database, "j")
        assert (job.status, job.parameters, job.inputs[0].receipts) == (JobStatus.QUEUED, {"level": 5}, ("r1",))
        assert [row.receipt for row in instances.of_study(database, "1.2")] == ["r1"]
        assert [row.study_instance_uid for row in studies.receiving(database)] == ["1.3"]
        if EARLIER[name][0] < 3:
            (record,) = facts.of_study(database, "1.2", 1)
            assert record.instances[0].header == {"SliceThickness": ["DS", [1.0]]}
        ledger.close()
    ledger = Ledger(path)
    queued = queue_job(ledger, datetime(2026, 3, 1, tzinfo=UTC), "1.2", ["r1"])
    assert jobs.get(ledger.database, queued.id) == queued
    ledger.close()


NODE_DIED = "the node ended while it ran"
SAID_FAILED = "the plugin reports the failure itself: see the result's summary and log.txt"
BEGAN, OVER = "2026-03-01T01:00:00.000000Z", "2026-03-01T02:00:00.000000Z"
HISTORIES: dict[str, tuple[dict[str, Any], list[tuple[str, dict[str, Any]]], list[tuple[str, bool, str | None]]]] = {
    "never begun": ({"status": "queued", "attempts": 0}, [], []),
    "answered": (
        {"status": "reported", "outcome": "findings", "attempts": 1},
        [("started", {}), ("ended", {"outcome": "findings", "error": None})],
        [("answered", True, None)],
    ),
    "the plugin said that it failed": (
        {"status": "ended", "outcome": "failed", "attempts": 1, "error": SAID_FAILED},
        [("started", {}), ("ended", {"outcome": "failed", "error": SAID_FAILED})],
        [("answered", True, SAID_FAILED)],
    ),
    "under way, after what did not count and what did": (
        {"status": "running", "attempts": 2, "error": "crash"},
        [
            ("started", {}),
            ("postponed", {"error": "disk full"}),
            ("started", {}),
            ("interrupted", {"reason": "stopped"}),
            ("started", {}),
            ("attempt-failed", {"error": "crash"}),
            ("started", {}),
        ],
        [
            ("failed", False, "disk full"),
            ("cancelled", False, "stopped"),
            ("failed", True, "crash"),
            ("running", True, None),
        ],
    ),
    "given up": (
        {"status": "reported", "outcome": "failed", "attempts": 2, "error": "deadline"},
        [
            ("started", {}),
            ("attempt-failed", {"error": NODE_DIED}),
            ("started", {}),
            ("ended", {"outcome": "failed", "error": "deadline"}),
        ],
        [("lost", True, NODE_DIED), ("failed", True, "deadline")],
    ),
    "cancelled at work": (
        {"status": "cancelled", "attempts": 1, "error": "why"},
        [("started", {}), ("cancelled", {"reason": "why"})],
        [("cancelled", True, "why")],
    ),
    "cancelled after it had ended": (
        {"status": "cancelled", "outcome": "findings", "attempts": 1, "error": "why"},
        [("started", {}), ("ended", {"outcome": "findings"}), ("cancelled", {"reason": "why"})],
        [("answered", True, None)],
    ),
    "ended, no event is left": (
        {"status": "reported", "outcome": "findings", "attempts": 3},
        [],
        [("failed", True, None), ("failed", True, None), ("answered", True, None)],
    ),
    "under way, no event is left": ({"status": "running", "attempts": 1}, [], [("running", True, None)]),
    "waits, some events are left": (
        {"status": "queued", "attempts": 2, "error": "crash"},
        [("started", {}), ("attempt-failed", {"error": "crash"})],
        [("failed", True, None), ("failed", True, "crash")],
    ),
    "interrupted, no event is left": ({"status": "queued", "attempts": 0}, [], [("cancelled", False, None)]),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_attempts_that_were_counted_become_rows(tmp_path: Path, name: str) -> None:
    """As many count as were counted, each as far as events tell of it; a job is running while it has an open one."""
    columns, history, expected = HISTORIES[name]
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(SchemaDatabase(connection), stop_before="0015_attempts")
    for statement in ROWS[:BEFORE_JOBS]:
        connection.execute(statement)
    began = {} if not expected else {"started_at": BEGAN, "algorithm": '{"name":"x"}'}
    over = {"finished_at": OVER, "result": "results/j/plugin"} if "outcome" in columns else {}
    insert_job(connection, **columns, **began, **over)
    for kind, detail in history:
        sql = "INSERT INTO events (at, kind, severity, study_instance_uid, job, detail) VALUES (?,?,'info','1.2','j',?)"
        connection.execute(sql, [BEGAN if kind == "started" else OVER, f"job.{kind}", json.dumps(detail)])
    connection.close()
    ledger = Ledger(path)
    database = ledger.database
    rows, job = attempts.of_job(database, "j"), jobs.get(database, "j")
    assert [(row.state, row.counted, row.detail) for row in rows] == expected
    assert [row.id for row in rows] == [attempts.id_of("j", number + 1) for number in range(len(rows))]
    assert (job.attempts, job.status) == (columns["attempts"], columns["status"])
    assert [row.job for row in attempts.open_here(database)] == (["j"] if job.status is JobStatus.RUNNING else [])
    assert attempts.postponements(database, "j") == sum(kind == "postponed" for kind, _ in history)
    if expected:
        assert (job.started_at, job.algorithm) == (from_text(BEGAN), {"name": "x"})
        assert job.answered_by == (rows[-1].id if expected[-1][0] == "answered" else None)
    with ledger.transaction() as database:  # and the next one has a number of its own
        if job.status is JobStatus.QUEUED:
            jobs.started(database, from_text(OVER), "j", {})
            assert attempts.open_of(database, "j").number == len(expected) + 1
    ledger.close()


def test_studies_that_jobs_were_given_become_rows(tmp_path: Path) -> None:
    """A job's own study, and the earlier one that a series among its inputs is of."""
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(SchemaDatabase(connection), stop_before="0015_attempts")
    for statement in ROWS[:BEFORE_JOBS]:
        connection.execute(statement)
    connection.execute(INSTANCE.replace("'1.2','1.2.1'", "'1.3','1.3.1'"), ["old", "1.3.1.1"])
    insert_job(connection, id="alone")
    given = json.dumps([["", "1.2.1", ["r1"]], ["prior", "1.3.1", ["old", "gone"]], ["prior", "1.4.1", ["gone"]]])
    insert_job(connection, id="compares", inputs=given, round=2)
    connection.close()
    database = Ledger(path).database
    assert [job_studies.earlier(database, job) for job in ("alone", "compares")] == [[], ["1.3"]]
    own = database.execute("SELECT job, study FROM job_studies WHERE role='own' ORDER BY job").fetchall()
    assert own == [("alone", "1.2"), ("compares", "1.2")]


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
    database = SchemaDatabase(Ledger(tmp_path / "ledger.db").database.conn)
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
                "INSERT INTO deliveries (kind, item, sop_class_uid, study_instance_uid, receipt, file,"
                " destination, status, attempts, refusals, not_before, enqueued_at)"
                f" VALUES ('image',?,'1','1.2',?,'f','p','sent',0,0,'{T}','{T}')",
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
    made(tmp_path / "old.db", BEFORE_SPACE)
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
    made(path, BEFORE_SPACE)
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
    made(path, BEFORE_SPACE)
    execute = SchemaDatabase.execute

    def full(database: SchemaDatabase, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "VACUUM":
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return execute(database, sql, *parameters)

    monkeypatch.setattr(SchemaDatabase, "execute", full)
    for _ in range(2):
        ledger = Ledger(path)
        assert schema(path) == today
        assert [row.receipt for row in instances.of_study(ledger.database, "1.2")] == ["r1"]
        ledger.close()


LOUD = (
    ("delivery.dead", "1.2", None, 1, '{"destination":"pacs","error":"A900"}'),
    ("delivery.dead", "1.2", None, 1, '{"destination":"pacs","error":"A901"}'),
    ("study.held", "1.3", None, None, '{"reason":"another patient"}'),
    ("forward.dead", "1.3", None, None, '{"destination":"pacs","error":"gone","instances":3}'),
    ("stage.failing", None, None, None, '{"stage":"route","error":"KeyError"}'),
)
"""Alerts as events told of them: kind, study, job, delivery, details. The study 1.3 is not held any more."""


def test_alerts_that_only_events_told_of_are_rows_and_those_that_are_over_close(tmp_path: Path) -> None:
    """The dead letter is one open alert, met twice; the study that is not held and the stage of a process that ended
    are closed; the history says who retried, and is loud no more."""
    path = tmp_path / "ledger.db"
    made(path, VERSIONS[VERSIONS.index("0016_alerts") - 1])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE deliveries SET status='dead', error='A901' WHERE id=1")
    for number, (kind, study, job, delivery, detail) in enumerate(LOUD):
        at = f"2026-03-01T00:0{number}:00.000000Z"
        connection.execute(
            "INSERT INTO events (at, kind, severity, study_instance_uid, job, delivery, detail)"
            " VALUES (?,?,'alert',?,?,?,?)",
            [at, kind, study, job, delivery, detail],
        )
    connection.execute(
        "INSERT INTO events (at, kind, severity, study_instance_uid, detail)"
        f" VALUES ('{T}','delivery.again','info','1.2','{{\"by\":\"alice\"}}')"
    )
    connection.close()
    ledger = Ledger(path)
    assert len(alerts.open_ones(ledger.database, 10)) == 4
    AlertSweep(Node(ledger, DataFolder(ledger.path.parent), SystemClock(), Wakes())).run_once()
    (alert,) = alerts.open_ones(ledger.database, 10)
    assert (alert.kind, alert.place, alert.study, alert.times) == ("delivery.dead", "pacs 1.2", "1.2", 2)
    assert (alert.detail["error"], alert.opened_at.minute, alert.last_at.minute) == ("A901", 0, 1)
    assert alert.severity is alert.kind.severity
    history = events.of_study(ledger.database, "1.2")
    assert {each.severity for each in history} <= set(Severity)
    assert [each.actor for each in history if each.kind == "delivery.again"] == ["os:alice"]
    ledger.close()


@pytest.mark.parametrize("name", ["0010_fallbacks", "0015_attempts", "0016_alerts"])
def test_what_events_say_has_to_be_withdrawn_is_listed(tmp_path: Path, name: str) -> None:
    """Results by their UIDs, images by what does not count any more; the alert is open until it was seen to."""
    path = tmp_path / "ledger.db"
    made(path, name)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE deliveries SET status='delivered', dimse_status=0 WHERE id=1")
    connection.execute("UPDATE instances SET status='rejected' WHERE receipt='r1'")
    connection.execute(INSTANCE, ["r2", "1.2.1.2"])
    columns = "study_instance_uid, destination, status, attempts, refusals, not_before, enqueued_at, sop_instance_uid"
    for receipt in ("r1", "r2"):
        connection.execute(
            f"INSERT INTO deliveries ({columns}, sop_class_uid, file, receipt)"
            f" SELECT '1.2', 'pacs', 'delivered', 1, 0, '{T}', '{T}', sop_instance_uid, '1', ?1, ?1"
            " FROM instances WHERE receipt=?1",
            [receipt],
        )
    ((result,),) = connection.execute("SELECT sop_instance_uid FROM deliveries WHERE id=1").fetchall()
    objects = [{"sop_instance_uid": result, "destination": "pacs"}, {"images": 1, "destination": "pacs"}]
    severity = "alert" if name < "0016" else "warning"
    connection.execute(
        "INSERT INTO events (at, kind, severity, study_instance_uid, detail) VALUES (?,'study.to-withdraw',?,'1.2',?)",
        [T, severity, json.dumps({"reason": "rejected", "objects": objects})],
    )
    connection.close()
    ledger = Ledger(path)
    (found,) = withdrawals.listed(ledger.database)
    assert (found.destination, found.reason, found.results, found.images) == ("pacs", "rejected", 1, 1)
    assert tallies.wrong(ledger.database) == []
    if name < "0016":
        assert "study.to-withdraw" in {each.kind for each in history.open_alerts(ledger.database)}
        with ledger.transaction() as database:
            withdrawals.end(database, from_text(T), "1.2", WithdrawalStatus.DISMISSED, "os:alice")
    assert "study.to-withdraw" not in {each.kind for each in history.open_alerts(ledger.database)}
    ledger.close()


def test_the_migration_knows_each_kind_of_alert() -> None:
    """Under the severity that it has; of kinds that came later no earlier ledger has an event."""
    known = {kind: severity for kind, (_, severity) in m0016_alerts._ALERTS.items()}
    later = {AlertKind.RULE_JOBS_CANCELLED, AlertKind.SENDER_BAD_UIDS, AlertKind.LEDGER_BEHIND_STORE}
    later |= {AlertKind.LEDGER_ROW_UNREADABLE, AlertKind.PSEUDONYMS_KEY_LOST, AlertKind.PLUGIN_NOT_COMMISSIONED}
    later |= {AlertKind.COMMITMENT_OVERDUE, AlertKind.COMMITMENT_REFUSED, AlertKind.COMMITMENT_UNSUPPORTED}
    later |= {AlertKind.RETENTION_NO_SPACE, AlertKind.RETENTION_CLOCK}
    later |= {AlertKind.PLUGIN_FAILING, AlertKind.NOTIFICATION_UNACKNOWLEDGED, AlertKind.DESTINATION_DOWN}
    later |= {AlertKind.DISK_LOW, AlertKind.RECEPTION_REFUSED, AlertKind.BACKLOG_HIGH, AlertKind.CALLERS_REFUSED}
    later |= {AlertKind.CERTIFICATE_ENDS, AlertKind.CERTIFICATE_ENDED}
    later |= {AlertKind.PLUGIN_WITHDRAWN, AlertKind.STOP_RULE_MET}
    later |= {AlertKind.BOX_DOWN, AlertKind.BOX_SILENT, AlertKind.BOX_ANSWER_UNMATCHED, AlertKind.BOX_PERHAPS_SENT}
    later |= {AlertKind.SERVICE_DOWN, AlertKind.SERVICE_SILENT}
    later |= {AlertKind.AUDIT_BROKEN, AlertKind.AUDIT_BEHIND}
    later |= {AlertKind.BACKUP_FAILED, AlertKind.BACKUP_OVERDUE, AlertKind.RESULTS_PERHAPS_SENT}
    assert known == {str(kind): str(kind.severity) for kind in AlertKind if kind not in later}


def test_every_version_of_the_schema_is_listed_in_its_order() -> None:
    """A ledger is compared with the list, so that a command needs none of what makes a schema."""
    assert tuple(migration.name for migration in migrations.pending(SchemaDatabase(memory=True))) == VERSIONS


def test_requests_to_archives_keep_what_they_are_about(tmp_path: Path) -> None:
    """Those of an earlier schema are about requests of others; what was delivered then is asked for by nobody."""
    path = tmp_path / "ledger.db"
    made(path, "0026_commissionings")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        "INSERT INTO commitments (id, entry, transaction_uid, requester, called_ae_title, association, contents,"
        " status, attempts, refusals, not_before, put_off_at, requested_at, taken_at)"
        f" VALUES (7, 'e', '1.2.9', 'CT1', 'PACSNODE', '', '', 'at_archive', 0, 0, '{T}', '{T}', '{T}', '{T}')"
    )
    connection.execute(f"INSERT INTO archive_requests VALUES ('2.25.1', 7, '{T}', NULL)")
    connection.close()
    ledger = Ledger(path)
    (row,) = ledger.database.query("SELECT transaction_uid, commitment, batch, asked_at FROM archive_requests")
    assert list(row.values()) == ["2.25.1", 7, None, T]
    assert {each["commitment"] for each in ledger.database.query("SELECT commitment FROM deliveries")} == {"none"}
    assert tallies.wrong(ledger.database) == []
    ledger.close()
