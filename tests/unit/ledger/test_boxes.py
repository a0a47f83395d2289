"""Rows of vendors' boxes: what a migration leaves, and how long a box takes."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlite_utils import Database as SchemaDatabase

from node.ledger import contacts, instances
from node.ledger.contacts import ContactKind
from node.ledger.database import Ledger
from node.ledger.schema.migrations import migrations

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_ledger_of_an_earlier_schema_gets_the_tables(tmp_path: Path) -> None:
    """Empty: no attempt of before was at a box; what is there stays."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.apply(SchemaDatabase(connection), stop_before="0038_boxes")
    assert not [name for (name,) in connection.execute("SELECT name FROM sqlite_master") if "box" in name]
    connection.close()
    ledger = Ledger(path)
    names = {name for (name,) in ledger.database.execute("SELECT name FROM sqlite_master").fetchall()}
    assert {"box_attempts", "box_instances", "box_answers", "box_contacts"} <= names
    assert contacts.get(ledger.database, ContactKind.BOX, "cad") is None
    assert instances.totals(ledger.database) == {}


def test_since_when_a_box_is_down(ledger: Ledger) -> None:
    """Since the first question that it did not answer; an answer ends it."""
    for minutes, error in ((0, None), (1, "no connection"), (2, "no connection")):
        with ledger.transaction() as database:
            contacts.asked(database, NOW + timedelta(minutes=minutes), ContactKind.BOX, "cad", error)
    contact = contacts.get(ledger.database, ContactKind.BOX, "cad")
    assert contact is not None
    assert (contact.answered_at, contact.down_since) == (NOW, NOW + timedelta(minutes=1))
    with ledger.transaction() as database:
        contacts.asked(database, NOW + timedelta(minutes=3), ContactKind.BOX, "cad", None)
    contact = contacts.get(ledger.database, ContactKind.BOX, "cad")
    assert contact is not None
    assert (contact.down_since, contact.error) == (None, None)
