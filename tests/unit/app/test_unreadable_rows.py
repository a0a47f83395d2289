"""A row of the ledger that cannot be read costs what it is about: the stage leaves it out, and an alert names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.app.alerts import AlertSweep
from node.index.children import HeaderReader
from node.ledger import alerts, attempts, defects, looks, timers
from node.ledger.database import Ledger
from node.ledger.looks import Look
from node.ledger.timers import TimerKind
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.clocks import HandClock
from tests.support.sites import broken_items
from tests.support.sites.broken_items import BAD, Fault, Maker
from tests.support.sites.job_site import STUDY, Site

KIND = "ledger.row-unreadable"
SPOILT: dict[str, tuple[Maker, str]] = {
    "studies": (broken_items.index_completion, "UPDATE studies SET first_received_at='soon' WHERE {of_bad}"),
    "studies to decide": (broken_items.route, "UPDATE studies SET completed_at='noon' WHERE {of_bad}"),
    "jobs": (broken_items.run, "UPDATE jobs SET inputs='[[' WHERE {of_bad}"),
    "jobs to report": (broken_items.results, "UPDATE jobs SET terms='no JSON' WHERE {of_bad}"),
    "notifications": (broken_items.notify, "UPDATE notifications SET occasion='by chance' WHERE study='{bad}'"),
    "deliveries": (broken_items.deliver, "UPDATE deliveries SET enqueued_at='' WHERE item='2.0'"),
    "images": (broken_items.deliver_images, "UPDATE deliveries SET coerce='{{' WHERE {of_bad}"),
    "fetches": (broken_items.fetch, "UPDATE fetches SET wanted='{{' WHERE {of_bad}"),
    "commitments": (broken_items.commit, "UPDATE commitments SET taken_at='x' WHERE id=1"),
    "commitments to report": (broken_items.commit_report, "UPDATE commitments SET requested_at='x' WHERE id=1"),
    "commitments at the archive": (broken_items.commit_through, "UPDATE commitments SET taken_at='x' WHERE id=1"),
}


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


def unreadable(ledger: Ledger) -> list[str]:
    AlertSweep(Node(ledger, DataFolder(ledger.path.parent), HandClock(), Wakes())).run_once()
    return [each.place for each in alerts.open_ones(ledger.database, 20) if each.kind == KIND]


@pytest.mark.parametrize("name", SPOILT)
def test_a_row_that_cannot_be_read_costs_no_other(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader
) -> None:
    """The work of the others is done; the alert names the row, once, and closes when the row is right again."""
    maker, spoil = SPOILT[name]
    play = maker(tmp_path, monkeypatch, reader, Fault(None))
    connection = play.ledger.database.conn
    table = spoil.split(" ")[1]
    before = connection.execute(f"SELECT rowid, * FROM {table}").fetchall()
    connection.execute(spoil.format(of_bad=f"study_instance_uid='{BAD}'", bad=BAD))
    play.run()
    play.run()
    assert {play.status(1), play.status(2)} <= play.done
    (place,) = unreadable(play.ledger)
    assert place.split(" ")[0] == table
    play.pass_(120)
    assert unreadable(play.ledger) == [place]
    (column,) = [each.strip().split("=")[0] for each in spoil.partition(" SET ")[2].split(" WHERE ")[:1]]
    names = [each[1] for each in connection.execute(f"PRAGMA table_info({table})")]
    for row in before:
        if row[0] == _rowid(play.ledger, table, place):
            value = row[1 + names.index(column)]
            connection.execute(f"UPDATE {table} SET {column}=? WHERE rowid=?", [value, row[0]])
    assert unreadable(play.ledger) == []


def _rowid(ledger: Ledger, table: str, place: str) -> int:
    key = "study_instance_uid" if table == "studies" else "id"
    sql = f"SELECT rowid FROM {table} WHERE {key}=?"
    ((found,),) = ledger.database.conn.execute(sql, [place.split(" ")[1]]).fetchall()
    return int(found)


def test_looks_timers_attempts_defects_and_alerts_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    """What stages list beside their items."""
    site = Site(tmp_path)
    now = site.clock.now()
    site.receive(1)
    site.complete()
    jobs = [site.job(name, ["r"], rule=name) for name in ("one", "two")]
    with site.ledger.transaction() as database:
        for number in (1, 2):
            looks.keep(database, Look(STUDY, 1, number, ("r",), None, now, None))
            timers.start(database, STUDY, f"rule {number}", TimerKind.WAIT, now, now)
            defects.failed(database, now, "run", f"job:{number}", "here")
            attempts.start(database, now, jobs[number - 1].id, {}, None)
        for table, change in (
            ("looks", "rules='[' WHERE look=1"),
            ("timers", "due_at='' WHERE rule='rule 1'"),
            ("defects", "first_at='then' WHERE item='job:1'"),
            ("attempts", "started_at='' WHERE job=(SELECT min(job) FROM attempts)"),
        ):
            database.execute(f"UPDATE {table} SET {change}")
    rows = site.ledger.database
    assert [each.look for each in looks.undecided(rows)] == [2]
    assert [each.rule for each in timers.waiting(rows)] == ["rule 2"]
    assert [each.item for each in defects.of_stage(rows, "run")] == ["job:2"]
    assert len(attempts.open_here(rows)) == 1
    places = unreadable(site.ledger)
    assert {place.split(" ")[0] for place in places} == {"looks", "timers", "defects", "attempts"}
    assert f"timers {STUDY} wait rule 1" in places
    with site.ledger.transaction() as database:
        database.execute("UPDATE alerts SET kind='of another version' WHERE place LIKE 'looks%'")
    assert any(place.startswith("alerts ") for place in unreadable(site.ledger) + unreadable(site.ledger))
