"""Each way in which a container can end: the attempt says which, and nothing of the container is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from node.run.executor import ExitKind
from tests.support.sites.container_room import ContainerRoom
from tests.support.sites.container_site import ANSWERS

_FORKS = "i=0; while [ $i -lt 40 ]; do sleep 600 & i=$((i + 1)); done; wait"
_BOMB = "f() { f | f & }; (f) & exec sleep 600"  # the first process forks once: it does not end when no fork is left
_MIB = 2**20


@dataclass(frozen=True)
class Row:
    """What a container does, and how it ends."""

    script: str
    ending: ExitKind
    code: int | None = None
    says: str = ""
    """In the detail, for the admin."""
    prints: str = ""
    """In its log."""
    limits: dict[str, Any] = field(default_factory=dict)


ROWS = {
    "by itself": Row(ANSWERS, ExitKind.EXITED, 0),
    "with a status": Row("exit 3", ExitKind.EXITED, 3),
    "with the status of an engine that failed": Row("exit 125", ExitKind.EXITED, 125),
    "what it calls is missing": Row("/none", ExitKind.EXITED, 127, prints="not found"),
    "what it calls may not be run": Row("/etc/passwd", ExitKind.EXITED, 126),
    "as shells say that a signal ended something": Row("sh -c 'kill -SEGV $$'; exit $?", ExitKind.SIGNALLED, 11),
    "writes to its root": Row("echo x >/etc/x || exit 9", ExitKind.EXITED, 9, prints="Read-only file system"),
    "writes to its images": Row(
        "for each in /job/in/*/*; do echo x >$each || exit 9; done", ExitKind.EXITED, 9, prints="Read-only file system"
    ),
    "becomes root": Row("id -u | grep -qx 0 && exit 0; su -c id root || exit 9", ExitKind.EXITED, 9),
    "looks for a network": Row("grep -v -e Inter -e face -e lo: /proc/net/dev || exit 9", ExitKind.EXITED, 9),
    "calls somebody": Row("wget -T 5 -O - http://127.0.0.1:1/ || exit 9", ExitKind.EXITED, 9),
    "mounts": Row("mount -t tmpfs none /tmp || exit 9", ExitKind.EXITED, 9),
    "too late": Row(
        "trap '' TERM INT; while true; do sleep 1; done", ExitKind.DEADLINE, limits={"deadline_seconds": 4}
    ),
    "leaves a result and goes on": Row(
        f"{ANSWERS}; trap '' TERM; sleep 600", ExitKind.LINGERED, limits={"grace_seconds": 1}
    ),
    "too much memory": Row(
        "dd if=/dev/zero of=/dev/null bs=80M count=1000000",  # and keeps it: less than at which the kernel steps in
        ExitKind.MEMORY,
        says="at most 48 MiB",
        limits={"memory_bytes": 48 * _MIB},
    ),
    "too many processes": Row(_FORKS, ExitKind.PROCESSES, says="at most 20", limits={"processes": 20}),
    "a fork bomb": Row(_BOMB, ExitKind.PROCESSES, says="at most 20", limits={"processes": 20}),
    "too much on the disk": Row(
        "dd if=/dev/zero of=/tmp/x bs=1M count=40; sleep 600",
        ExitKind.DISK,
        says="wrote more",
        limits={"disk_bytes": 20 * _MIB},
    ),
    "too many files": Row(
        "i=0; while [ $i -lt 99 ]; do echo x >/job/out/$i; i=$((i + 1)); done; sleep 600",
        ExitKind.DISK,
        says="more than 50 files",
        limits={"files": 50},
    ),
    "too much output": Row("yes", ExitKind.OUTPUT, says="printed more than", limits={"printed_bytes": 4 * _MIB}),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_container_ends_and_leaves_nothing(room: ContainerRoom, name: str) -> None:
    """Its exit status, signal or limit is named; there is no container, layer, mount or process of it any more."""
    row = ROWS[name]
    done = room.shell(row.script, limits=row.limits)
    assert (done.ended.ending, done.ended.code) == (row.ending, row.code), (done.ended, done.log)
    assert row.says in done.ended.detail
    assert row.prints in done.log
    assert room.podman.left() == []
