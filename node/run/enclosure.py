"""What a guard puts around one attempt before its plugin starts, and takes away after: user, files, group, network."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.run import handover, network, users
from node.run.cgroups import AttemptGroup
from node.run.guard_report import GuardReport
from node.run.users import PluginUser

ENVIRONMENT_FD, HOSTS_FD, BLOCK_FD = 60, 61, 62
"""Descriptors that bubblewrap gets from the guard: variables for the plugin, its /etc/hosts, and when to start it."""
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class EnclosureOrder:
    """How one attempt is enclosed."""

    folder: str
    """`work/JOB/ATTEMPT`."""
    user: PluginUser | None = None
    """Whom the plugin runs as, where that is another user."""
    group: str = ""
    """The control group to be made for it; empty where there is none."""
    variables: str = ""
    """What the sandbox adds to the plugin's environment, as a shell reads it."""
    services: tuple[tuple[str, int], ...] = ()
    """Host and port of what the sandbox may connect to."""

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> EnclosureOrder:
        """As `asdict` and JSON left it."""
        user = plain["user"] and PluginUser.from_plain(plain["user"])
        return cls(**{**plain, "user": user, "services": tuple((host, port) for host, port in plain["services"])})


@dataclass
class Enclosure:
    """One attempt's; `begin` before its process is started, `end` when none is left."""

    order: EnclosureOrder
    relay: int | None = None
    """Process id of what connects the sandbox to the granted services."""
    _group: AttemptGroup | None = None
    _descriptors: list[int] = field(default_factory=list)
    _starts: int = -1

    def begin(self, memory_bytes: int, processes: int) -> None:
        """Become able to switch users, hand over the files, make the group; OSError."""
        order = self.order
        if order.user:
            users.enter(order.user)
            handover.give(Path(order.folder), order.user)
        if order.group:
            group = AttemptGroup(Path(order.group))
            with contextlib.suppress(OSError):  # what the guard watches holds without
                group.make(memory_bytes, processes)
                self._group = group
        if order.variables:
            self._hand_on(ENVIRONMENT_FD, order.variables)
        if order.services:
            self._hand_on(HOSTS_FD, network.hosts(network.routes(order.services)))
            waits, self._starts = os.pipe()
            self._place(waits, BLOCK_FD)

    @property
    def descriptors(self) -> list[int]:
        """To be inherited by the sandbox."""
        return self._descriptors

    def join(self) -> None:
        """In the child that becomes the attempt's first process."""
        if self._group:
            with contextlib.suppress(OSError):
                self._group.join()

    def started(self, output: int, status: int) -> None:
        """The sandbox is there: let the plugin write to its output by name, and connect it; OSError.

        `status` is the descriptor on which bubblewrap reports.
        """
        if self.order.user:
            os.fchown(output, self.order.user.uid, self.order.user.gid)
        if self.order.services:
            inside = _process_inside(status)
            self.relay = network.start(inside, network.routes(self.order.services)) if inside else None
            os.write(self._starts, b"x")

    def was_out_of_memory(self) -> bool:
        """Whether the kernel ended the plugin for its memory."""
        return self._group is not None and self._group.was_out_of_memory()

    def peak_bytes(self) -> int:
        """The most memory that the kernel counted; 0 where it did not. What is cached of files is in it."""
        return self._group.peak_bytes() if self._group else 0

    def is_connected(self) -> bool:
        """Whether the relay runs still, where there has to be one."""
        if self.relay is None:
            return True
        with contextlib.suppress(ChildProcessError):
            return os.waitpid(self.relay, os.WNOHANG) == (0, 0)
        return False

    def processes(self) -> list[int] | None:
        """Those of the plugin, where they are not all that the guard has started; None where they are."""
        return None

    def lost(self) -> str:
        """Why nobody but the guard holds the plugin any more; "" where that is as it has to be."""
        return ""

    def how_ended(self, _code: int) -> GuardReport | None:
        """What an exit status means, where it is not the plugin's own."""
        return None

    def collect(self) -> str:
        """What is to be said of what a plugin left that ended by itself."""
        return ""

    def end_job(self) -> None:
        """A worker rests: its files are the node's until it gets its next job; OSError."""
        if self.order.user:
            handover.take_back(Path(self.order.folder))

    def next_job(self) -> None:
        """The files of the next job of a worker lie in its folder: hand them over; OSError."""
        if self.order.user:
            handover.give(Path(self.order.folder), self.order.user)

    def end(self) -> bool:
        """Take it all away; false where a process outlived it."""
        ended = self._group.end() if self._group else True
        if self.relay and self.is_connected():  # else its number may be another process's by now
            os.kill(self.relay, signal.SIGKILL)
            os.waitpid(self.relay, 0)
        self.end_job()
        return ended

    def _hand_on(self, number: int, text: str) -> None:
        made = os.memfd_create("pacsnode", os.MFD_CLOEXEC)
        os.write(made, os.fsencode(text))
        os.lseek(made, 0, os.SEEK_SET)
        self._place(made, number)

    def _place(self, descriptor: int, number: int) -> None:
        os.dup2(descriptor, number, inheritable=False)
        os.close(descriptor)
        self._descriptors.append(number)


def _process_inside(status: int) -> int | None:
    """Process id of the first process in the sandbox, by bubblewrap's report; None where there will be none."""
    until = time.monotonic() + _START_SECONDS
    text = b""
    while time.monotonic() < until:
        if select.select([status], [], [], 0.05)[0]:
            piece = os.read(status, 4096)
            text += piece
            for line in text.splitlines():
                with contextlib.suppress(ValueError):
                    return int(json.loads(line)["child-pid"])
            if not piece:
                return None
    return None
