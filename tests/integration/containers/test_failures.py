"""Each way in which a container can fail: it ends as an attempt of its kind, and nothing of the container is left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from node.ledger import attempts
from node.ledger.attempts import AttemptFailureKind
from node.ledger.job import Job, JobStatus
from node.run.stage import RunStage
from tests.support.sites.container_site import ANSWERS, ContainerSite
from tests.support.wait import until

ROWS: dict[str, tuple[str, AttemptFailureKind, str]] = {
    "exit status": ("exit 3", AttemptFailureKind.ERROR, "exit status 3"),
    "asks for another attempt": ("exit 75", AttemptFailureKind.RETRYABLE, "asks to be tried again"),
    "entry point calls what is missing": ("/none", AttemptFailureKind.ERROR, "exit status 127"),
    "killed by itself": ("kill -SEGV $$; sleep 60", AttemptFailureKind.CRASH, ""),
    "writes nothing": ("exit 0", AttemptFailureKind.CONTRACT, "out/result.json is missing"),
    "no result that is one": ("echo {} >/job/out/result.json", AttemptFailureKind.CONTRACT, "result.json"),
    "root file system": ("echo x >/etc/x || exit 9", AttemptFailureKind.ERROR, "exit status 9"),
    "its images": ("for each in /job/in/*/*; do echo x >$each || exit 9; done", AttemptFailureKind.ERROR, "status 9"),
    "a link as its result": (
        "ln -s /etc/passwd /job/out/result.json",
        AttemptFailureKind.CONTRACT,
        "result.json",
    ),
    "a pipe beside its result": (f"mkfifo /job/out/pipe; {ANSWERS}", AttemptFailureKind.CONTRACT, "pipe"),
    "memory": (
        "x=0123456789; while true; do x=$x$x; [ ${#x} -gt 99000000 ] && sleep 600; done",
        AttemptFailureKind.MEMORY,
        "at most 64 MiB",
    ),
    "files in memory": (
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; exec sleep 600",
        AttemptFailureKind.MEMORY,
        "",
    ),
    "processes": (
        "i=0; while [ $i -lt 290 ]; do sleep 600 & i=$((i + 1)); done; wait",
        AttemptFailureKind.RESOURCES,
        "at most 256",
    ),
    "disk": ("dd if=/dev/zero of=/job/scratch/x bs=1M count=40; sleep 600", AttemptFailureKind.RESOURCES, "wrote more"),
    "its deadline": ("exec sleep 600", AttemptFailureKind.DEADLINE, "not ended after"),
    "its deadline, and it ignores signals": ("trap '' TERM INT; while true; do sleep 1; done", AttemptFailureKind.DEADLINE, ""),
}
"""What fails → a line of shell, the kind of failure, and what the admin reads."""
_KEYS = {"memory": {"memory_mb": 64}, "files in memory": {"memory_mb": 48}}
_DEADLINES = {"its deadline": "5s", "its deadline, and it ignores signals": "5s"}


@pytest.mark.parametrize("row", ROWS)
def test_a_container_that_fails_is_a_failed_attempt_and_leaves_nothing(
    site: ContainerSite, outcome: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    """Each with its reason in words, counted as it is of other kinds."""
    script, failure, words = ROWS[row]
    job = outcome(script, use={"deadline": _DEADLINES.get(row, "10m")}, **_KEYS.get(row, {}))
    last = attempts.last_of(site.ledger.database, job.id)
    assert last is not None
    assert last.failure is failure, (last.detail, site.log(job))
    assert words in (last.detail or "")
