"""When workers end: with what they were started from, their time, their node, their guard, a reload."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from node.ledger import attempts
from node.ledger.job import Job
from node.run.executor import ExitKind
from node.run.sandbox import Isolation
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support.sites.configurations import with_slots
from tests.support.sites.job_site import NOT_ISOLATED, Site
from tests.support.sites.warm_room import LIMITS, WarmRoom
from tests.support.wait import until

MIB = 2**20
ROOT = Path(__file__).parents[3]
Start = Callable[..., RunStage]
Settle = Callable[..., Job]


def test_a_worker_that_was_killed_while_it_waited_costs_no_job(tmp_path: Path, isolated: Isolation) -> None:
    """As by the system's out-of-memory killer: the next job gets another worker, and nothing is said to have failed."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin('said["made"] = made')
    first = room.job("A")
    assert all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in _workers(room)), "it waits awake"
    for pid in _workers(room):
        os.kill(pid, signal.SIGKILL)
    second = room.job("B")
    assert (second.ended.ending, second.ended.code) == (ExitKind.EXITED, 0)
    assert second.worker != first.worker
    room.workers.close()


def _workers(room: WarmRoom) -> list[int]:
    return [pid for pid in room.processes() if "bwrap" not in psutil.Process(pid).name()]


def test_a_worker_ends_with_what_it_was_started_from(tmp_path: Path, isolated: Isolation) -> None:
    """Changed code, weights or limits: another worker. The old one ends, and its sibling with other limits does not."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin('said["made"] = made')
    first = room.job()
    assert room.job().worker == first.worker
    other = room.job(deadline_seconds=30)
    assert other.worker != first.worker
    (room.home / "weights.bin").write_bytes(b"other weights")
    assert room.job().worker != first.worker
    assert len(room.workers.waiting) == 2
    room.plugin('said["made"] = 7')
    assert room.job().said == {"made": 7}
    room.workers.keep_only([(room.home, LIMITS)])
    assert len(room.workers.waiting) == 1
    room.workers.close()


def test_a_worker_ends_after_its_jobs_after_waiting_and_where_memory_is_wanted(
    tmp_path: Path, isolated: Isolation
) -> None:
    """Two jobs each: the third has another worker. Waiting ends it, and so does `free`, the oldest first."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin('said["made"] = made')
    names = [room.job(worker_jobs=2).worker for _ in range(3)]
    assert names[0] == names[1] != names[2]
    room.seconds += LIMITS.worker_idle_seconds
    second = room.job().worker
    assert [each.name for each in room.workers.waiting] == [name.removeprefix("worker ") for name in (names[2], second)]
    room.seconds += 1
    room.workers.sweep()
    assert [each.name for each in room.workers.waiting] == [second.removeprefix("worker ")]
    third = room.job(deadline_seconds=30).worker
    (oldest, youngest) = (each.memory for each in room.workers.waiting)
    assert room.workers.free(1) == oldest > 10 * MIB
    assert [each.name for each in room.workers.waiting] == [third.removeprefix("worker ")]
    assert room.workers.free(2**60) == youngest
    assert room.processes() == []
    room.workers._most_idle = MIB
    room.job()
    assert room.workers.waiting == [], "more than idle workers may hold together"


def test_a_guard_that_is_killed_takes_its_worker_along(tmp_path: Path, isolated: Isolation) -> None:
    """SIGKILL of the guard of a worker that waits: nothing of it is left, and the next job has another one."""
    room = WarmRoom(tmp_path, isolated)
    room.plugin('said["made"] = made')
    first = room.job()
    found = {psutil.Process(pid) for pid in room.processes()}
    (guard,) = {each.parent() for each in found} - found
    assert guard is not None
    guard.kill()
    until(lambda: room.processes() == [], what="the end of the worker")
    assert room.job().worker != first.worker
    room.workers.close()


FOOLS = {
    "out is a link": "shutil.rmtree(out); out.symlink_to('TARGET')",
    "out is another folder": "out.rename(out.with_name('moved')); out.mkdir()",
    "the images are a link": "shutil.rmtree(out.parent / 'in'); (out.parent / 'in').symlink_to('TARGET')",
    "the request is gone": "(out.parent / 'request.json').unlink()",
    "a file is added": "(out.parent / 'more').touch()",
}


@pytest.mark.parametrize("body", FOOLS.values(), ids=FOOLS)
def test_what_an_unconfined_worker_does_to_its_folder_reaches_neither_others_nor_the_next_job(
    tmp_path: Path, body: str
) -> None:
    """Without a sandbox it can replace what the node moves: no link is followed; the next job has its own files."""
    room, target = WarmRoom(tmp_path, NOT_ISOLATED), tmp_path / "target"
    target.mkdir()
    (target / "theirs").write_text("not the plugin's")
    body = body.replace("TARGET", str(target))
    room.plugin(
        f"""
        said["in"] = sorted(os.listdir(out.parent / "in"))
        (out / "said.json").write_text(json.dumps(said))
        if letter == "A":
            import shutil
            {body}
            out = study.scratch
        """
    )
    room.job("A")
    second = room.job("B")
    assert second.said == {"in": ["1.dcm"]}
    assert json.loads(second.result)["status"] == "not_applicable"
    assert (target / "theirs").read_text() == "not the plugin's"
    room.workers.close()


def test_a_node_that_is_killed_takes_its_waiting_workers_along(tmp_path: Path) -> None:
    """SIGKILL of the node while a worker waits: nothing of it is left."""
    script = f"""
import os, pathlib
from node.run.sandbox import isolation
from tests.support.sites.warm_room import WarmRoom
room = WarmRoom(pathlib.Path({str(tmp_path)!r}) / "killed", isolation())
room.plugin("pass")
room.job()
assert room.workers.waiting
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    room = WarmRoom(tmp_path / "killed" / "another", NOT_ISOLATED)
    room.work = tmp_path / "killed" / "data" / "work"
    until(lambda: room.processes() == [], what="the end of the worker")


def test_a_reload_ends_only_the_workers_that_it_concerns(
    site: Site, start: Start, settle: Settle, workers: WarmWorkers
) -> None:
    """A new configuration with the same plugin keeps its worker; one without it does not. Attempts name the worker."""
    site.python_plugin("first")
    receipts = site.receive(1)
    site.complete()
    run, handles = start(), []
    for number in range(2):
        job = settle(run, site.job("first", receipts, rule=f"rule {number}"))
        (attempt,) = attempts.of_job(site.ledger.database, job.id)
        handles.append(attempt.handle)
        site.python_plugin(f"another-{number}")
        run.use(with_slots(2))
    assert handles == [f"worker {each.name}" for each in workers.waiting] * 2
    del site.uses["first"]
    run.use(with_slots(2))
    assert workers.waiting == []
