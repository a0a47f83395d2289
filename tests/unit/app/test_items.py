"""What nobody foresaw costs one item of a stage: every stage, by fault injection."""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.app.failing import FailingStages
from node.app.process import App
from node.clock import SystemClock
from node.config import loading
from node.config.in_force import InForce
from node.errors import TransientError
from node.index.children import HeaderReader
from node.items import TRIES, Item, Items, pause
from node.ledger import defects, events
from node.ledger.database import Ledger
from node.stage import Node
from node.store.health import failing
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.sites.broken_items import MAKERS, Fault, Maker, Play

NAME = "Hong^Gildong"
EVERY = [pytest.param(maker, id=maker.__name__) for makers in MAKERS.values() for maker in makers]
ERRORS = [
    RuntimeError(NAME),
    UnicodeEncodeError("latin-1", NAME, 0, 1, "no"),
    sqlite3.IntegrityError(NAME),
]


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


def _until_it_is_given_up(play: Play, fault: Fault) -> None:
    for times in range(1, TRIES + 1):
        if fault.raised == times:
            play.pass_(pause(times).total_seconds() + 1)


@pytest.mark.parametrize("maker", EVERY)
def test_finding_d3_an_exception_costs_one_item(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader
) -> None:
    """The others go on; it waits ever longer, also after a restart; one alert; a dead letter; `retry` mends it."""
    fault = Fault(RuntimeError(NAME))
    play = maker(tmp_path, monkeypatch, reader, fault)
    play.run()
    play.run()
    assert {play.status(1), play.status(2)} <= play.done
    assert play.status(0) not in play.done
    assert fault.raised == 1
    play.restart()
    play.pass_(1)
    assert fault.raised == 1
    play.pass_(10)
    assert fault.raised == 2
    play.pass_(20)
    assert fault.raised == 2
    (begun,) = [each for each in history.open_alerts(play.ledger.database) if "item" in each.detail]
    assert "an error in the program (broken_items.py, line " in begun.detail["error"]
    play.pass_(21)
    _until_it_is_given_up(play, fault)
    tried = fault.raised
    assert 5 <= tried <= TRIES
    if play.dead:
        assert play.status(0) == play.dead
    else:
        assert defects.of_stage(play.ledger.database, begun.detail["stage"])[0].parked
    play.restart()
    play.pass_(7200)
    assert fault.raised == tried
    assert NAME not in str([each.detail for each in _events(play)])
    if play.retry:
        fault.error = None
        known = defects.latest(play.ledger.database, play.clock.now(), 9)
        play.ask_again(play.retry.format(defect=known[0].id if known else ""))
        play.pass_(61)
        play.pass_(61)
        assert play.status(0) in play.done
    assert not [each for each in defects.latest(play.ledger.database, play.clock.now(), 9) if not each.parked]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("maker", EVERY)
def test_finding_d3_whatever_the_exception_is(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader, error: Exception
) -> None:
    """The others are handled, and when the cause is gone before the last try, so is the one."""
    fault = Fault(error)
    play = maker(tmp_path, monkeypatch, reader, fault)
    play.run()
    play.run()
    assert {play.status(1), play.status(2)} <= play.done
    fault.error = None
    play.pass_(11)
    play.pass_(11)
    assert play.status(0) in play.done
    assert not defects.latest(play.ledger.database, play.clock.now(), 9)


@pytest.mark.parametrize("maker", EVERY)
def test_finding_d3_a_locked_ledger_or_a_full_disk_is_no_items_fault(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: HeaderReader
) -> None:
    """The item is not blamed and not counted; when the cause is gone, everything is handled."""
    fault = Fault(None)
    play = maker(tmp_path, monkeypatch, reader, fault)
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    for error in (busy, OSError(errno.ENOSPC, "No space left on device"), TransientError("locked")):
        fault.error = error
        for _ in range(3):
            _may_fail(play)
    assert not defects.latest(play.ledger.database, play.clock.now(), 9)
    fault.error = None
    for seconds in (61, 61, 901):
        play.pass_(seconds)
    assert {play.status(number) for number in range(3)} <= play.done


def _may_fail(play: Play) -> None:
    try:
        play.run()
    except (TransientError, OSError):
        return


def _events(play: Play) -> list[events.Event]:
    return history.latest(play.ledger.database, 1000)


CONFIGURATION = """
node: {data: data, time_zone: UTC, listen: {host: 127.0.0.1, port: 11112}}
destinations:
  pacs: {ae_title: PACS, host: 127.0.0.1, port: 104}
modalities:
  ct: {ae_title: CT1, storage_commitment: {host: 127.0.0.1, port: 105, commit_through: pacs}}
boxes:
  cad: {ae_title: CADBOX, host: 127.0.0.1, port: 106}
services:
  ai: {url: "http://127.0.0.1:107"}
"""
ALONE = {"reload", "alerts", "deadlines", "refused", "sweep", "heartbeat", "audit"}
"""Stages without items that could raise by what they hold: the configuration; what is over closes by itself; a column
of a row; counts (what cannot be read of those is dropped, see test_refused.py); nothing at all; what the
others say of themselves; an event whose message cannot be made in full has a bare one, see test_stage.py of audit."""


