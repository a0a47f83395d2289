"""Processes that the supervisor keeps alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

import node

log = structlog.get_logger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_STEADY = 60.0
"""Seconds after which a process counts as running well, and its next death as its first."""
_PACKAGES = Path(node.__file__).resolve().parents[1]


@dataclass(slots=True, eq=False)
class Child:
    """One process to be kept alive."""

    name: str
    command: list[str]
    descriptors: tuple[int, ...]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = 0.0
    deaths: int = 0
    """How often it has ended, one time after the other, without having run well in between."""
    due_at: float = field(default_factory=time.monotonic)

    def start(self, *more: str) -> None:
        """Start the process; its modules come from where ours come from, whatever the working directory holds."""
        command = [sys.executable, "-P", "-m", *self.command, *more]
        paths = [str(_PACKAGES), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        self.process = subprocess.Popen(
            command, pass_fds=self.descriptors, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        self.started_at = time.monotonic()

    @property
    def running_pid(self) -> int | None:
        """Its process, None where it does not run."""
        return self.pid if self.alive else None

    @property
    def pid(self) -> int:
        """Its process, 0 where it has none."""
        return self.process.pid if self.process is not None else 0

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def noticed_dead(self) -> bool:
        """True once after the process has ended; it is then due again after its pause."""
        if self.process is None or self.process.poll() is None:
            return False
        now = time.monotonic()
        steady = now - self.started_at > _STEADY
        self.pause = _FIRST_PAUSE if steady or not self.pause else min(self.pause * 2, _LONGEST_PAUSE)
        self.due_at = now + self.pause
        self.deaths = 1 if steady else self.deaths + 1
        log.error("serve.process-died", child=self.name, exit=self.process.returncode, again_in_seconds=self.pause)
        self.process = None
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal, where there is a process to get it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self, reason: str) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            log.warning("serve.killed", child=self.name, reason=reason)
            self.process.kill()
            self.process.wait()


def any_alive(children: Iterable[Child]) -> bool:
    """Whether one of them runs."""
    return any(child.alive for child in children)


def soonest(children: Sequence[Child]) -> float | None:
    """When the next of them is to be started; None where all run."""
    return min((child.due_at for child in children if child.process is None), default=None)
