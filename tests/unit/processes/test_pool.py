"""Child processes: what a call may take, what becomes of one that takes more, and who goes first."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from node.processes.pool import HEAVY, CallCancelledError, ChildDiedError, ChildLimitError, Pool
from tests.support.wait import until

PLENTY = 2**30


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2)
    yield made
    made.close()


def _double(number: int) -> int:
    return 2 * number


def _take(size: int) -> int:
    return len(bytearray(size))


def _die(_: int) -> None:
    os.kill(os.getpid(), 9)


def _wait_for(path: Path) -> str:
    path.with_suffix(".begun").touch()
    while not path.exists():
        time.sleep(0.01)
    return path.name


def test_finding_x1_a_call_that_takes_too_much_memory_costs_that_call_alone(pool: Pool) -> None:
    """Too much memory is said so, in this process nothing was taken, and the next call is answered."""
    before = psutil.Process().memory_info().rss
    with pytest.raises(ChildLimitError, match="needed more than the 128 MiB of memory"):
        pool.call(_take, 2**30, deadline=60, memory=2**27)
    assert psutil.Process().memory_info().rss - before < 2**26
    assert pool.call(_double, 4, deadline=60, memory=PLENTY) == 8
    assert pool.call(_take, 2**26, deadline=60, memory=2**27) == 2**26, "what fits is not refused"


def test_finding_x1_a_call_that_kills_its_child_is_told_from_one_that_takes_too_long(
    pool: Pool, tmp_path: Path
) -> None:
    """A death may have come from outside, and another try is worth it; a deadline would pass again."""
    with pytest.raises(ChildDiedError, match="SIGKILL"):
        pool.call(_die, 1, deadline=60, memory=PLENTY)
    with pytest.raises(ChildLimitError, match="took too long"):
        pool.call(_wait_for, tmp_path / "never", deadline=0.3, memory=PLENTY)
    assert pool.call(_double, 4, deadline=60, memory=PLENTY) == 8


def test_finding_x2_a_call_that_nobody_wants_any_more_is_ended(pool: Pool, tmp_path: Path) -> None:
    """It ends while it works, its child is gone, and a cancelled call is not begun at all."""
    begun = tmp_path / "never.begun"
    with pytest.raises(CallCancelledError):
        pool.call(_wait_for, tmp_path / "never", deadline=600, memory=PLENTY, cancelled=begun.exists)
    assert not pool._busy
    assert not pool._idle
    with pytest.raises(CallCancelledError):
        pool.call(_wait_for, tmp_path / "other", deadline=600, memory=PLENTY, cancelled=lambda: True)
    assert not (tmp_path / "other.begun").exists()


def test_finding_x2_what_is_heavy_leaves_a_child_to_what_is_small(pool: Pool, tmp_path: Path) -> None:
    """Two heavy calls never hold both children: a small one is answered while the first works and the second waits."""
    with ThreadPoolExecutor(2) as threads:
        heavy = [
            threads.submit(pool.call, _wait_for, tmp_path / "go", deadline=600, memory=PLENTY, weight=HEAVY)
            for _ in range(2)
        ]
        until((tmp_path / "go.begun").exists, what="the first heavy call to begin")
        until(lambda: len(pool._waiting) == 1, what="the second to wait")
        assert pool.call(_double, 4, deadline=60, memory=PLENTY) == 8
        assert len(pool._busy) == 1
        (tmp_path / "go").touch()
        assert [each.result(60) for each in heavy] == ["go", "go"]


def test_finding_x2_of_those_that_wait_the_small_one_goes_first(tmp_path: Path) -> None:
    """With one child: a call that came later and weighs less is answered first."""
    pool, order = Pool(1), []
    with ThreadPoolExecutor(3) as threads:
        threads.submit(pool.call, _wait_for, tmp_path / "go", deadline=600, memory=PLENTY)
        until((tmp_path / "go.begun").exists, what="the child to be busy")
        for weight in (100.0, 0.0):
            waiting = len(pool._waiting)
            done = threads.submit(pool.call, _double, 1, deadline=60, memory=PLENTY, weight=weight)
            done.add_done_callback(lambda _, weight=weight: order.append(weight))
            until(lambda waiting=waiting: len(pool._waiting) > waiting, what="the call to wait")
        (tmp_path / "go").touch()
    pool.close()
    assert order == [0.0, 100.0]


def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    """Who waits for an answer hears that none will come."""
    pool, heard = Pool(1), []

    def ask() -> None:
        try:
            pool.call(_wait_for, tmp_path / "never", deadline=600, memory=PLENTY)
        except CallCancelledError as error:
            heard.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until((tmp_path / "never.begun").exists, what="the call to begin")
    pool.close()
    thread.join(30)
    assert len(heard) == 1