def test_finding_d3_every_stage_of_the_node_is_tested_here(tmp_path: Path) -> None:
    """A stage that is added to the node process needs a play of its own."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIGURATION)
    app = App(InForce.of(loading.read(path), SystemClock().now(), "a test"))
    try:
        names = {each.name for each in app.workers()}
        kinds = {re.sub(r"^(deliver|fetch|report|commitment-of|box|service)-.*", r"\1", name) for name in names}
        assert kinds - ALONE == set(MAKERS)
    finally:
        for each in app.workers():
            each.stage.close()
        app.node.ledger.close()


def test_finding_d3_a_dead_letter_that_fails_too_is_parked(tmp_path: Path) -> None:
    """Even the item's own row cannot be written: the ledger keeps the pause, and in the end that it is given up."""
    ledger, clock = Ledger(tmp_path / "ledger.db"), HandClock()
    items = Items("stage", Node(ledger, DataFolder(tmp_path), clock, Wakes()))
    item = Item("thing:1", put_off=lambda *_: {}["row"], give_up=lambda *_: {}["row"])  # type: ignore[index]
    tried: list[int] = []

    def fails() -> None:
        tried.append(1)
        raise KeyError(NAME)

    for times in range(1, TRIES + 3):
        items.handle(item, fails, None)
        items.handle(item, fails, None)
        clock.pass_(seconds=pause(times).total_seconds() + 1)
    assert len(tried) == TRIES
    assert items.is_parked("thing:1")
    (alert,) = history.open_alerts(ledger.database)
    assert (alert.kind, alert.detail["retry"]) == ("item.failed", "defect:1")


def test_an_item_that_a_stop_cuts_off_is_not_its_own_failure(tmp_path: Path) -> None:
    """The ledger is closed while it is handled: that is the stage's failure; the item has no row and no alert."""
    ledger = Ledger(tmp_path / "ledger.db")
    items = Items("stage", Node(ledger, DataFolder(tmp_path), HandClock(), Wakes()))

    def reads_on() -> None:
        database = ledger.database
        ledger.close()
        history.latest(database, 1)

    with pytest.raises(TransientError, match="stopping"):
        items.handle(Item("thing:1"), reads_on, None)
    assert not defects.of_stage(ledger.database, "stage")
    assert not history.open_alerts(ledger.database)


def test_finding_d3_a_wrong_clock_puts_nothing_off_for_days(tmp_path: Path) -> None:
    """Set ahead while an item fails, and corrected: no pause is longer than the longest."""
    ledger, clock = Ledger(tmp_path / "ledger.db"), HandClock()
    items = Items("stage", Node(ledger, DataFolder(tmp_path), clock, Wakes()))
    clock.jump(days=10)
    items.handle(Item("thing:1"), lambda: {}["row"], None)  # type: ignore[index]
    clock.jump(days=-10)
    assert items.handle(Item("thing:1"), lambda: "done", "") == "done"


def test_finding_d3_pauses_grow_and_are_bounded() -> None:
    """Ten seconds at first, an hour at most, about three hours in all."""
    pauses = [pause(times).total_seconds() for times in range(1, TRIES)]
    assert pauses == [10, 40, 160, 640, 2560, 3600, 3600]
    assert pause(10**6).total_seconds() == 3600


def test_finding_d3_a_stage_that_fails_as_a_whole_is_an_alert_once(tmp_path: Path) -> None:
    """While it lasts `status` has a file to read, which needs no ledger; one alert; both end with the cause."""
    ledger = Ledger(tmp_path / "ledger.db")
    known = FailingStages(Node(ledger, DataFolder(tmp_path), HandClock(), Wakes()))
    for _ in range(5):
        known.fails("deliver-pacs", "the ledger is locked")
    assert {name: each.reason for name, each in failing(tmp_path).items()} == {"deliver-pacs": "the ledger is locked"}
    known.works("deliver-pacs")
    assert failing(tmp_path) == {}
    kinds = [each.kind for each in history.latest(ledger.database, 9)]
    assert kinds == ["stage.fails-no-more", "stage.failing"]


def test_finding_d3_a_stage_fails_while_the_ledger_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file says it at once, the alert follows when the ledger takes it."""
    ledger = Ledger(tmp_path / "ledger.db")
    known = FailingStages(Node(ledger, DataFolder(tmp_path), HandClock(), Wakes()))

    def locked(self: Ledger) -> None:
        raise TransientError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "transaction", locked)
        known.fails("index", "locked")
    assert list(failing(tmp_path)) == ["index"]
    known.fails("index", "locked")
    assert [each.kind for each in history.latest(ledger.database, 9)] == ["stage.failing"]
