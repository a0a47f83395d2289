"""Child processes: what a call may take, what becomes of one that takes more, and who goes first."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import structlog

from node.observe import logs
from node.processes.pool import HEAVY, CallCancelledError, ChildDiedError, ChildLimitError, ChildPool
from tests.support.wait import until

PLENTY = 2**30


@pytest.fixture
def pool() -> Iterator[ChildPool]:
    made = ChildPool(2)
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


def test_finding_x1_a_call_that_takes_too_much_memory_costs_that_call_alone(pool: ChildPool) -> None:
    """Too much memory is said so, in this process nothing was taken, and the next call is answered."""
    before = psutil.Process().memory_info().rss
    with pytest.raises(ChildLimitError, match="needed more than the 128 MiB of memory"):
        pool.call(_take, 2**30, deadline=60, memory=2**27)
    assert psutil.Process().memory_info().rss - before < 2**26
    assert pool.call(_double, 4, deadline=60, memory=PLENTY) == 8
    assert pool.call(_take, 2**26, deadline=60, memory=2**27) == 2**26, "what fits is not refused"


def test_finding_x1_a_call_that_kills_its_child_is_told_from_one_that_takes_too_long(
    pool: ChildPool, tmp_path: Path
) -> None:
    """A death may have come from outside, and another try is worth it; a deadline would pass again."""
    with pytest.raises(ChildDiedError, match="SIGKILL"):
        pool.call(_die, 1, deadline=60, memory=PLENTY)
    with pytest.raises(ChildLimitError, match="took too long"):
        pool.call(_wait_for, tmp_path / "never", deadline=0.3, memory=PLENTY)
    assert pool.call(_double, 4, deadline=60, memory=PLENTY) == 8


def test_finding_x2_a_call_that_nobody_wants_any_more_is_ended(pool: ChildPool, tmp_path: Path) -> None:
    """It ends while it works, its child is gone, and a cancelled call is not begun at all."""
    begun = tmp_path / "never.begun"
    with pytest.raises(CallCancelledError):
        pool.call(_wait_for, tmp_path / "never", deadline=600, memory=PLENTY, cancelled=begun.exists)
    assert not pool._busy
    assert not pool._idle
    with pytest.raises(CallCancelledError):
        pool.call(_wait_for, tmp_path / "other", deadline=600, memory=PLENTY, cancelled=lambda: True)
    assert not (tmp_path / "other.begun").exists()


def test_finding_x2_what_is_heavy_leaves_a_child_to_what_is_small(pool: ChildPool, tmp_path: Path) -> None:
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
    pool, order = ChildPool(1), []
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
    pool, heard = ChildPool(1), []

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


def _talk(what: str) -> int:
    structlog.get_logger().warning("results.said", what=what, event_of=3, process="forged")
    structlog.get_logger().debug("results.detail")
    warnings.warn(f"Invalid value for VR PN: {what}", stacklevel=1)
    print(what, flush=True)
    logging.getLogger("pydicom").error("value %s", what)
    return 1


def _talk_for_ever(count: int) -> int:
    for number in range(count):
        structlog.get_logger().info("results.said", number=number)
    return count


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the node's log gets, as JSON lines."""
    root = logging.getLogger()
    handlers, level, shown = list(root.handlers), root.level, warnings.showwarning
    stream = io.StringIO()
    logs.configure("json", "debug", process="node", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    warnings.showwarning = shown


def test_finding_x5_what_a_child_logs_is_a_line_of_the_node(pool: ChildPool, lines: io.StringIO) -> None:
    """In the node's format, escaped, once; what libraries warn of or print is none: it quotes headers."""
    assert pool.call(_talk, "Kim\x1b[31m\r\n{forged}", deadline=60, memory=PLENTY) == 1
    [line] = [json.loads(each) for each in lines.getvalue().splitlines()]
    assert (line["event"], line["level"], line["process"]) == ("results.said", "warning", "node")
    assert line["what"] == "Kim\\x1b[31m\\r\\n{forged}"


def test_finding_x5_a_child_cannot_fill_the_log(pool: ChildPool, lines: io.StringIO) -> None:
    """After its thousandth line it is silent, and goes on."""
    assert pool.call(_talk_for_ever, 3000, deadline=60, memory=PLENTY) == 3000
    assert len(lines.getvalue().splitlines()) == logs.LINES_A_CHILD


class _Full(io.StringIO):
    """A log on a disk without space."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("lines")
def test_finding_x4_a_full_log_disk_costs_no_call(pool: ChildPool) -> None:
    """The node's log cannot be written: what a child logs, and what it is asked for, is not touched by it."""
    logs.configure("json", "debug", process="node", stream=_Full())
    assert pool.call(_talk, "text", deadline=60, memory=PLENTY) == 1
