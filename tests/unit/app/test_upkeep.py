"""Upkeep by the calendar: what nobody tries any more is forgotten once a day, or at the start if a day was missed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from node.app import upkeep
from node.app.alerts import AlertSweep
from node.app.schedule import Schedule
from node.clock import SystemClock
from node.ledger import alerts, defects
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import FILE, Ledger
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support.transactions import counted
from tests.support.wait import until

FORGOTTEN = timedelta(days=3)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(Ledger(tmp_path / FILE), DataFolder(tmp_path), SystemClock(), Wakes())


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
