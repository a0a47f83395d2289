"""The node process: gives each stage a thread and the configuration in force, and stops it.

Started by the supervisor as `python -m node.app --in-force PATH --wake FD --alive FD --ask FD`. The stages
know the ledger and the signal, and never each other; `node.app.stages` alone knows them all.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from node import __version__
from node.app import heartbeat, preloaded, stages, upkeep
from node.app.failing import FailingStages
from node.app.heartbeat import HeartbeatStage
from node.app.reload import NotInForceError, Reload
from node.app.schedule import Schedule
from node.app.sweep import Sweep
from node.app.taking_up import Change
from node.app.wake_listener import WakeListener
from node.app.workers import Worker, Workers
from node.clock import SystemClock
from node.config import in_force
from node.config.in_force import InForce
from node.config.models import Configuration
from node.config.sections import Party
from node.errors import NodeError
from node.ledger import database, events
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind
from node.observe import logs
from node.processes import pool
from node.run import confinement
from node.run.catalogue import Catalogues
from node.run.workers import WarmWorkers
from node.serve.lifeline import RELOADED, SupervisorOrders, end_with
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Stage, Wakes

log = structlog.get_logger(__name__)

_BETWEEN_WAKES = 0.2
"""Seconds between two looks at what receivers have brought: so it is indexed in batches, a sync for each."""
_LONGEST_ANSWER = 4096
_NICE = 5
"""How much the node process and its children stand back from the receivers: a modality never waits for the index."""


PutInForce = Callable[[InForce], None]
"""Makes a configuration the one in force, with receivers that use it; raises NotInForceError or OSError."""


class App:
    """The stages of one node on one data folder."""

    def __init__(
        self,
        running: InForce,
        with_receivers: PutInForce = in_force.write,
        reloaded: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Build everything; raises LedgerError where the ledger cannot be used.

        `reloaded` gets what came of each reload that was asked for: why it was refused, or nothing.
        """
        data = running.configuration.node.data
        store = DataFolder(data)
        self.node = Node(Ledger(data / database.FILE), store, SystemClock(), Wakes())
        self._running = running
        self._with_receivers = with_receivers
        _note_confinement(running.configuration)
        catalogues = Catalogues()
        self._warm = WarmWorkers(store.work)
        self._schedule = Schedule(running.configuration.node.zone)
        self._of_the_node = stages.of_the_node(self.node, running.configuration, catalogues, self._warm, self._schedule)
        self._catalogues = catalogues
        self._for_peers = stages.for_peers(self.node, running.configuration, catalogues)
        self.reload = Reload(self.node, running, catalogues, self.take_up, reloaded)
        self._workers = Workers(self.node.wakes, FailingStages(self.node))
        self._heartbeat = HeartbeatStage(self.node, running.configuration, self._workers.turns)
        upkeep.enter(self._schedule, self.node)
        upkeep.enter_backups(self._schedule, self.node, running.configuration)
        self._wake_listener: WakeListener | None = None

    def workers(self) -> list[Worker]:
        """Every stage that runs with the configuration in force; called once."""
        made = [maker.worker(name, self._running.configuration) for name, maker in self._for_peers.items()]
        of_the_process = [
            Worker("reload", self.reload, self.reload.bell),
            Worker("sweep", Sweep(self.node, self._schedule)),
            Worker(heartbeat.NAME, self._heartbeat),
        ]
        return [*self._of_the_node, *of_the_process, *made]

    def start(self) -> None:
        """Start a thread for each stage."""
        self._workers.start(self.workers())
        self._schedule.start()
        try:
            self._wake_listener = WakeListener(self.node.store.data, self.node.wakes.wake_all)
        except OSError as error:  # what others write is found by the sweep
            log.warning("app.no-wake-socket", reason=error.strerror or str(error))
        self._record(EventKind.NODE_STARTED)
        log.info("app.started", stages=self._workers.names)

    def _record(self, kind: EventKind) -> None:
        """For the audit trail; a disk that is full keeps no node from starting."""
        try:
            with self.node.ledger.transaction() as writing:
                events.record(writing, self.node.clock.now(), kind, version=__version__)
        except NodeError as error:
            log.warning("app.not-recorded", kind=kind, reason=str(error))

    def take_up(self, wanted: InForce, parties: frozenset[Party]) -> None:
        """Put a configuration in force, with stages and receivers that use it: all of them, or none.

        Raises NotInForceError or OSError where nothing has changed.
        """
        put_in_force = self._with_receivers if Party.RECEIVERS in parties else in_force.write
        concerned = (
            stages.for_peers(self.node, wanted.configuration, self._catalogues)
            if Party.PEERS in parties
            else self._for_peers
        )
        come, gone = concerned.keys() - self._for_peers.keys(), self._for_peers.keys() - concerned.keys()
        with self._workers.between_runs():
            with Change(self._running, wanted) as change:
                if Party.NODE in parties:
                    of_the_node = {each.name: each.stage for each in self._of_the_node}
                    change.use(Party.NODE, {**of_the_node, heartbeat.NAME: self._heartbeat})
                if Party.PEERS in parties:
                    running = self._workers.stages
                    change.use(Party.PEERS, {name: running[name] for name in concerned if name not in come})
                    change.make(Party.PEERS, {name: concerned[name] for name in concerned if name in come})
                put_in_force(wanted)
            self._running, self._for_peers = wanted, concerned
            self._workers.end(gone)
            self._workers.start(change.made)
        if Party.NODE in parties:
            _note_confinement(wanted.configuration)
            upkeep.enter_backups(self._schedule, self.node, wanted.configuration)
        logs.configure(wanted.configuration.node.logs.format, wanted.configuration.node.logs.level, process="node")
        self._workers.run_at_once()

    def stop(self) -> None:
        """Let what is under way end, within limits; everything else is in the ledger for the next start."""
        self._record(EventKind.NODE_STOPPED)
        self._schedule.close()
        if self._wake_listener is not None:
            self._wake_listener.close()
        self._workers.end(self._workers.names)
        for worker in reversed(self._of_the_node):
            worker.stage.close()
        self._warm.close()
        self._workers.join(5.0)
        self.node.ledger.close()
        log.info("app.stopped")


