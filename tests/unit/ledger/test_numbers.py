"""Schema 0045: numbers of rows are never given again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from node.ledger.database import FILE, Ledger
from tests.support.sites.earlier import RELEASES, unpack

ENDS = ("", " WHERE id=(SELECT max(id) FROM defects)")
FAILED = (
    "INSERT INTO defects (stage, item, times, first_at, last_at, error, parked) VALUES ('run', ?, 1, ?, ?, 'error', 1)"
)


def test_every_table_that_numbers_its_rows_gives_no_number_twice(ledger: Ledger) -> None:
    """All but events, of which the newest always stays."""
    sql = "SELECT name FROM sqlite_schema WHERE type='table' AND sql LIKE '%id INTEGER PRIMARY KEY%'"
    numbered = {name for (name,) in ledger.database.execute(sql).fetchall()}
    safe = {name for (name,) in ledger.database.execute(f"{sql} AND sql LIKE '%AUTOINCREMENT%'").fetchall()}
    assert numbered - safe == {"events"}
    assert {"deliveries", "withdrawals", "defects", "forward_parts", "adoptions", "fetches"} <= safe
    assert ledger.database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("which", ENDS)
def test_a_defect_that_was_handled_leaves_no_number_to_the_next_one(ledger: Ledger, which: str) -> None:
    """`retry defect:1` of an old message must not try another item."""
    for number in range(3):
        with ledger.transaction() as database:
            database.execute(f"DELETE FROM defects{which}")
            database.execute(FAILED, [f"job:{number}", "", ""])
    assert ledger.database.execute("SELECT max(id) FROM defects").fetchone() == (3,)


@pytest.mark.parametrize("release", RELEASES)
def test_numbers_of_what_went_before_an_upgrade_are_not_given_again(release: str, tmp_path: Path) -> None:
    """As far as the ledger still names them: here an event of a delivery that is gone."""
    path = unpack(release, tmp_path) / FILE
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO events (at, kind, severity, delivery, detail) VALUES ('', 'delivery.dead', 'info', 700, '{}')"
    )
    connection.commit()
    connection.close()
    ledger = Ledger(path)
    with ledger.transaction() as database:
        database.execute(
            "INSERT INTO deliveries (kind, item, sop_class_uid, study_instance_uid, file, destination, status,"
            " attempts, refusals, not_before, enqueued_at) SELECT 'object', '1', '1', study_instance_uid, '', 'pacs',"
            " 'held', 0, 0, '', '' FROM studies LIMIT 1"
        )
    assert ledger.database.execute("SELECT id FROM deliveries WHERE item='1'").fetchone() == (701,)
    ledger.close()
