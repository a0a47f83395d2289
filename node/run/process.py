"""Running a command on a job's folder, watched by a guard process (`node/run/guard.py`)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from node.run import guard
from node.run.executor import Ending, Exit, Limits
from node.run.sandbox import Isolation

LOG = "log.txt"
GUARD_LOG = "guard.log"
GRACE_SECONDS = 60.0
"""How much longer than the deadline the guard may take to tell how it ended."""
_POLL_SECONDS = 0.2
_KEPT = ("CUDA_VISIBLE_DEVICES", "LANG", "LC_ALL", "TZ")
"""Of the node's own environment; the rest may hold secrets."""


@dataclass(frozen=True)
class CommandLine:
    """What to start, and what it needs to see."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    readable: Sequence[Path]


def run(
    line: CommandLine, folder: Path, limits: Limits, cancel: threading.Event, isolation: Isolation, hidden: Path
) -> Exit:
    """Run a command on a prepared folder (`out/` and `scratch/` are there) and wait until no process of it is left.

    `hidden`, the data folder, is out of its sight where there is a sandbox.
    """
    command = list(line.arguments)
    if isolation.sandbox:
        command = isolation.sandbox.wrap(command, folder, line.readable, hidden, limits)
    order = guard.Order(
        command=command,
        environment=_environment(folder) | dict(line.environment),
        working_folder=str(folder / "scratch"),
        log=str(folder / LOG),
        writable=[str(folder / "out"), str(folder / "scratch")],
        sandboxed=isolation.sandbox is not None,
        **asdict(limits),
    )
    return _watch(order, folder, cancel)


def _environment(folder: Path) -> dict[str, str]:
    scratch = str(folder / "scratch")
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {
        "LANG": "C.UTF-8",
        **kept,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _watch(order: guard.Order, folder: Path, cancel: threading.Event) -> Exit:
    with (folder / GUARD_LOG).open("wb") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-I", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,  # a terminal's Ctrl-C is for the node, which tells the guard
        )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            process.stdin.flush()
        end = time.monotonic() + order.deadline_seconds + GRACE_SECONDS
        while not select.select([process.stdout], [], [], _POLL_SECONDS)[0]:
            if cancel.is_set() and not process.stdin.closed:
                process.stdin.close()
            if time.monotonic() > end:
                os.killpg(process.pid, signal.SIGKILL)
        verdict = process.stdout.readline()
    if not verdict:
        complaint = (folder / GUARD_LOG).read_text(encoding="utf-8", errors="replace").strip()[-500:]
        why = complaint or "it was killed"
        return Exit(Ending.NOT_STARTED, detail=f"the process that watches the plugin ended: {why}")
    fields = json.loads(verdict)
    return Exit(**{**fields, "ending": Ending(fields["ending"])})
