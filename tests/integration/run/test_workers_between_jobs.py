"""What happens to a worker, and around it, while it waits for its next job."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from node.ledger import attempts
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job
from node.run import cgroups
from node.run.leftovers import WARM
from node.run.stage import RunStage
from plugins.privileges import Endpoint, Privileges
from tests.support import other_users
from tests.support.clocks import HandClock
from tests.support.sites.job_site import NOT_ISOLATED, Site
from tests.support.sites.warm_room import WarmRoom
from tests.support.wait import until

MODES = {"another user": other_users.apart, "same user": other_users.same_user, "not isolated": lambda: NOT_ISOLATED}


def _guard(room: WarmRoom) -> psutil.Process:
    (worker,) = room.workers.waiting
    assert worker._process is not None
    return psutil.Process(worker._process._process.pid)


@pytest.mark.parametrize("mode", MODES)
def test_a_guard_that_is_killed_meanwhile_leaves_nothing(tmp_path: Path, mode: str) -> None:
    """Neither a process that the worker had started, nor a control group, nor a file of another user."""
    room = WarmRoom(tmp_path, MODES[mode]())
    room.plugin("pass", init='self.child = subprocess.Popen(["sleep", "4242"])')
    assert room.job().worker
    _guard(room).send_signal(signal.SIGKILL)
    until(lambda: not room.workers.waiting[0].is_alive, what="the guard to be gone")
    room.workers.sweep()
    until(lambda: room.processes() == [], what="its processes to end")
    assert cgroups.left(room.work / WARM) == []
    assert {each.lstat().st_uid for each in room.work.rglob("*")} == {os.geteuid()}
    room.workers.close()


def test_what_a_job_puts_into_memory_is_not_there_for_the_next(tmp_path: Path) -> None:
    """Into a folder, and over a file, that were there when the code was loaded."""
    room = WarmRoom(tmp_path, other_users.same_user())
    room.plugin(
        """
        said["seen"] = [os.listdir("/tmp/cache"), Path("/dev/shm/x").read_text()]
        Path("/tmp/cache", letter).write_text(letter)
        Path("/dev/shm/x").write_text(letter)
        """,
        init='os.makedirs("/tmp/cache"); Path("/dev/shm/x").write_text("")',
    )
    room.job("A")
    assert room.job("B").said["seen"] == [[], ""]
    room.workers.close()


def test_a_granted_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    """A model outside of the plugin's folder: written over, and put in its place."""
    model = tmp_path / "model.bin"
    model.write_text("old")
    room = WarmRoom(tmp_path, replace(other_users.same_user(), privileges=Privileges(readable=(model,))))
    room.plugin('said["model"] = MODEL', begin=f"MODEL = Path({str(model)!r}).read_text()")
    assert room.job().said["model"] == "old"
    model.write_text("newer")
    assert room.job().said["model"] == "newer"
    model.unlink()
    model.write_text("newest")
    assert room.job().said["model"] == "newest"
    room.workers.close()


def test_each_gpu_keeps_its_worker(tmp_path: Path) -> None:
    """A job on another GPU ends no worker."""
    room = WarmRoom(tmp_path, NOT_ISOLATED)
    room.plugin("pass")
    first, _, again = room.job(gpu="0"), room.job(gpu="1"), room.job(gpu="0")
    assert first.worker == again.worker
    assert sorted(str(each.recipe.limits.gpu) for each in room.workers.waiting) == ["0", "1"]
    room.workers.close()


def test_a_plugin_that_is_taken_out_while_it_runs_keeps_no_worker(tmp_path: Path) -> None:
    """A reload in the middle of a job: the job is done, and its worker ends."""
    room = WarmRoom(tmp_path, NOT_ISOLATED)
    room.plugin("pass")
    assert room.job("A", begun=lambda: room.workers.keep_only([])).result
    assert room.workers.waiting == []


@pytest.fixture
def greeter() -> Iterator[int]:
    """The port of a service that says hello."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.mark.parametrize("mode", ["another user", "same user"])
def test_what_connects_it_is_there_for_each_job(tmp_path: Path, greeter: int, mode: str) -> None:
    """For the second job of a worker, and for the next one where it died meanwhile: with another worker."""
    granted = Privileges(network=(Endpoint("localhost", greeter),))
    room = WarmRoom(tmp_path, replace(MODES[mode](), privileges=granted))
    room.plugin(
        f"""
        with socket.create_connection(("localhost", {greeter}), 5) as connection:
            said["got"] = connection.recv(9).decode()
        """,
        begin="import socket",
    )
    first, second = room.job(), room.job()
    assert (first.worker, second.said["got"]) == (second.worker, "hello")
    (relay,) = [each for each in _guard(room).children() if "node.run.guard" in " ".join(each.cmdline())]
    relay.kill()
    third = room.job()
    assert (third.worker != first.worker, third.said["got"]) == (True, "hello")
    room.workers.close()


def test_code_that_was_rolled_back_answers_with_what_was_rolled_back_to(
    site: Site, start: Callable[..., RunStage], settle: Callable[..., Job]
) -> None:
    """Replaced while a job runs, and loaded by it; the old code comes back before the next attempt, which has it."""
    clock = site.clock = HandClock()
    once = site.folder / "once"
    site.python_plugin(
        "lazy",
        f"""
        helper = Path(__file__).with_name("helper.py")
        if not Path({str(once)!r}).exists():
            Path({str(once)!r}).touch()
            helper.write_text("NAME = 'new'")
        import helper as loaded
        print("helper", loaded.NAME)
        """,
    )
    helper = site.folder / "plugins" / "lazy" / "helper.py"
    helper.write_text("NAME = 'old'")
    receipts = site.receive()
    site.complete()
    run = start()
    job = settle(run, site.job("lazy", receipts))
    (first,) = attempts.of_job(site.ledger.database, job.id)
    assert first.failure == AttemptFailureKind.CHANGED
    helper.write_text("NAME = 'old'")
    clock.pass_(minutes=1)
    job = settle(run, job, attempts=2)
    assert [line for line in site.log(job).splitlines() if line.startswith("helper")] == ["helper new", "helper old"]
