"""Writers of all threads and processes take turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.errors import TransientError
from node.ledger import database as module
from node.ledger import events
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.turnstile import Turnstile
from tests.support.wait import until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FEW = 3
"""As many transactions of another writer as one may wait for: the one under way, and those begun before it asked."""
WRITER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from node.ledger import events
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind

ledger = Ledger.existing(Path(sys.argv[1]))
while True:
    with ledger.transaction() as database:
        events.record(database, datetime.now(UTC), EventKind.ITEM_RECOVERED)
        time.sleep(0.02)
"""
HOLDER = """
import sys, time
from pathlib import Path
from node.ledger.turnstile import Turnstile

with Turnstile(Path(sys.argv[1])).turn(30):
    print("mine", flush=True)
    time.sleep(600)
"""


@contextmanager
def process(source: str, ledger: Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python that runs `source`; killed at the end."""
    with subprocess.Popen([sys.executable, "-c", source, str(ledger)], stdout=subprocess.PIPE, text=True) as other:
        try:
            yield other
        finally:
            other.kill()


def open_files() -> Iterator[str]:
    """What this process has open."""
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            yield os.readlink(each)


def written(ledger: Ledger) -> int:
    """How often the other writer has written."""
    return int(ledger.database.execute("SELECT count(*) FROM events WHERE kind='item.recovered'").fetchone()[0])


def waited_for(ledger: Ledger) -> int:
    """Write one row; how many transactions of the other writer were committed between the request and its grant."""
    before = written(ledger)
    with ledger.transaction() as database:
        events.record(database, NOW, EventKind.ITEM_FAILED)
        return written(ledger) - before


def test_a_writer_waits_for_few_transactions_of_another_process(ledger: Ledger) -> None:
    """A process writes for 20 ms at a time without a gap: each of 20 one-row writes gets its turn among the next."""
    with process(WRITER, ledger.path):
        until(lambda: written(ledger) > 2, what="the other process to write")
        assert max(waited_for(ledger) for _ in range(20)) <= FEW


def test_a_writer_waits_for_few_transactions_of_another_thread(ledger: Ledger) -> None:
    """The same within the node process."""
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            with ledger.transaction() as database:
                events.record(database, NOW, EventKind.ITEM_RECOVERED)
                time.sleep(0.02)  # a transaction that takes its time

    with ThreadPoolExecutor(1) as pool:
        pool.submit(write)
        try:
            until(lambda: written(ledger) > 2, what="the other thread to write")
            assert max(waited_for(ledger) for _ in range(20)) <= FEW
        finally:
            over.set()


def test_threads_take_turns_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    """Ten threads that wait while an eleventh has the turn."""
    turnstile, order = Turnstile(tmp_path / "ledger.db"), []

    def write(number: int) -> None:
        with turnstile.turn(60):
            order.append(number)

    with ThreadPoolExecutor(10) as pool, turnstile.turn(60):
        for number in range(10):
            pool.submit(write, number)
            until(lambda n=number: len(turnstile._waiting) == n + 2, what="it to wait")
    assert order == list(range(10))


def test_two_ledgers_in_one_process_exclude_each_other(ledger: Ledger) -> None:
    """Whoever opened it: locks are of the opened file, not of the process."""
    second = Turnstile(ledger.path)
    with ledger.transaction(), pytest.raises(TimeoutError), second.turn(0):
        pass
    with second.turn(0):
        pass


def test_a_turn_that_does_not_come_is_transient(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process was stopped in its turn: TransientError that names the file, and a turn once that is gone."""
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    with process(HOLDER, ledger.path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        other.send_signal(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(TransientError, match=r"ledger\.db.*locked"), ledger.transaction():
                pass
    monkeypatch.undo()
    with ledger.transaction() as database:
        events.record(database, NOW, EventKind.ITEM_RECOVERED)


def test_a_killed_writer_keeps_nobody_out(ledger: Ledger) -> None:
    """The locks end with the process that held them."""
    with process(HOLDER, ledger.path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        other.kill()
        with ledger.transaction() as database:
            events.record(database, NOW, EventKind.ITEM_RECOVERED)


def test_a_turn_ends_with_its_transaction_whatever_happens_in_it(ledger: Ledger) -> None:
    """An exception, and a nested transaction, which is a mistake that is found at once."""
    with pytest.raises(ZeroDivisionError), ledger.transaction():
        _ = 1 / 0
    with pytest.raises(AssertionError, match="do not nest"), ledger.transaction(), ledger.transaction():
        pass
    with ledger.transaction() as database:
        events.record(database, NOW, EventKind.ITEM_RECOVERED)


def test_locks_that_cannot_be_opened_are_transient(tmp_path: Path) -> None:
    """A disk that refuses is named as the ledger's own file is; mended, it goes on."""
    ledger = Ledger(tmp_path / "ledger.db")
    (tmp_path / "ledger.next").symlink_to(tmp_path / "gone" / "ledger.next")
    with pytest.raises(TransientError, match=r"ledger\.db"), ledger.transaction():
        pass
    (tmp_path / "ledger.next").unlink()
    with ledger.transaction() as database:
        events.record(database, NOW, EventKind.ITEM_RECOVERED)


def test_closed_ledgers_leave_no_files_open(tmp_path: Path) -> None:
    """A process may open a ledger often."""
    for number in range(3):
        ledger = Ledger(tmp_path / f"{number}.db")
        with ledger.transaction() as database:
            events.record(database, NOW, EventKind.ITEM_RECOVERED)
        ledger.close()
    assert [each for each in open_files() if each.startswith(str(tmp_path))] == []