def _note_confinement(configuration: Configuration) -> None:
    confined = confinement.note(configuration)
    if confined.severity:
        log.warning("app.plugins-not-isolated", reason=confined.text)


def _listen_to_receivers(wake: int, wakes: Wakes) -> None:
    """Each byte on the pipe says that something has arrived; read many at once, wake once.

    Then not again for a moment: an indexer that runs for each image takes the time that the next needs to arrive.
    """

    def listen() -> None:
        while os.read(wake, 65536):
            wakes.wake(Stage.INDEX)
            wakes.wake(Stage.COMMIT)
            time.sleep(_BETWEEN_WAKES)

    threading.Thread(target=listen, name="wake", daemon=True).start()


def _asking(supervisor: socket.socket) -> PutInForce:
    """Ask the supervisor, who keeps the receivers; it puts the configuration in force itself, or says why not."""

    def put_in_force(wanted: InForce) -> None:
        in_force.write(wanted, in_force.WANTED)
        supervisor.send(str(os.getpid()).encode())
        asker = 0
        while asker != os.getpid():  # an answer to the process that was here before
            first, _, reason = supervisor.recv(_LONGEST_ANSWER).decode(errors="replace").partition(" ")
            asker = int(first)
        if reason:
            raise NotInForceError(f"{wanted.path}: {reason}")

    return put_in_force


def _telling(supervisor: socket.socket) -> Callable[[str], None]:
    """Tell the supervisor what came of a reload."""

    def tell(refusal: str) -> None:
        supervisor.send(f"{os.getpid()} {RELOADED} {refusal}".encode()[:_LONGEST_ANSWER])

    return tell


def main() -> int:
    """Run until SIGTERM, or until the supervisor is gone."""
    parser = argparse.ArgumentParser(prog="python -m node.app")
    parser.add_argument("--in-force", type=Path, required=True, help="the configuration to use")
    parser.add_argument("--wake", type=int, help="read end of the pipe on which receivers say that something came")
    parser.add_argument("--alive", type=int, help="read end of a pipe that ends with the supervisor")
    parser.add_argument("--ask", type=int, help="socket on which the supervisor is asked for other receivers")
    arguments = parser.parse_args()
    orders = SupervisorOrders(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    running = in_force.read(arguments.in_force)
    configuration = running.configuration
    logs.configure(configuration.node.logs.format, configuration.node.logs.level, process="node")
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # who calls a peer says in one line what went wrong
    if arguments.alive is not None:
        end_with(arguments.alive)
    os.nice(_NICE)
    pool.preload(preloaded.MODULES)
    try:
        if arguments.ask is None:
            app = App(running)
        else:
            supervisor = socket.socket(fileno=arguments.ask)
            app = App(running, _asking(supervisor), _telling(supervisor))
    except NodeError as error:
        log.error("app.cannot-start", error=str(error))
        return 1
    if arguments.wake is not None:
        _listen_to_receivers(arguments.wake, app.node.wakes)
    app.start()
    while orders.next() == signal.SIGHUP:
        app.reload.ask()
    app.stop()
    return 0
