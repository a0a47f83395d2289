"""`serve`: holds the data folder's lock and the listening sockets, and keeps the processes alive.

    supervisor ─┬─ receiver-1 … receiver-N   listening sockets, write end of the wake pipe
                ├─ node                      read end of the wake pipe
                └─ console                   where the configuration has it; only reads, and nothing waits for it

Each child inherits the read end of the alive pipe, whose write end only the supervisor has: end of file
means that the supervisor is gone, even by SIGKILL, and the child ends, so nothing orphaned keeps a port.
Each also inherits the lock, so a second node is refused until the last process of the first has ended
(case 59). What dies is started again with back-off, on the configuration that was in force and not on
what the file says by then. SIGHUP goes on to the node, which reads what was saved; where that changes
what receivers use, it asks back for other receivers (`node.receivers`). SIGTERM drains the receivers first,
then stops the node (case 58); a second SIGTERM ends all at once.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial

import structlog

from node.clock import SystemClock
from node.config import in_force
from node.config.in_force import InForce
from node.ledger import database, instances
from node.ledger.database import Ledger
from node.observe import logs
from node.release import recovering
from node.run import cgroups
from node.serve import capabilities, lost_ledger, receivers, upgrade
from node.serve.keepalive import Child, any_alive, soonest
from node.serve.lifeline import RELOADED
from node.serve.listening import LISTENING, Ports
from node.serve.outages import CONSOLE, Outages
from node.serve.receivers import ReceiverInheritance, Receivers
from node.serve.service_manager import ServiceManager, WatchedService
from node.store import children, meters, numbers, unfinished
from node.store.layout import DataFolder
from node.store.lock import take_lock

log = structlog.get_logger(__name__)
_NODE_MAY_TAKE = 30.0
_LONGEST_ANSWER = 4096


def serve(running: InForce, lines: Sequence[str]) -> int:
    """Run the node by this configuration until SIGTERM or SIGINT; the exit code of the command.

    `lines` are printed after the ones that say what it listens on. Raises DataFolderInUseError, LedgerError or
    ListenError before anything is started.
    """
    configuration = running.configuration
    logs.configure(configuration.node.logs.format, configuration.node.logs.level, process="supervisor")
    data = configuration.node.data
    os.umask(0o077)  # for all that this process and its children write: it may name patients
    lock = take_lock(data)
    unfinished.check(data)
    lines = [*recovering.at_start(data), *lines]
    # Made or migrated here, by one process; one that is damaged or newer is refused before anything listens.
    ledger = Ledger(data / database.FILE)
    ports = Ports.open(configuration)
    _leave_children_no_capabilities()
    _make_room_for_plugins()
    data_folder = DataFolder(data)
    in_force.write(running)
    receivers.sweep(data_folder)
    meters.clear(data)
    upgrade.check_files(ledger, data_folder, SystemClock())
    lost_ledger.check(ledger, data_folder, SystemClock())
    numbers.establish(data, above=numbers.number_of(instances.newest_receipt(ledger.database)))
    ledger.close()
    _print([*ports.lines(configuration), *lines])
    ports.write(data)
    try:
        return Supervisor(running, ports, data_folder, lock).run()
    finally:
        (data / LISTENING).unlink(missing_ok=True)


def _print(lines: Sequence[str]) -> None:
    """On standard output; where that cannot be written (a full disk, a closed pipe) the node serves as well."""
    try:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError as error:
        log.warning("serve.lines-not-printed", reason=error.strerror)
        with open(os.devnull, "wb") as nowhere:  # for what is still buffered, which would fail again at the end
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _leave_children_no_capabilities() -> None:
    """The ports are bound. Where the system forbids it, the guards of plugins still drop the ambient ones."""
    try:
        capabilities.keep_what_binds_ports()
    except OSError as error:
        log.warning("serve.capabilities-not-dropped", error=str(error))


def _ring(bell: int) -> None:
    with contextlib.suppress(BlockingIOError):  # full of rings that were not heard yet
        os.write(bell, b"\0")


def _make_room_for_plugins() -> None:
    try:
        cgroups.make_room()
    except OSError as error:
        log.warning("serve.control-group-not-left", error=error.strerror)


class Supervisor:
    """Keeps the children alive until a signal says that it is over. The node process is stopped last."""

    def __init__(self, running: InForce, ports: Ports, data_folder: DataFolder, lock: int) -> None:
        alive, _ = os.pipe()  # our end is closed by our own end, and only by that
        wake, wake_end = os.pipe()
        self._data = running.configuration.node.data
        self._bell, bell_end = os.pipe()
        os.set_blocking(bell_end, False)
        title = running.configuration.node.ae_title
        self._service = WatchedService(ServiceManager.take(), self._data, title, partial(_ring, bell_end))
        self._receivers = Receivers(running, ports, data_folder, ReceiverInheritance(wake_end, alive, lock))
        self._asked, asking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asked.setblocking(False)
        ends = ["--wake", str(wake), "--alive", str(alive), "--ask", str(asking.fileno())]
        self._asking = asking  # kept open for the node process that is started next
        command = ["node.app", "--in-force", str((self._data / in_force.FILE).resolve()), *ends]
        self._node = Child("node", command, (wake, alive, asking.fileno(), lock))
        self._console = _console(running, alive, lock)
        self._noted: dict[str, int | None] | None = None
        self._outages = Outages()
        self._signals = 0
        self._reload = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told_to_stop)
        signal.signal(signal.SIGHUP, self._told_to_reload)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it rings the bell
        signal.set_wakeup_fd(bell_end, warn_on_full_buffer=False)

    def _told_to_stop(self, *_: object) -> None:
        self._signals += 1

    def _told_to_reload(self, *_: object) -> None:
        self._reload = True

    def run(self) -> int:
        """Until stopped; 0."""
        while not self._signals:
            if self._reload:
                self._reload = False
                self._service.reloading()
                self._node.send(signal.SIGHUP)  # one that is dead just now begins with the file anyway
            self._receivers.look()
            self._look_after_node()
            self._look_after_console()
            self._note_children()
            self._outages.look(self._kept_alive(), self._receivers.running.configuration)
            self._service.look(self._receivers.ports.plain, self._node.alive)
            self._rest()
        self._service.stopping()
        log.info("serve.stopping", first="receivers, which let open associations finish")
        self._stop(self._receivers.all(), receivers.MAY_TAKE)
        self._stop([self._node, *self._console], _NODE_MAY_TAKE)
        log.info("serve.stopped")
        return 0

    def _kept_alive(self) -> list[Child]:
        return [self._node, *self._receivers.children, *self._console]

    def _look_after_console(self) -> None:
        """Start it where it has died; nobody waits for it."""
        for child in self._console:
            child.noticed_dead()
            if child.process is None and child.due_at <= time.monotonic():
                child.start()

    def _note_children(self) -> None:
        """Leave word of who runs, for whoever looks from outside."""
        running = {child.name: child.running_pid for child in self._kept_alive()}
        if running != self._noted:
            children.note(self._data, running)
            self._noted = running

    def _look_after_node(self) -> None:
        """Start it where it has died; do what it asks for. What a dead one asked for is not done."""
        if self._node.noticed_dead():
            self._receivers.give_up("the node process that asked for them has died")
        if self._node.process is None and self._node.due_at <= time.monotonic():
            self._node.start()
        if self._receivers.changing:
            return
        try:
            first, _, said = self._asked.recv(_LONGEST_ANSWER).decode(errors="replace").partition(" ")
        except BlockingIOError:
            return
        asker = int(first)
        if said.startswith(RELOADED):
            self._service.reloaded(said.removeprefix(RELOADED).strip())
        elif asker == self._node.pid:
            self._receivers.replace(self._data / in_force.WANTED, lambda reason: self._answer(asker, reason))

    def _answer(self, asker: int, reason: str) -> None:
        if not reason:
            said = self._receivers.running.configuration.node.logs
            logs.configure(said.format, said.level, process="supervisor")
        with contextlib.suppress(OSError):  # a node that died meanwhile finds out from what is in force
            self._asked.send(f"{asker} {reason}".encode()[:_LONGEST_ANSWER])

    def _rest(self) -> None:
        """Sleep until a child dies, says or asks something, a signal comes or one is due."""
        outages = self._outages.due_at(self._kept_alive())
        times = [
            self._receivers.due_at(),
            outages,
            self._service.due_at(),
            soonest([self._node, *self._console]),
        ]
        due = [each for each in times if each is not None]
        heard = [self._receivers.bell] if self._receivers.changing else [self._receivers.bell, self._asked]
        self._wait(max(0.0, min(due) - time.monotonic()) if due else None, *heard)

    def _wait(self, seconds: float | None, *heard: int | socket.socket) -> None:
        if self._bell in select.select([self._bell, *heard], [], [], seconds)[0]:
            os.read(self._bell, 4096)

    def _stop(self, those: Sequence[Child], seconds: float) -> None:
        """SIGTERM, and SIGKILL for what has not ended in time or when a second signal came."""
        end = time.monotonic() + seconds
        for child in those:
            child.send(signal.SIGTERM)
        while any_alive(those):
            remaining = end - time.monotonic()
            if remaining <= 0 or self._signals > 1:
                break
            self._wait(remaining)
        for child in those:
            child.kill("it did not end in time")


def _console(running: InForce, alive: int, lock: int) -> list[Child]:
    """The console's process; none where the configuration has no console."""
    if running.configuration.console is None:
        return []
    path = str((running.configuration.node.data / in_force.FILE).resolve())
    return [Child(CONSOLE, ["node.console", "--in-force", path, "--alive", str(alive)], (alive, lock))]
