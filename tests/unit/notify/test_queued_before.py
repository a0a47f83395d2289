"""Notifications that an earlier release queued, with their text in the row."""

from __future__ import annotations

import json
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from node.clock import SystemClock, from_text
from node.config.models import Configuration
from node.ledger import jobs, notifications, tallies
from node.ledger.database import Ledger
from node.ledger.notifications import NotificationStatus, Occasion
from node.ledger.schema.migrations import migrations
from node.notify import channels
from node.notify.stage import NotifyStage
from node.notify.words import Message
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.sites.outcomes import match

T = "2026-03-01T00:00:00.000000Z"
NAMESPACE = uuid.UUID("0f3f4c8e-55a1-5d0c-8a57-1c3b7d9e2b60")
"""From which every release derives the keys."""
STUDY: dict[str, Any] = {
    "study_instance_uid": "1.2",
    **dict.fromkeys(("patient_id", "issuer_of_patient_id", "accession_number", "last_association"), "x"),
    **dict.fromkeys(("first_received_at", "last_received_at", "due_at", "completed_at"), T),
    "status": "complete",
    "revision": 1,
    "decided_revision": 1,
}
RULE_SET = {"digest": "d", "content": "[]", "first_used_at": T}
DECISION = {
    "id": 7,
    "study_instance_uid": "1.2",
    "revision": 1,
    "rule": "r",
    "rule_set": "d",
    "outcome": "matched",
    "trace": "{}",
    "decided_at": T,
}
JOB: dict[str, Any] = {
    "id": "j",
    "decision": 7,
    "study_instance_uid": "1.2",
    "revision": 1,
    "rule": "r",
    "round": 1,
    "priority": 0,
    **dict.fromkeys(("step", "subject", "inputs_digest", "plugin", "mode", "on_correction", "asked"), "x"),
    "parameters": "{}",
    "inputs": "[]",
    "destinations": "[]",
    "status": "reported",
    "outcome": "findings",
    **dict.fromkeys(("not_before", "images_complete_at", "created_at", "finished_at"), T),
}
QUEUED = [(None, "match", "Call the ward.", "waiting"), ("j", "late", "It is late.", "sending")]
"""Job, occasion, text, status."""


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    marks = ",".join("?" for _ in row)
    connection.execute(f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})", list(row.values()))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Today's, of one that was written when the text of a notification was queued with it."""
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    migrations.apply(Database(connection), stop_before="0022_notifications")
    for table, row in (("studies", STUDY), ("rule_sets", RULE_SET), ("decisions", DECISION), ("jobs", JOB)):
        insert(connection, table, row)
    ((identity,),) = connection.execute("SELECT id FROM ledger").fetchall()
    for job, occasion, text, status in QUEUED:
        name = json.dumps([identity, "1.2", "r", occasion, job, "duty"], separators=(",", ":"))
        row = {"key": str(uuid.uuid5(NAMESPACE, name)), "study_instance_uid": "1.2", "job": job, "rule": "r"}
        row |= {"occasion": occasion, "person": "duty", "text": text, "status": status, "sent_by": "[]"}
        insert(connection, "notifications", row | {"attempts": 0, "not_before": T, "enqueued_at": T})
    connection.close()
    return Ledger(tmp_path / "ledger.db")


def test_what_an_earlier_release_queued_is_sent_once_with_its_text(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About a study and about a job; the same occasions are not queued again, whatever the rule says by now."""
    at = from_text(T)
    with ledger.transaction() as database:
        others = match(database, at, "1.2", "r", "Other words."), jobs.get(database, "j")
        assert notifications.enqueue(database, at, others[0], Occasion.MATCH, ["duty"]) == 0
        assert notifications.enqueue(database, at, others[1], Occasion.LATE, ["duty"]) == 0
    sent: list[str] = []

    def way(message: Message) -> None:
        sent.append(message.text)

    monkeypatch.setattr(channels, "of", lambda *_: {"webhook": way})
    person = {"webhook": {"url": "https://pager.example"}}
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, "people": {"duty": person}})
    for _ in range(2):
        NotifyStage(Node(ledger, DataFolder(ledger.path.parent), SystemClock(), Wakes()), configuration).run_once()
    assert sent == ["Call the ward.", "It is late."]
    rows = notifications.of_study(ledger.database, "1.2")
    assert [(each.study_instance_uid, each.job, each.status) for each in rows] == [
        ("1.2", None, NotificationStatus.SENT),
        ("1.2", "j", NotificationStatus.SENT),
    ]
    assert tallies.wrong(ledger.database) == []


@pytest.mark.parametrize("change", ["job='j'", "study=NULL"])
def test_a_notification_is_about_one_thing(ledger: Ledger, change: str) -> None:
    """Not about a study and a job, nor about nothing: the ledger refuses it."""
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"), ledger.transaction() as database:
        database.execute(f"UPDATE notifications SET {change} WHERE id=1")
