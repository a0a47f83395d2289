"""A receiver process: accepts associations on sockets it inherits, until it is stopped.

SIGTERM: no new associations, those that are open may finish, the rest is aborted after a while (docs/reliability.md,
58). SIGUSR2: the same without haste, because others have taken over (a reload); who has connected and not yet
asked for an association is served, too. SIGUSR1: where it was started to wait (`--held`), it may begin now.
End of file on the pipe from the supervisor: the supervisor is gone, so end at once and free the port; an object
that was half received is swept at the next start, and its sender was promised nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import resource
import select
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pynetdicom.ae import ApplicationEntity

from node.config import in_force
from node.config.loading import load
from node.config.models import Configuration
from node.dimse.association import ConnectionLimits
from node.dimse.engine.server import SharedServer
from node.dimse.tls import TLS_FILES, server_context
from node.observe import logs
from node.observe.receiver_meters import ReceiverMeters, sources
from node.ourselves import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.receive.service import Service
from node.serve.lifeline import BEGIN, RETIRE, SupervisorOrders, end_with
from node.serve.listening import BACKLOG, copy_of
from node.store.layout import DataFolder
from node.store.meters import METERS

log = structlog.get_logger(__name__)
_END = (signal.SIGTERM, signal.SIGINT)
_NO_LIMIT = 1 << 20
"""For pynetdicom's own limit of associations: the policy counts them, across all receivers."""


@dataclass(frozen=True, slots=True)
class ReceiverDescriptors:
    """File descriptors that the supervisor opened for this process; see `node.serve.supervisor`."""

    listen: int | None
    tls: int | None = None
    wake: int | None = None
    """Write end of the pipe that wakes the node process."""
    alive: int | None = None
    """Read end of a pipe whose write end only the supervisor has."""
    tell: int | None = None
    """Write end of the pipe on which the supervisor hears `ready` and `closed`."""
    tls_files: Mapping[str, int] = field(default_factory=dict)
    """Copies of `TLS_FILES`, where the supervisor made some; else the files are read."""

    def say(self, word: str) -> None:
        """Tell the supervisor."""
        if self.tell is not None:
            os.write(self.tell, f"{word} {os.getpid()}\n".encode())


def run(
    configuration: Configuration,
    inherited: ReceiverDescriptors,
    limits: ConnectionLimits,
    *,
    name: str = "receiver",
    held: bool = False,
) -> None:
    """Receive until stopped, then drain; where it is `held`, begin on the signal to."""
    orders = SupervisorOrders(*_END, BEGIN, RETIRE)
    if inherited.alive is not None:
        end_with(inherited.alive)
    if inherited.wake is not None:
        os.set_blocking(inherited.wake, False)
    _raise_descriptor_limit()
    data_folder = DataFolder(configuration.node.data)
    service = Service(configuration, data_folder, inherited.wake, meters=_meters(configuration, name))
    servers = _servers(configuration, inherited, service, limits)
    _spare_the_collector()
    inherited.say("ready")
    if held and orders.next() != BEGIN:
        return
    for server in servers:
        threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    log.info("receive.started", ports=[server.server_address[1] for server in servers])
    while (order := orders.next()) == BEGIN:  # it has begun by itself, after a death in the midst of a reload
        pass
    for server in servers:
        if order == RETIRE:
            _take_who_called(server)
        server.stop_accepting()
    inherited.say("closed")
    if order == RETIRE:
        log.info("receive.retiring", connections=_count(servers))
        _wait(lambda: _count(servers) == 0 or orders.next(0) in _END, limits.retire)
    _drain(servers, limits.drain)
    log.info("receive.ended")


def _meters(configuration: Configuration, name: str) -> ReceiverMeters | None:
    """What counts for /metrics; None where nobody could read it."""
    folder = configuration.node.data / METERS
    if configuration.console is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ReceiverMeters(folder, name, sources(configuration))
    except OSError as error:  # a full disk: figures are missing then, and no image
        log.warning("receive.not-counted", reason=error.strerror or str(error))
        return None


