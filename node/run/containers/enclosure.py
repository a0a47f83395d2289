"""What a guard puts around one attempt whose plugin is a container image: the container itself does most of it.

The engine's own program is the guard's child, and podman's conmon becomes that (PR_SET_CHILD_SUBREAPER), with the
container's processes below. Those of docker belong to its daemon. Killing the program ends no container: it is removed
by its name, always.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from node.run import handover, users
from node.run.containers import dialects, engine, removal
from node.run.containers.engine import EngineError, EngineKind
from node.run.containers.order import ContainerOrder
from node.run.guard_report import GuardReport

_NEVER = "0001-01-01"
"""When a container was started that never was."""
_UNNOTICED_SECONDS = 60.0
"""For an engine to notice that a container has ended."""
_SIGNALS = 128
"""What an engine adds to the number of the signal that ended a container."""
_GROUPS = Path("/sys/fs/cgroup")


@dataclass
class ContainerEnclosure:
    """One attempt's container; the methods are those of `node.run.enclosure.Enclosure`."""

    order: ContainerOrder
    relay: int | None = None
    descriptors: Sequence[int] = ()
    _first: psutil.Process | None = None
    """The container's first process."""
    _gone_since: float | None = None
    _group: tuple[Path, str, str] | None = None
    """Its control group for memory, and the files that count what was ended for it, and the most that it had."""
    _out_of_memory: bool = False
    _peak: int = 0
    left: str = ""
    """Why it could not be removed."""

    _most_memory: int = 0
    """Bytes that it may have, by its limits."""

    def begin(self, memory_bytes: int, _processes: int) -> None:
        """Hand its files over; OSError."""
        self._most_memory = memory_bytes
        if self.order.user is not None:
            folder = Path(self.order.folder)
            user = users.of_root(*self.order.user, name="")
            handover.give(folder, user)
            for name in ("out", "scratch"):
                for path in (folder / name).iterdir():  # what its dialect made there
                    os.chown(path, user.uid, user.gid)

    def join(self) -> None:
        """The engine makes the control group."""

    def started(self, _output: int, _status: int) -> None:
        """The engine does the rest."""

    def is_connected(self) -> bool:
        """There is no network."""
        return True

    def end_job(self) -> None:
        """A container does one job."""

    def next_job(self) -> None:
        """See `end_job`."""

    def processes(self) -> list[int]:
        """The living processes in the container."""
        first = self._first = self._first or self._found()
        if first is None:
            return []
        self._look_at_memory()
        with contextlib.suppress(psutil.NoSuchProcess):
            if first.is_running() and first.status() != psutil.STATUS_ZOMBIE:
                return [first.pid, *(each.pid for each in first.children(recursive=True))]
        self._gone_since = self._gone_since or time.monotonic()
        return []

    def _found(self) -> psutil.Process | None:
        with contextlib.suppress(OSError, ValueError, EngineError, psutil.NoSuchProcess):
            if self.order.engine is EngineKind.PODMAN:
                number = int(self.order.pid_file.read_text(encoding="ascii"))
            else:
                number = int(self._inspected("{{.State.Pid}}"))
            if number > 0:
                process = psutil.Process(number)
                self._group = _memory_group(number)
                return process
        return None

    def lost(self) -> str:
        """Why nobody watches the container any more on the engine's side; "" where somebody does."""
        if self._first is None:
            return ""
        if self._gone_since is not None:
            late = time.monotonic() - self._gone_since > _UNNOTICED_SECONDS
            return f"{self.order.engine} did not notice that its container had ended" if late else ""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._first.ppid() == os.getpid():
                return "conmon, the process between podman and the container, was ended by somebody"
        return ""

    def _look_at_memory(self) -> None:
        if self._group is None:
            return
        folder, counter, peak = self._group
        with contextlib.suppress(OSError, ValueError):  # the group is gone, or does not count that
            lines = (folder / counter).read_text(encoding="ascii").splitlines()
            counts = dict(line.split(maxsplit=1) for line in lines)
            self._out_of_memory |= counts.get("oom_kill", "0") != "0"
            self._peak = max(self._peak, int((folder / peak).read_text(encoding="ascii")))

    def was_out_of_memory(self) -> bool:
        """Whether the kernel ended one of its processes for memory, as far as that was seen while it ran."""
        self._look_at_memory()
        return self._out_of_memory

    def peak_bytes(self) -> int:
        """The most memory that the kernel counted; 0 where that was not seen."""
        return self._peak

    def how_ended(self, code: int) -> GuardReport | None:
        """What the engine's exit status means, where it is not the program's own."""
        if code <= 0:
            return None
        with contextlib.suppress(EngineError):
            started, _, rest = self._inspected("{{.State.StartedAt}}|{{.State.OOMKilled}}").partition("|")
            if started.startswith(_NEVER) and code == 125:
                return self._not_started(code)
            if rest.strip() == "true" and code > _SIGNALS:
                return GuardReport("memory", detail="the kernel ended it for its memory")
            return self._signalled(code - _SIGNALS) if code > _SIGNALS else None
        return self._not_started(code) if code == 125 else None  # it was never made

    def _signalled(self, number: int) -> GuardReport:
        """Ended by a signal that the node did not send. Who did, cgroups of version 1 do not say afterwards."""
        if number != signal.SIGKILL:
            return GuardReport("signalled", number)
        most = self._most_memory // 2**20
        why = f"by the kernel, if it took more than the {most} MiB that it may have at once, or by somebody"
        return GuardReport("signalled", number, why)

    def _not_started(self, code: int) -> GuardReport:
        why = f"{self.order.engine} could not start the container; log.txt holds the message"
        return GuardReport("not_started", code, why)

    def end(self) -> bool:
        """Remove the container and take its files back; false where something outlived that."""
        self.left = removal.remove(self.order)
        if self.order.user is not None:
            handover.take_back(Path(self.order.folder))
        return not self.left

    def collect(self) -> str:
        """Make what it left in `out/` a result as `plugins.exchange` has it; what there is to say of that."""
        try:
            return dialects.DIALECTS[self.order.exchange].collect(Path(self.order.folder))
        except OSError as error:
            return f"what it left cannot be taken over: {error.strerror or error}"

    def _inspected(self, template: str) -> str:
        arguments = ["inspect", "--type", "container", "--format", template, self.order.name]
        done = engine.call([self.order.program, *arguments], removal.SECONDS)
        if done.returncode:
            raise EngineError(done.stderr.strip())
        return done.stdout.strip()


def _memory_group(process: int) -> tuple[Path, str, str] | None:
    """Where the kernel counts the memory of a container; None where it does not (cgroups(7), versions 1 and 2)."""
    for line in Path(f"/proc/{process}/cgroup").read_text(encoding="utf-8").splitlines():
        number, names, path = line.split(":", 2)
        if "memory" in names.split(","):
            return _GROUPS / "memory" / path.lstrip("/"), "memory.oom_control", "memory.max_usage_in_bytes"
        if number == "0" and (_GROUPS / path.lstrip("/") / "memory.events").exists():
            return _GROUPS / path.lstrip("/"), "memory.events", "memory.peak"
    return None
