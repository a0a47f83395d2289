"""The node's side of a guard process (`node/run/guard.py`), which starts and watches a command on a job's folder."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from node.errors import TransientError
from node.run import cgroups, guard, leftovers, tags, variables
from node.run.containers.order import ContainerOrder
from node.run.enclosure import EnclosureOrder
from node.run.executor import AttemptLimits, Exit, ExitKind, ProcessWatch
from node.run.guard_messages import GuardOrder
from node.run.sandbox import Isolation, Sandbox
from plugins import exchange
from plugins.privileges import Privileges
from plugins.resources import THREAD_VARIABLES

LOG = "log.txt"
GUARD_LOG = "guard.log"
GRACE_SECONDS = 60.0
"""How much longer than the deadline the guard may take to tell how it ended."""
_POLL_MILLISECONDS = 200
_KEPT = ("LANG", "LC_ALL", "TZ")
"""Of the node's own environment; the rest may hold secrets."""
_OF_GPUS = ("CUDA_VISIBLE_DEVICES",)
_LIMITS = {field.name for field in fields(GuardOrder)} & {field.name for field in fields(AttemptLimits)}


class WorkerGoneError(TransientError):
    """A worker had ended before it was given a job."""


@dataclass(frozen=True)
class CommandLine:
    """What to start, and what it needs to see."""

    arguments: Sequence[str]
    """`{folder}` stands for the job's folder."""
    environment: Mapping[str, str]
    readable: Sequence[Path]
    code_folder: str = ""
    """See `node.run.guard_messages.GuardOrder`."""
    is_worker: bool = False
    """It takes one job after the other: see `node.run.guard_messages.GuardOrder`."""
    says_when: bool = True
    """Whether its result is whole once `result.json` is there; else it is done when it ends."""
    container: ContainerOrder | None = None
    """Where it is an engine that runs a container; `environment` is all that the engine gets then."""


@dataclass(frozen=True)
class JobPlace:
    """Where a command works."""

    folder: Path
    """With `out/` and `scratch/`; the command sees it under the same path."""
    logs: Path
    """The folder for `LOG` and `GUARD_LOG`."""
    hidden: Path
    """The data folder, which is out of its sight where there is a sandbox."""