def _servers(
    configuration: Configuration, inherited: ReceiverDescriptors, service: Service, limits: ConnectionLimits
) -> list[SharedServer]:
    entity = ApplicationEntity(configuration.node.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.maximum_associations = _NO_LIMIT
    siblings = configuration.node.receivers > 1
    servers = []
    if inherited.listen is not None:
        listening = socket.socket(fileno=inherited.listen)
        servers.append(SharedServer(entity, listening, service, limits, has_siblings=siblings))
    tls = configuration.node.listen.tls
    if inherited.tls is not None and tls is not None:
        files = tls.files | {name: copy_of(descriptor) for name, descriptor in inherited.tls_files.items()}
        trusted = files.get("authorities"), files.get("revoked")
        context = server_context(files["certificate"], files["key"], tls.client_certificates, *trusted)
        listening = socket.socket(fileno=inherited.tls)
        servers.append(SharedServer(entity, listening, service, limits, context, siblings))
    return servers


def _take_who_called(server: SharedServer) -> None:
    """Accept who is in the queue of the listening socket, and nobody after them.

    Where the socket is given up for another port, the kernel resets all that are still in its queue when the last
    process closes it: they saw their connection succeed. What remains is who comes between the last look and the close.
    """
    socketserver.BaseServer.shutdown(server)  # the loop of its own thread has ended: nobody else here accepts
    for _ in range(BACKLOG + 1):
        if not select.select([server.fileno()], [], [], 0)[0]:
            break
        server.handle_request()


def _drain(servers: Sequence[SharedServer], seconds: float) -> None:
    """Let what is open finish, `seconds` at most; then abort the rest."""
    for server in servers:
        server.drop_waiting()
    log.info("receive.draining", associations=_count(servers))
    if not _wait(lambda: _count(servers) == 0, seconds):
        log.warning(
            "receive.associations-aborted", associations=_count(servers), reason="still open when the drain ended"
        )
        for server in servers:
            for association in server.active_associations:
                association.abort(block=False)
        _wait(lambda: _count(servers) == 0, 2.0)


def _count(servers: Sequence[SharedServer]) -> int:
    return sum(server.open_connections() for server in servers)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)
    return True


def _spare_the_collector() -> None:
    """What is loaded by now stays: pynetdicom has all garbage collected once for each 60 connections, and to look
    through its and pydicom's dictionaries then stops every association for 50 ms, on a busy machine for much longer."""
    gc.collect()
    gc.freeze()


def _raise_descriptor_limit() -> None:
    """An association needs four descriptors; the soft limit of 1,024 that many systems set is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: Sequence[str] | None = None, limits: ConnectionLimits | None = None) -> None:
    """`python -m node.receive --in-force PATH --name NAME [--listen FD] [--tls FD] …`: by the supervisor."""
    parser = argparse.ArgumentParser(prog="python -m node.receive", description=__doc__)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--config", type=Path)
    given.add_argument("--in-force", type=Path, help="what the supervisor keeps of it")
    parser.add_argument("--name", default="receiver")
    for descriptor in ("listen", "tls", "wake", "alive", "tell", *TLS_FILES):
        parser.add_argument(f"--{descriptor}", type=int)
    parser.add_argument("--held", action="store_true", help="accept nothing before SIGUSR1")
    options = parser.parse_args(arguments)
    if options.listen is None and options.tls is None:
        parser.error("one of --listen and --tls is needed")
    configuration = in_force.read(options.in_force).configuration if options.in_force else load(options.config)
    say = configuration.node.logs
    logs.configure(say.format, say.level, process=options.name)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # what it has to say is said by the engine, in one line
    threading.excepthook = lambda died: log.error(
        "receive.thread-died", thread=str(died.thread), exc_info=died.exc_value
    )
    copies = {name: getattr(options, name) for name in TLS_FILES if getattr(options, name) is not None}
    ends = (options.listen, options.tls, options.wake, options.alive, options.tell)
    run(
        configuration,
        ReceiverDescriptors(*ends, copies),
        limits or ConnectionLimits(),
        name=options.name,
        held=options.held,
    )
