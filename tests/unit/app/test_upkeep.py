"""Upkeep by the calendar: what nobody tries any more is forgotten once a day, or at the start if a day was missed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from node.app import upkeep
from node.app.alerts import AlertSweep
from node.app.schedule import Schedule
from node.backup.folder import BackupFolder
from node.clock import SystemClock
from node.config.backup import BackupSettings
from node.config.models import Configuration
from node.ledger import alerts, backups, defects
from node.ledger.alert_kinds import AlertKind
from node.ledger.backups import BackupStatus
from node.ledger.database import FILE, Ledger
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.transactions import counted
from tests.support.wait import until

FORGOTTEN = timedelta(days=3)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    store = DataFolder(tmp_path / "data")
    return Node(Ledger(store.data / FILE), store, SystemClock(), Wakes())


def fail(node: Node, number: int, ago: timedelta = FORGOTTEN) -> None:
    """Items that failed once, so long ago."""
    at = node.clock.now() - ago
    with node.ledger.transaction() as database:
        for each in range(number):
            defects.failed(database, at, "run", f"job:{ago} {each}", "an error")
        alerts.raised(database, at, AlertKind.ITEM_FAILED, f"run job:{ago} 0", stage="run")


def test_defects_that_ended_otherwise_are_dropped_in_short_transactions_and_their_alerts_close(node: Node) -> None:
    """Those of three days ago, 250 at a time, and not one of yesterday."""
    fail(node, 1, timedelta(days=1))
    fail(node, 600)
    with counted(node.ledger) as rows:
        upkeep.forget_defects(node)
    assert (max(rows), sum(rows)) == (250, 600)
    AlertSweep(node).run_once()
    assert [each.place for each in alerts.open_ones(node.ledger.database, 9)] == ["run job:1 day, 0:00:00 0"]
    assert len(defects.of_stage(node.ledger.database, "run")) == 1


def test_a_run_that_was_missed_is_made_up_for_at_the_start(node: Node) -> None:
    """A machine that is off each night forgets as well."""
    fail(node, 1)
    schedule = Schedule(ZoneInfo("Asia/Seoul"))
    upkeep.enter(schedule, node)
    schedule.start()
    until(lambda: not defects.of_stage(node.ledger.database, "run"), what="the upkeep")
    schedule.close()


def settings(tmp_path: Path) -> BackupSettings:
    return BackupSettings(to=tmp_path / "backups", keep=2)


def test_the_backup_of_the_day_is_made_and_the_newest_are_kept(node: Node, tmp_path: Path) -> None:
    """By the node itself, with a row that says so."""
    schedule = Schedule(ZoneInfo("Asia/Seoul"))
    for _ in range(3):
        upkeep.back_up(node, settings(tmp_path), schedule)
    assert len(BackupFolder(settings(tmp_path).to).names()) == 2
    last = backups.last(node.ledger.database)
    assert last is not None
    assert (last.status, last.by) == (BackupStatus.MADE, "node")


def test_a_backup_that_fails_is_an_alert_until_one_is_made(node: Node, tmp_path: Path) -> None:
    """Also one that cannot begin: a file is in the place of the folder. And none for two days is another."""
    schedule, wanted = Schedule(ZoneInfo("Asia/Seoul")), settings(tmp_path)
    wanted.to.write_text("in the way")
    upkeep.back_up(node, wanted, schedule)
    with node.ledger.transaction() as database:
        long_ago = node.clock.now() - timedelta(days=3)
        backups.begin(database, long_ago, folder=str(wanted.to), name="n", by="node")
    upkeep.look_for_overdue_backup(node, wanted)
    AlertSweep(node).run_once()
    found = {each.kind: each for each in alerts.open_ones(node.ledger.database, 9)}
    assert set(found) == {AlertKind.BACKUP_FAILED, AlertKind.BACKUP_OVERDUE}
    assert "no backup was made in" in found[AlertKind.BACKUP_FAILED].detail["error"]
    wanted.to.unlink()
    upkeep.back_up(node, wanted, schedule)
    upkeep.look_for_overdue_backup(node, wanted)
    AlertSweep(node).run_once()
    assert alerts.open_ones(node.ledger.database, 9) == []


def test_a_backup_that_was_missed_is_made_at_the_start_and_a_reload_changes_the_calendar(
    node: Node, tmp_path: Path
) -> None:
    """A machine that is off each night has backups, too; without the section there are none."""
    wanted = settings(tmp_path)
    configuration = Configuration.model_validate({"node": {"time_zone": "Asia/Seoul"}, "backup": wanted})
    with node.ledger.transaction() as database:
        long_ago = node.clock.now() - timedelta(days=3)
        row = backups.begin(database, long_ago, folder=str(wanted.to.resolve()), name="n", by="node")
        backups.made(database, long_ago, row.id, files=1, size=1)
    schedule = Schedule(ZoneInfo("Asia/Seoul"))
    upkeep.enter_backups(schedule, node, configuration)
    upkeep.enter_backups(schedule, node, configuration.model_copy(update={"backup": None}))
    schedule.start()
    assert backups.last(node.ledger.database) == backups.last_made(node.ledger.database)
    upkeep.enter_backups(schedule, node, configuration)
    until(lambda: BackupFolder(wanted.to).names(), what="the backup that was missed")
    schedule.close()


def test_a_backup_stops_with_the_node(node: Node, tmp_path: Path) -> None:
    """No alert: it is made another time."""
    schedule = Schedule(ZoneInfo("Asia/Seoul"))
    schedule.close()
    upkeep.back_up(node, settings(tmp_path), schedule)
    last = backups.last(node.ledger.database)
    assert last is not None
    assert last.status is BackupStatus.ABANDONED
    assert alerts.open_ones(node.ledger.database, 9) == []
