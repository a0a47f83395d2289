"""The numbers that are kept instead of counted are what counting gives, whatever is done to rows."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database as SchemaDatabase

from node.deliver.ways.dimse import dimse
from node.errors import PermanentError
from node.ledger import commit_batches, deliveries, forwards, instances, jobs, studies, tallies
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryKind, DeliveryStatus
from node.ledger.forwards import ForwardTerms
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobOutcome
from node.ledger.schema.m0017_ways import COUNTED
from node.ledger.schema.migrations import migrations
from node.ledger.tallies import WrongTally
from tests.support.sites.past import FAILED, tell

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def past(ledger: Ledger) -> Ledger:
    """Studies, jobs, results and images, in many states."""
    with ledger.transaction() as database:
        tell(database)
        found = instances.of_study(database, FAILED)
        forwards.enqueue(database, NOW, FAILED, ForwardTerms("pacs", 1, "on"), found)
    return ledger


def step(database: Database, chance: random.Random) -> None:
    """Something that stages and people do; PermanentError where it cannot be done to what was drawn."""
    delivery = chance.choice(database.execute("SELECT id FROM deliveries").fetchall())[0]
    job = chance.choice(database.execute("SELECT id FROM jobs").fetchall())[0]
    receipt = chance.choice(database.execute("SELECT receipt FROM instances").fetchall())[0]
    later = NOW + timedelta(minutes=1)
    chance.choice(
        [
            lambda: deliveries.sending(database, NOW, delivery),
            lambda: deliveries.delivered(database, NOW, delivery, dimse(0)),
            lambda: deliveries.delivered(database, NOW, delivery, dimse(0), commit_by=later),
            lambda: commit_batches.make(database, later, "pacs", FAILED),
            lambda: database.execute("UPDATE deliveries SET commitment='overdue' WHERE commit_batch IS NOT NULL"),
            lambda: deliveries.wait(database, NOW, delivery, later, "why"),
            lambda: deliveries.hold(database, NOW, delivery, "why"),
            lambda: deliveries.dead(database, NOW, delivery, "why"),
            lambda: deliveries.again(database, NOW, delivery, "admin"),
            lambda: deliveries.stop(database, NOW, delivery, DeliveryStatus.CANCELLED, "why"),
            lambda: forwards.cancel(database, NOW, FAILED, "why"),
            lambda: forwards.again(database, NOW, FAILED, "admin"),
            lambda: jobs.started(database, NOW, job, {}),
            lambda: jobs.ended(database, NOW, job, JobOutcome.NO_FINDINGS, "results/x"),
            lambda: jobs.reported(database, NOW, job, 1),
            lambda: jobs.again(database, NOW, job, "admin"),
            lambda: instances.set_status(database, receipt, chance.choice(list(InstanceStatus))),
            lambda: studies.complete(database, NOW, FAILED),
            lambda: studies.reopened(database, NOW, FAILED, later, "why"),
            lambda: database.execute("UPDATE deliveries SET destination='moved' WHERE id=?", [delivery]),
            lambda: database.execute("DELETE FROM deliveries WHERE id=? AND id%3=0", [delivery]),
        ]
    )()


@pytest.mark.parametrize("seed", range(4))
def test_tallies_are_what_counting_gives_after_a_random_walk(past: Ledger, seed: int) -> None:
    """Transitions, refused ones, changes of many at once, removals, and transactions that are rolled back."""
    chance = random.Random(seed)
    assert tallies.wrong(past.database) == []
    done = 0
    for _ in range(150):
        try:
            with past.transaction() as database:
                step(database, chance)
                done += 1
                if chance.random() < 0.1:
                    raise PermanentError("rolled back")
        except (PermanentError, sqlite3.IntegrityError):
            continue
    assert done > 30
    assert tallies.wrong(past.database) == []


def test_counts_are_by_kind_and_destination(past: Ledger) -> None:
    """Results and images are counted apart; a state in which none is left is not named."""
    assert deliveries.counts(past.database)["pacs"][DeliveryStatus.DELIVERED] == 1
    assert forwards.counts(past.database) == {"pacs": {DeliveryStatus.WAITING: 3}}
    with past.transaction() as database:
        forwards.cancel(database, NOW, FAILED, "why")
    assert deliveries.counts_of(past.database, DeliveryKind.IMAGE) == {"pacs": {DeliveryStatus.CANCELLED: 3}}


def test_a_second_insert_of_the_same_counts_once(past: Ledger) -> None:
    """An image that goes there already is left out by the insert: it must not be counted."""
    with past.transaction() as database:
        found = instances.of_study(database, FAILED)
        again = deliveries.enqueue(
            database,
            NOW,
            sop_instance_uid=found[0].sop_instance_uid,
            sop_class_uid="1",
            study=FAILED,
            job=None,
            file="f",
            destination="pacs",
        )
    assert deliveries.get(past.database, again).kind is DeliveryKind.IMAGE
    assert tallies.wrong(past.database) == []


def test_a_number_that_is_wrong_is_found_and_counted_again(past: Ledger) -> None:
    """What the check says: which, and by how much; and what is done about it after an upgrade."""
    past.database.execute("UPDATE tallies SET n=7 WHERE name='deliveries of image' AND status='waiting'")
    assert tallies.wrong(past.database) == [WrongTally("deliveries of image", "pacs", "waiting", 7, 3)]
    with past.transaction() as database:
        tallies.count_again(database)
    assert tallies.wrong(past.database) == []


def test_every_table_that_is_counted_keeps_its_triggers(ledger: Ledger) -> None:
    """A table that a migration writes anew loses them: its tallies would stop."""
    sql = "SELECT tbl_name, count(*) FROM sqlite_master WHERE type='trigger' AND name LIKE '%_tallied%' GROUP BY 1"
    assert dict(ledger.database.execute(sql).fetchall()) == dict.fromkeys([*COUNTED, "alerts"], 3)


def test_a_ledger_that_had_no_tallies_gets_them(tmp_path: Path) -> None:
    """What is there is counted once, by the migration."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(SchemaDatabase(connection), stop_before="0017_ways")
    for number, status in enumerate(("receiving", "complete", "complete")):
        connection.execute(
            "INSERT INTO studies (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status,"
            " revision, decided_revision, first_received_at, last_received_at, last_association, due_at)"
            f" VALUES (?,'P','','A','{status}',0,0,'t','t','a','t')",
            [f"1.{number}"],
        )
    connection.close()
    ledger = Ledger(path)
    assert tallies.of(ledger.database, "studies") == {"receiving": 1, "complete": 2}
    assert tallies.wrong(ledger.database) == []
    ledger.close()
