"""Stopping and starting the node of an upgrade: as a unit of systemd, or as a process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

import psutil

from node.errors import PermanentError, TransientError

_MAY_TAKE = 180.0
"""Seconds in which a node has to have stopped: receivers let open associations finish first."""
_LOOK = 0.1


class NodeControl(Protocol):
    """Stops and starts one node."""

    def stop(self) -> None:
        """Let it drain; returns when no process of it is left. Nothing where it does not run. Raises `NodeError`."""

    def start(self, command: Path) -> None:
        """Start it by the `pacsnode` of a release; returns at once. Raises `NodeError`."""


@dataclass
class SystemdUnit:
    """A unit whose ExecStart names `ROOT/current/venv/bin/pacsnode`: the release is the one of the link."""

    name: str
    data: Path

    @classmethod
    def is_active(cls, name: str) -> bool:
        """Whether systemd runs it just now."""
        try:
            done = subprocess.run(["systemctl", "is-active", "--quiet", name], capture_output=True, check=False)  # noqa: S607 - root's PATH
        except OSError:
            return False
        return done.returncode == 0

    def stop(self) -> None:
        """By systemd, whose stop is the unit's own."""
        self._systemctl("stop")
        wait_for_end(self.data)

    def start(self, command: Path) -> None:  # noqa: ARG002 - the unit names it
        """By systemd."""
        self._systemctl("start")

    def _systemctl(self, verb: str) -> None:
        done = subprocess.run(["systemctl", verb, self.name], capture_output=True, text=True, check=False)  # noqa: S607 - root's PATH
        if done.returncode:
            raise TransientError(f"systemctl {verb} {self.name} failed: {done.stderr.strip()}")


class NodeProcess:
    """A node that somebody started by hand or by another supervisor: started again as it was."""

    def __init__(self, data: Path, config: Path) -> None:
        self._data, self._config = data, config
        self._folder: str | None = None
        self._environment: Mapping[str, str] = os.environ
        self._log = data / "upgrade" / "serve.log"
        self._started: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """SIGTERM to the process that holds the data folder."""
        number = holder(self._data)
        if number is None:
            return
        with contextlib.suppress(psutil.Error):
            running = psutil.Process(number)
            if self._folder is None:
                self._folder, self._environment = running.cwd(), running.environ()
            running.send_signal(signal.SIGTERM)
        wait_for_end(self._data)
        if self._started is not None:
            self._started.wait()

    def start(self, command: Path) -> None:
        """In a session of its own, in the folder and the environment of the one before; its log is appended to."""
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        owner = self._data.stat()
        try:
            self._started = subprocess.Popen(
                [str(command), "serve", "--config", str(self._config.resolve())],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
                **as_owner(owner),
            )
        except OSError as error:
            raise PermanentError(f"{command}: {error.strerror}") from error
        finally:
            os.close(descriptor)


class OwnerArguments(TypedDict, total=False):
    """Of a process that runs as another user."""

    user: int
    group: int
    extra_groups: list[int]


def as_owner(owner: os.stat_result) -> OwnerArguments:
    """Arguments of a process that touches the data folder: root runs it as the folder's owner."""
    if os.geteuid() != 0 or owner.st_uid == 0:
        return {}
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def holder(data: Path) -> int | None:
    """The process that holds the lock of a data folder; None where no node runs on it."""
    try:
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        if not said.isdigit():
            raise TransientError(f"{data}: another process has the data folder, and does not say which") from None
        return int(said)
    else:
        return None
    finally:
        os.close(descriptor)


def wait_for_end(data: Path) -> None:
    """Until no process has the data folder; TransientError where one has it for too long."""
    end = time.monotonic() + _MAY_TAKE
    while (number := holder(data)) is not None:
        if time.monotonic() > end:
            raise TransientError(f"the node (process {number}) has not stopped in {_MAY_TAKE:.0f} s")
        time.sleep(_LOOK)
