"""`serve`: holds the data folder's lock and the listening sockets, and keeps the processes alive.

    supervisor ─┬─ receiver-1 … receiver-N   listening sockets, write end of the wake pipe
                └─ node                      read end of the wake pipe

Each child inherits the read end of the alive pipe, whose write end only the supervisor has: end of file
means that the supervisor is gone, even by SIGKILL, and the child ends, so nothing orphaned keeps a port.
Each also inherits the lock, so a second node is refused until the last process of the first has ended
(faults.md 59). What dies is started again with back-off, on the configuration that was in force and not on
what stands in the file by then. SIGHUP goes on to the node, which takes up changed rules. SIGTERM drains the
receivers first, then stops the node (faults.md 58); a second SIGTERM ends all at once.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

import node
from node.config import in_force
from node.config.in_force import InForce
from node.config.models import Configuration
from node.dimse.association import Limits
from node.errors import DataFolderInUseError, PermanentError
from node.ledger import database
from node.ledger.database import Ledger
from node.observe import logs
from node.spool import Spool

_log = structlog.get_logger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_STEADY = 60.0
"""Seconds after which a process counts as running well, and its next death as its first."""
_RECEIVERS_MAY_TAKE = Limits().drain + 5.0
_NODE_MAY_TAKE = 30.0
_BACKLOG = 128
_PACKAGES = Path(node.__file__).resolve().parents[1]
LISTENING = "listening.json"
"""In the data folder while the node runs: {"pid", "port", "tls_port"}; says which port the system chose for 0."""


class ListenError(PermanentError):
    """The configured address cannot be listened on."""


@dataclass(slots=True)
class Child:
    """One process to be kept alive."""

    name: str
    command: list[str]
    descriptors: tuple[int, ...]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = 0.0
    due_at: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Start the process; its modules come from where ours come from, whatever the working directory holds."""
        command = [sys.executable, "-P", "-m", *self.command]
        paths = [str(_PACKAGES), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        self.process = subprocess.Popen(
            command, pass_fds=self.descriptors, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        self.started_at = time.monotonic()

    def noticed_dead(self) -> bool:
        """True once after the process has ended; it is then due again after its pause."""
        if self.process is None or self.process.poll() is None:
            return False
        now = time.monotonic()
        steady = now - self.started_at > _STEADY
        self.pause = _FIRST_PAUSE if steady or not self.pause else min(self.pause * 2, _LONGEST_PAUSE)
        self.due_at = now + self.pause
        _log.error("process_died", child=self.name, exit=self.process.returncode, again_in_seconds=self.pause)
        self.process = None
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal, where there is a process to get it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


def serve(running: InForce, lines: Sequence[str]) -> int:
    """Run the node by this configuration until SIGTERM or SIGINT; the exit code of the command.

    `lines` are printed after the ones that say what it listens on. Raises DataFolderInUseError, LedgerError or
    ListenError before anything is started.
    """
    configuration = running.configuration
    logs.configure(configuration.node.logs.format, configuration.node.logs.level, process="supervisor")
    data = configuration.node.data
    lock = take_lock(data)
    # Made or migrated here, by one process; one that is damaged or newer is refused before anything listens.
    Ledger(data / database.FILE).close()
    sockets = _bind(configuration)
    spool = Spool(data)
    in_force.write(running)
    _sweep(spool)
    for line in (*_listening_lines(configuration, sockets), *lines):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    _write_listening(data, sockets)
    try:
        return Supervisor(_children(configuration, sockets, lock), spool).run()
    finally:
        (data / LISTENING).unlink(missing_ok=True)


def _sweep(spool: Spool) -> None:
    """A receiver that was killed leaves what it was writing; its sender was promised nothing and sends again."""
    swept = spool.sweep_parts()
    if swept:
        _log.info("unfinished_objects_removed", count=swept)


def take_lock(data: Path) -> int:
    """Lock the data folder for this node and its children; the descriptor that holds the lock.

    Raises DataFolderInUseError where another node has it, PermanentError where the folder cannot be used.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PermanentError(f"the data folder {data} cannot be used: {error.strerror} ({error.filename})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise DataFolderInUseError(
            f"another node (process {holder}) uses the data folder {data}: stop it, or give this one its own"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _bind(configuration: Configuration) -> list[socket.socket]:
    """The listening sockets: DICOM, and DICOM over TLS where it is configured."""
    listen = configuration.node.listen
    ports = [listen.port] + ([listen.tls.port] if listen.tls else [])
    return [_listen_on(listen.host, port) for port in ports]


def _listen_on(host: str, port: int) -> socket.socket:
    listening: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        raise ListenError(f"cannot listen on {host} port {port}: {_why(error, port)}") from error
    return listening


def _why(error: OSError, port: int) -> str:
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return f"port {port} is in use by another program; stop that, or change node.listen.port"
        case PermissionError():
            return f"port {port} is reserved for the system; use one above 1023, or grant CAP_NET_BIND_SERVICE"
        case OSError(errno=errno.EADDRNOTAVAIL):
            return "this machine has no such address; change node.listen.host"
        case _:
            return str(error.strerror or error)


def _listening_lines(configuration: Configuration, sockets: Sequence[socket.socket]) -> list[str]:
    titles = ", ".join((configuration.node.ae_title, *configuration.node.also_called))
    kinds = ("DICOM", "DICOM over TLS")
    places = [listening.getsockname()[:2] for listening in sockets]
    return [
        f"listens on {host} port {port} ({kind}), AE title {titles}"
        for (host, port), kind in zip(places, kinds, strict=False)
    ]


def _write_listening(data: Path, sockets: Sequence[socket.socket]) -> None:
    ports: list[int | None] = [listening.getsockname()[1] for listening in sockets]
    port, tls_port = (*ports, None)[:2]
    part = data / f"{LISTENING}.part"
    part.write_text(json.dumps({"pid": os.getpid(), "port": port, "tls_port": tls_port}))
    part.rename(data / LISTENING)


def _children(configuration: Configuration, sockets: Sequence[socket.socket], lock: int) -> list[Child]:
    """The processes, receivers first: they are the ones to be stopped first."""
    alive, _ = os.pipe()  # our end is closed by our own end, and only by that
    wake, wake_end = os.pipe()
    config = ["--in-force", str((configuration.node.data / in_force.FILE).resolve())]
    sides = [listening.fileno() for listening in sockets]
    listening = [f for name, fd in zip(("--listen", "--tls"), sides, strict=False) for f in (name, str(fd))]
    ends = ["--wake", str(wake_end), "--alive", str(alive)]
    receivers = [
        Child(
            f"receiver-{number}",
            ["node.receive", *config, "--name", f"receiver-{number}", *listening, *ends],
            (*sides, wake_end, alive, lock),
        )
        for number in range(1, configuration.node.receivers + 1)
    ]
    stages = Child("node", ["node.app", *config, "--wake", str(wake), "--alive", str(alive)], (wake, alive, lock))
    return [*receivers, stages]


class Supervisor:
    """Keeps the children alive until a signal says that it is over. The last child is stopped last."""

    def __init__(self, children: Sequence[Child], spool: Spool) -> None:
        self._children = children
        self._spool = spool
        self._signals = 0
        self._reload = False
        self._bell, bell_end = os.pipe()
        os.set_blocking(bell_end, False)
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
                self._children[-1].send(signal.SIGHUP)  # one that is dead just now begins with the file anyway
            for child in self._children:
                if child.noticed_dead():
                    _sweep(self._spool)
                if child.process is None and child.due_at <= time.monotonic():
                    child.start()
            self._rest()
        *receivers, stages = self._children
        _log.info("stopping", first="receivers, which let open associations finish")
        self._stop(receivers, _RECEIVERS_MAY_TAKE)
        self._stop([stages], _NODE_MAY_TAKE)
        _log.info("stopped")
        return 0

    def _rest(self) -> None:
        """Sleep until a child dies, a signal comes or one is due."""
        due = [child.due_at for child in self._children if child.process is None]
        self._wait(max(0.0, min(due) - time.monotonic()) if due else None)

    def _wait(self, seconds: float | None) -> None:
        if select.select([self._bell], [], [], seconds)[0]:
            os.read(self._bell, 4096)

    def _stop(self, children: Sequence[Child], seconds: float) -> None:
        """SIGTERM, and SIGKILL for what has not ended in time or when a second signal came."""
        end = time.monotonic() + seconds
        for child in children:
            child.send(signal.SIGTERM)
        while any(child.process is not None and child.process.poll() is None for child in children):
            remaining = end - time.monotonic()
            if remaining <= 0 or self._signals > 1:
                break
            self._wait(remaining)
        for child in children:
            if child.process is not None and child.process.poll() is None:
                _log.warning("killed", child=child.name, reason="it did not end in time")
                child.send(signal.SIGKILL)
                child.process.wait()
