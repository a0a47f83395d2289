"""What happens to an attempt whose guard is killed, by its plugin or from outside: all of it ends, and it counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from node.ledger import attempts
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job, JobStatus
from node.run import cgroups, process, tags
from node.run.executor import AttemptLimits, Exit, ExitKind, ProcessWatch
from node.run.process import CommandLine, JobPlace
from node.run.sandbox import Isolation
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from tests.support import other_users
from tests.support.sites.job_site import NOT_ISOLATED, Site
from tests.support.wait import until

MARK = "86399"
"""Seconds that only processes of these tests sleep."""
DAEMON = """
import os, signal, sys, time
def start(environment):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 3)
            os.execve("/bin/sleep", ["sleep", "MARK"], environment)
        os._exit(0)
    os.wait()
"""
KILLS_ITS_GUARD = "start(os.environ); os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)"


def _sleepers(folder: Path) -> list[int]:
    """Processes that these tests' plugins have started: by their group, or their mark, or what they are."""
    found = []
    for each in psutil.process_iter():
        try:
            if each.cmdline()[-2:] == ["sleep", MARK] and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each.pid)
        except psutil.NoSuchProcess:
            continue
    return sorted({*found, *tags.processes(folder)})


def _run(folder: Path, body: str, isolation: Isolation, begun: Callable[[], None] = lambda: None) -> Exit:
    for name in ("out", "scratch"):
        (folder / name).mkdir(parents=True)
    program = folder / "program.py"
    program.write_text(DAEMON.replace("MARK", MARK) + textwrap.dedent(body))
    program.chmod(0o644)
    line = CommandLine([str(Path(sys.executable).resolve()), "-I", str(program)], {}, [Path(sys.base_prefix), program])
    watch = ProcessWatch(threading.Event(), lambda _: begun(), WarmWorkers(folder))
    return process.run(line, JobPlace(folder, folder, folder.parent.parent), AttemptLimits(60, 2**28), watch, isolation)


def test_a_plugin_that_kills_its_guard_leaves_nothing_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the same user, without a sandbox and a control group: a daemon of it is found by its mark."""
    monkeypatch.setattr(cgroups, "of", lambda _: None)
    folder = tmp_path / "work" / "job" / "1"
    ended = _run(folder, KILLS_ITS_GUARD, NOT_ISOLATED)
    assert (ended.ending, _sleepers(folder)) == (ExitKind.GUARD_DIED, [])


def test_a_process_without_the_mark_is_found_by_its_control_group(tmp_path: Path) -> None:
    """A daemon that was started with an empty environment, also where the guard is gone."""
    folder = tmp_path / "work" / "job" / "1"
    group = cgroups.of(folder)
    if group is None:
        pytest.skip("no control groups can be made here")
    ended = _run(folder, KILLS_ITS_GUARD.replace("os.environ", "{}"), NOT_ISOLATED)
    assert (ended.ending, _sleepers(folder), group.folder.exists()) == (ExitKind.GUARD_DIED, [], False)


@pytest.mark.parametrize("user", ["the node's", "another"])
def test_a_guard_that_is_killed_from_outside_takes_its_sandbox_along(tmp_path: Path, user: str) -> None:
    """kill -9 of the guard while a daemon sleeps in the sandbox; the folder is the node's again."""
    isolation = other_users.apart()
    if user == "the node's":
        isolation = other_users.same_user()
    folder = tmp_path / "work" / "job" / "1"
    guard: list[int] = []

    def kill() -> None:
        until(lambda: "at work" in _text(folder / "log.txt"), what="the plugin to be at work")
        guard[:] = [each.pid for each in psutil.Process().children() if "node.run.guard" in each.cmdline()]
        os.kill(guard[0], signal.SIGKILL)

    ended = _run(folder, "start({}); print('at work', flush=True); time.sleep(60)", isolation, kill)
    assert len(guard) == 1
    until(lambda: _sleepers(folder) == [], what="the end of the sandbox")
    assert ended.ending is ExitKind.GUARD_DIED
    assert (folder / "scratch").stat().st_uid == os.geteuid()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_an_attempt_whose_guard_died_counts(
    site: Site, start: Callable[..., RunStage], settle: Callable[..., Job]
) -> None:
    """It failed like a crash, and is tried again as often as the site allows."""
    site.python_plugin("kills", "os.kill(os.getppid(), 9); time.sleep(60)", attempts=2)
    receipts = site.receive(1)
    site.complete()
    job = settle(start(), site.job("kills", receipts))
    (row,) = attempts.of_job(site.ledger.database, job.id)
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 1)
    assert (row.failure, row.counted) == (AttemptFailureKind.CRASH, True)
    assert "the process that watches it was killed" in (row.detail or "")


def test_fault_55_the_next_start_ends_what_node_and_guard_left(site: Site, start: Callable[..., RunStage]) -> None:
    """Both were killed at once: what is left is found by its mark and by its group; others' processes stay."""
    folder = site.data_folder.work.resolve() / "job" / "1"
    left = subprocess.Popen(["sleep", MARK], env=tags.mark(folder), start_new_session=True)
    other = subprocess.Popen(["sleep", "60"], env=tags.mark(site.folder / "elsewhere" / "work" / "job" / "1"))
    group = cgroups.of(folder)
    grouped = None
    if group:
        group.make(2**28, 100)
        grouped = subprocess.Popen(["sleep", MARK], env={}, preexec_fn=group.join)  # noqa: PLW1509 - it writes one file
    try:
        start().run_once()
        assert left.wait(10) == -signal.SIGKILL
        assert grouped is None or grouped.wait(10) == -signal.SIGKILL
        assert group is None or not group.folder.exists()
        assert other.poll() is None
    finally:
        for each in (left, other, *([grouped] if grouped else [])):
            each.kill()
            each.wait()
