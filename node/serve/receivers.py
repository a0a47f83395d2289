"""The supervisor's receivers: those in force, those that are to follow them, and those that finish what they began.

A change of what receivers use (a reload) is made in steps, so that no association is refused or broken by it, and
none is served by two policies:

1. what is to be listened on is bound, and new receivers start; they read and check all, and wait;
2. when all of them have said `ready`, the new configuration is put in force (`in-force.json`): until here any failure
   ends the new ones, and the old go on as if nothing had been;
3. the old ones retire: they accept who has called by then, no more after that, and say `closed`, and go on
   with their open associations;
4. when all have said so, the new ones begin to accept; who called meanwhile has waited in the sockets' queues. A port
   that was given up has none any more: who calls there now is refused.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from node.config import in_force
from node.config.in_force import InForce
from node.dimse.association import ConnectionLimits
from node.serve.keepalive import Child, soonest
from node.serve.lifeline import BEGIN, RETIRE
from node.serve.listening import ListenError, Ports
from node.store.layout import DataFolder

log = structlog.get_logger(__name__)
_MAY_START, _MAY_CLOSE = 60.0, 10.0
"""Seconds."""
_MOST_RETIRED = 16
"""Processes that finish old associations; beyond this no further change is taken up, rather than break one."""
MAY_TAKE = ConnectionLimits().drain + 5.0
"""Seconds for receivers to end after the order."""
Answer = Callable[[str], None]
"""Told how a change went: why it did not, or nothing."""


@dataclass(frozen=True, slots=True)
class ReceiverInheritance:
    """What every receiver inherits."""

    wake: int
    """Write end of the pipe that wakes the node."""
    alive: int
    """Read end of the pipe that ends with the supervisor."""
    lock: int


@dataclass(slots=True)
class _Takeover:
    """New receivers that are to take over."""

    wanted: InForce
    ports: Ports
    children: list[Child]
    answer: Answer
    ends: float
    begun: bool = False
    """The new configuration is in force; the old receivers close."""


@dataclass(slots=True)
class _Words:
    """What receivers have said, by process id."""

    descriptor: int
    ready: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    _rest: bytes = b""

    def hear(self) -> None:
        """Read what there is."""
        with contextlib.suppress(BlockingIOError):
            self._rest += os.read(self.descriptor, 65536)
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            word, pid = line.split()
            (self.ready if word == b"ready" else self.closed).add(int(pid))


class Receivers:
    """All receiver processes of one node. Nothing here blocks; `look` is called whenever something happened."""

    def __init__(self, running: InForce, ports: Ports, data_folder: DataFolder, shared: ReceiverInheritance) -> None:
        heard, self._tell = os.pipe()
        os.set_blocking(heard, False)
        self._words = _Words(heard)
        self._data_folder = data_folder
        self._shared = shared
        self.running = running
        self._generation = 0
        self.ports = ports
        self.children = self._made(running, ports)
        self._retired: list[Child] = []
        self._change: _Takeover | None = None

    @property
    def bell(self) -> int:
        """Readable when a receiver has said something."""
        return self._words.descriptor

    @property
    def changing(self) -> bool:
        """Whether a change is under way: no other is begun meanwhile."""
        return self._change is not None

    def _made(self, running: InForce, ports: Ports) -> list[Child]:
        self._generation += 1
        node = running.configuration.node
        path = str((node.data / in_force.FILE).resolve())
        ends = ["--wake", str(self._shared.wake), "--alive", str(self._shared.alive), "--tell", str(self._tell)]
        inherited = (*ports.descriptors, self._shared.wake, self._shared.alive, self._shared.lock, self._tell)
        names = [self._name(number) for number in range(1, node.receivers + 1)]
        return [
            Child(name, ["node.receive", "--in-force", path, "--name", name, *ports.arguments, *ends], inherited)
            for name in names
        ]

    def _name(self, number: int) -> str:
        return f"receiver-{number}" if self._generation == 1 else f"receiver-{number}.{self._generation}"

    # --- from one moment to the next --------------------------------------------------------------

    def look(self) -> None:
        """Hear, bury, start, and take the next step of a change."""
        self._words.hear()
        for child in self.children:
            if child.noticed_dead():
                sweep(self._data_folder)
        self._bury_retired()
        self._step()
        for child in self.children:
            if child.process is None and child.due_at <= time.monotonic():
                self._start(child)

    def due_at(self) -> float | None:
        """When to look again even if nothing happens (monotonic); None where nothing is awaited."""
        times = [soonest(self.children), self._change.ends if self._change else None]
        return min((each for each in times if each is not None), default=None)

    def _start(self, child: Child, *more: str) -> None:
        child.start(*more)
        self._words.ready.discard(child.pid)  # said by an earlier process of this number
        self._words.closed.discard(child.pid)

    def _bury_retired(self) -> None:
        for child in [each for each in self._retired if not each.alive]:
            self._retired.remove(child)
            code = child.process.returncode if child.process else 0
            log.info("serve.receiver-retired", child=child.name, exit=code)
            if code:
                sweep(self._data_folder)

    # --- a change ---------------------------------------------------------------------------------

    def replace(self, wanted: Path, answer: Answer) -> None:
        """Let receivers that use `wanted` (see `in_force.read`) follow those in force; `answer` gets the outcome."""
        if len(self._retired) >= _MOST_RETIRED:
            answer(f"{len(self._retired)} receivers still finish associations from before earlier changes")
            return
        try:
            new = in_force.read(wanted)
            ports = Ports.open(new.configuration, self.ports)
        except (OSError, ValueError, KeyError, ListenError) as error:
            answer(str(error))
            return
        children = self._made(new, ports)
        self._change = _Takeover(new, ports, children, answer, time.monotonic() + _MAY_START)
        log.info("serve.receivers-starting", receivers=[child.name for child in children])
        for child in children:
            self._start(child, "--in-force", str(wanted.resolve()), "--held")

    def _step(self) -> None:
        change = self._change
        if change is None:
            return
        late = time.monotonic() >= change.ends
        if change.begun:
            if late or all(not child.alive or child.pid in self._words.closed for child in self._retired):
                self._begin(change, late)
            return
        dead = [child for child in change.children if not child.alive]
        if dead:
            code = dead[0].process.returncode if dead[0].process else 0
            self.give_up(f"a new receiver ended at once (exit {code}); the log says why")
        elif late:
            self.give_up(f"the new receivers were not ready after {_MAY_START:g} s")
        elif all(child.pid in self._words.ready for child in change.children):
            self._put_in_force(change)

    def give_up(self, reason: str) -> None:
        """End the new receivers, where there are some; the old ones stay in force."""
        change = self._change
        if change is None or change.begun:
            return
        self._change = None
        for child in change.children:
            child.kill("it is not needed")
        change.ports.close(but=self.ports)
        log.error("serve.receivers-unchanged", reason=reason)
        change.answer(reason)

    def _put_in_force(self, change: _Takeover) -> None:
        try:
            in_force.put_in_force(change.wanted.configuration.node.data)
        except OSError as error:
            self.give_up(f"{change.wanted.configuration.node.data} cannot be written: {error.strerror}")
            return
        change.begun, change.ends = True, time.monotonic() + _MAY_CLOSE
        old, before = self.children, self.ports
        self.children, self.running, self.ports = change.children, change.wanted, change.ports
        # Before the receivers, each of which takes who has called before it closes: after the last close nobody could.
        before.close(but=self.ports)
        self._retired += [child for child in old if child.alive]
        for child in old:
            child.send(RETIRE)

    def _begin(self, change: _Takeover, late: bool) -> None:
        self._change = None
        if late:
            log.error("serve.receivers-slow-to-close", receivers=[child.name for child in self._retired])
        for child in self.children:
            child.send(BEGIN)
        self.ports.write(change.wanted.configuration.node.data)
        for line in self.ports.lines(change.wanted.configuration):
            log.info("serve.listening", about=line)
        log.info(
            "serve.receivers-changed", receivers=[child.name for child in self.children], finishing=len(self._retired)
        )
        change.answer("")

    # --- the end ----------------------------------------------------------------------------------

    def all(self) -> Sequence[Child]:
        """Every receiver process there is."""
        return [*self.children, *self._retired, *(self._change.children if self._change else ())]


def sweep(data_folder: DataFolder) -> None:
    """A receiver that was killed leaves what it was writing; its sender was promised nothing and sends again."""
    data_folder.sweep_associations()
    swept = data_folder.sweep_parts()
    if swept:
        log.info("serve.unfinished-objects-removed", count=swept)