class GuardProcess:
    """A guard, with the command that it started."""

    def __init__(self, line: CommandLine, place: JobPlace, limits: AttemptLimits, isolation: Isolation) -> None:
        """Start it with a job that lies in the folder; OSError where there is no room for another process."""
        order = _order(line, place, limits, isolation)
        self._most_seconds = limits.deadline_seconds + order.loading_seconds * line.is_worker + GRACE_SECONDS
        self._complaints = place.logs / GUARD_LOG
        self._folder, self._container = place.folder, line.container
        with self._complaints.open("wb") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", guard.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,  # a terminal's Ctrl-C is for the node, which tells the guard
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._reports = self._process.stdin, self._process.stdout
        self._tell(json.dumps(asdict(order)).encode())

    def next_job(self) -> None:
        """Have a worker do the job that lies in its folder by now."""
        self._tell(b"")

    def report(self, watch: ProcessWatch) -> tuple[Exit, int]:
        """Wait for the end of the job: how it ended, and the bytes that a worker holds which is kept for another one.

        0 bytes where no process of it is left. Raises WorkerGoneError.
        """
        end = time.monotonic() + self._most_seconds
        reports = select.poll()  # which takes descriptors of any number
        reports.register(self._reports, select.POLLIN)
        while not reports.poll(_POLL_MILLISECONDS):
            if watch.cancel.is_set():
                self._close()
            if time.monotonic() > end:
                os.killpg(self._process.pid, signal.SIGKILL)
        report = self._reports.readline()
        if not report:
            code = self._process.wait()
            leftovers.end(self._folder, self._container)
            if code == 0:
                raise WorkerGoneError("the worker had ended")
            if code < 0:
                why = "the process that watches it was killed, by it or by the system"
                return Exit(ExitKind.GUARD_DIED, detail=why), 0
            complaint = self._complaints.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            why = complaint or "it was killed"
            return Exit(ExitKind.NOT_STARTED, detail=f"the process that watches the plugin ended: {why}"), 0
        fields = json.loads(report)
        memory = fields.pop("memory_bytes")
        return Exit(**{**fields, "ending": ExitKind(fields["ending"])}), memory

    @property
    def is_alive(self) -> bool:
        """Whether the guard runs and takes orders: it ends with the last process of its command."""
        return not self._orders.closed and self._process.poll() is None

    def end(self) -> None:
        """End whatever is left, and wait for that."""
        self._close()
        try:
            self._process.wait(guard.KILL_SECONDS + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.returncode:  # it was killed, and could end nothing any more
            leftovers.end(self._folder, self._container)
        self._reports.close()

    def _tell(self, order: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which `report` says
            self._orders.write(order + b"\n")
            self._orders.flush()

    def _close(self) -> None:
        if not self._orders.closed:
            with contextlib.suppress(BrokenPipeError):
                self._orders.close()


def run(line: CommandLine, place: JobPlace, limits: AttemptLimits, watch: ProcessWatch, isolation: Isolation) -> Exit:
    """Run a command that ends with its job, and wait until no process of it is left."""
    try:
        variables.values(isolation.privileges)
    except OSError as error:
        return Exit(ExitKind.NOT_STARTED, detail=variables.unreadable(error))
    process = GuardProcess(line, place, limits, isolation)
    try:
        watch.begun("")
        return process.report(watch)[0]
    finally:
        process.end()


def _order(line: CommandLine, place: JobPlace, limits: AttemptLimits, isolation: Isolation) -> GuardOrder:
    folder = place.folder
    command, granted = [part.replace("{folder}", str(folder)) for part in line.arguments], isolation.privileges
    values = variables.values(granted)
    if isolation.sandbox:
        readable = (*line.readable, *granted.readable)
        command = isolation.sandbox.wrap(command, folder, readable, place.hidden, limits, granted)
    added = {} if isolation.sandbox else values
    basis = {} if line.container else _environment(folder, granted, limits)
    return GuardOrder(
        command=command,
        environment=basis | dict(line.environment) | added | tags.mark(folder),
        working_folder=str(folder / "scratch"),
        log=str(place.logs / LOG),
        folder=str(folder),
        result=str(folder / exchange.OUT / exchange.RESULT) if line.says_when else "",
        writable=[str(folder / "out"), str(folder / "scratch")],
        sandboxed=isolation.sandbox is not None,
        code_folder=line.code_folder,
        is_worker=line.is_worker,
        enclosure=_enclosure(folder, isolation.sandbox, granted, values),
        container=line.container,
        **{name: value for name, value in asdict(limits).items() if name in _LIMITS},
    )


def _enclosure(folder: Path, sandbox: Sandbox | None, granted: Privileges, values: Mapping[str, str]) -> EnclosureOrder:
    group = cgroups.of(folder)
    return EnclosureOrder(
        folder=str(folder),
        user=sandbox.user if sandbox else None,
        group=str(group.folder) if group else "",
        variables=variables.script(values) if sandbox else "",
        services=tuple((each.host, each.port) for each in granted.network) if sandbox else (),
    )


def _environment(folder: Path, granted: Privileges, limits: AttemptLimits) -> dict[str, str]:
    scratch = str(folder / "scratch")
    kept = {name: os.environ[name] for name in (*_KEPT, *(_OF_GPUS if granted.gpu else ())) if name in os.environ}
    if limits.gpu is not None:
        kept |= dict.fromkeys(_OF_GPUS, limits.gpu)
    if limits.processors:
        kept |= dict.fromkeys(THREAD_VARIABLES, str(math.ceil(limits.processors)))
    return {
        "LANG": "C.UTF-8",
        **kept,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
