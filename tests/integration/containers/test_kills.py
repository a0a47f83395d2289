"""Whoever is killed while a container runs, nothing of it is left, and the attempt ends as one of its kind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from node.ledger import attempts
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job, JobStatus
from node.run.containers.order import PID_FILE
from node.run.executor import ExitKind
from node.run.stage import RunStage
from tests.support.sites.container_room import ContainerRoom
from tests.support.sites.container_site import ContainerSite
from tests.support.wait import until

RUNS = "echo begun >/job/out/begun; sleep 600 & sleep 600"


def _first(folder: Path) -> psutil.Process:
    """The container's first process, once it has begun its work."""
    until((folder / "out" / "begun").exists, 60, "the container's beginning")
    return psutil.Process(int((folder / PID_FILE).read_text()))


def _container(folder: Path) -> psutil.Process:
    return _first(folder)


def _conmon(folder: Path) -> psutil.Process:
    parent = _first(folder).parent()
    assert parent is not None
    assert parent.name() == "conmon"
    return parent


def _guard(folder: Path) -> psutil.Process:
    guard = _conmon(folder).parent()
    assert guard is not None
    assert "node.run.guard" in guard.cmdline()
    return guard


def _podman(folder: Path) -> psutil.Process:
    return next(each for each in _guard(folder).children() if each.name() == "podman")


VICTIMS = {
    "podman": (_podman, ExitKind.SIGNALLED),
    "conmon": (_conmon, ExitKind.GUARD_DIED),
    "container": (_container, ExitKind.SIGNALLED),
    "guard": (_guard, ExitKind.GUARD_DIED),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_whoever_is_killed_nothing_of_the_container_is_left(room: ContainerRoom, victim: str) -> None:
    """Neither containers nor layers, mounts or processes; the ending is one that counts as a crash."""
    find, ending = VICTIMS[victim]

    def kill() -> None:
        find(room.work / "job-1" / "1").kill()

    killer = threading.Thread(target=kill)
    done = room.shell(RUNS, begun=killer.start)
    killer.join()
    assert done.ended.ending is ending, (done.ended, done.log)
    assert room.podman.left() == []


def test_a_job_that_is_cancelled_takes_its_container_with_it(room: ContainerRoom) -> None:
    """However deaf the program in it is to signals."""
    cancel = threading.Event()

    def stop() -> None:
        _first(room.work / "job-1" / "1")
        cancel.set()

    stopper = threading.Thread(target=stop)
    done = room.shell(f"trap '' TERM INT HUP; {RUNS}; sleep 600", begun=stopper.start, cancel=cancel)
    stopper.join()
    assert (done.ended.ending, room.podman.left()) == (ExitKind.CANCELLED, [])


MOMENTS: dict[str, Callable[[ContainerRoom, Path], bool]] = {
    "podman has begun": lambda _, folder: bool(_podmans(folder)),
    "its layer is there": lambda room, folder: bool(_podmans(folder)) and _layers(room) > 1,
    "conmon is there": lambda room, _: any("conmon" in each for each in room.podman.left()),
    "its first process is there": lambda _, folder: (folder / PID_FILE).exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_guard_that_is_killed_while_a_container_is_made_leaves_nothing(room: ContainerRoom, moment: str) -> None:
    """At any moment between its start and the first line of the program."""
    assert room.podman.shell
    folder = room.work / "job-1" / "1"

    def kill() -> None:
        until(lambda: MOMENTS[moment](room, folder), 60, moment)
        for podman in _podmans(folder):
            guard = podman.parent()
            assert guard is not None
            guard.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    done = room.shell("exec sleep 600")
    killer.join()
    assert (done.ended.ending, room.podman.left()) == (ExitKind.GUARD_DIED, [])


def _podmans(folder: Path) -> list[psutil.Process]:
    """Those that run a container on this folder, while their guard lives."""
    found = []
    for each in psutil.Process().children(recursive=True):
        try:
            if (
                each.name() == "podman"
                and "run" in each.cmdline()
                and any(str(folder) in word for word in each.cmdline())
            ):
                found.append(each)
        except psutil.NoSuchProcess:
            continue
    return found


def _layers(room: ContainerRoom) -> int:
    return len(list((room.podman.folder / "store" / "vfs" / "dir").iterdir()))


NODE = """
import sys
from pathlib import Path
from tests.support.programs.podman import PodmanStore
from tests.support.sites.container_room import ContainerRoom
ContainerRoom(Path(sys.argv[1]), PodmanStore(Path(sys.argv[2]))).shell(sys.argv[3])
"""
"""What stands for a node: a process that runs one job."""


def _node(room: ContainerRoom) -> subprocess.Popen[bytes]:
    """It, with a container that has begun."""
    arguments = [str(room.folder), str(room.podman.folder), RUNS]
    node = subprocess.Popen([sys.executable, "-c", NODE, *arguments], cwd=Path(__file__).parents[3])
    _first(room.work / "job-1" / "1")
    return node


def test_a_node_that_is_killed_takes_its_containers_with_it(room: ContainerRoom) -> None:
    """Its guard sees that, and removes the container."""
    assert room.podman.shell
    node = _node(room)
    node.kill()
    node.wait()
    until(lambda: room.podman.left() == [], 60, "the end of all that the node had started")


def test_the_next_start_removes_what_node_and_guard_left_that_died_together(
    room: ContainerRoom, site: ContainerSite, start: Callable[..., RunStage]
) -> None:
    """By the label with node and folder: containers of another node on this engine stay, at the same path, too."""
    site.shell_job("exit 0")
    room.folder = site.folder
    label = f"pacsnode.work=PN000000000000:{site.data_folder.work.resolve()}"
    other = room.podman.call(
        "run", "--detach", "--network=none", "--label", label, room.podman.shell, "-c", "sleep 600"
    )
    node = _node(room)
    guard = _guard(room.work / "job-1" / "1")
    for each in (node, guard):
        each.send_signal(signal.SIGSTOP)
    for each in (guard, node):
        each.kill()
    node.wait()
    assert len(room.podman.call("ps", "--all", "--quiet").split()) == 2
    start().run_once()
    assert room.podman.call("ps", "--all", "--quiet", "--no-trunc").split() == [other]
    room.podman.call("rm", "--force", "--time", "0", other)


def test_an_attempt_whose_guard_is_killed_counts_as_a_crash(
    site: ContainerSite, start: Callable[..., RunStage], settle: Callable[..., Job]
) -> None:
    """As one of a plugin of another kind does."""
    job = site.shell_job(RUNS)

    def kill() -> None:
        _guard(site.data_folder.work / job.id / "1").kill()

    killer = threading.Thread(target=kill)
    killer.start()
    settled = settle(start(), job)
    killer.join()
    last = attempts.last_of(site.ledger.database, job.id)
    assert last is not None
    assert (settled.status, last.failure, last.counted) == (JobStatus.ENDED, AttemptFailureKind.CRASH, True)
    assert site.podman.left() == []
