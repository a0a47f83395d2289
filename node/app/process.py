"""The node process: makes the stages, gives each a thread, and stops them.

Started by the supervisor as `python -m node.app --in-force PATH --wake FD --alive FD --ask FD`. This is the one
place that knows all stages: they know the ledger and the signal, and never each other.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import threading
import time
from pathlib import Path

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from node.app.failing import FailingStages
from node.app.reload import NotInForceError, PutInForce, Reload, without_receivers
from node.app.workers import Worker, Workers
from node.clock import Clock, SystemClock
from node.commit.asking import Asking
from node.commit.reporting import Reporting
from node.commit.stage import Commit
from node.config import in_force
from node.config.in_force import InForce
from node.config.models import Configuration
from node.deliver.outbox import Outbox
from node.deliver.ways.dimse import DicomArchive, peer_of
from node.dimse.retrieve_scu import QueryRetrieve
from node.errors import NodeError
from node.fetch.stage import Fetching
from node.index.children import HeaderReader
from node.index.stage import Index
from node.ledger import database
from node.ledger.database import Ledger
from node.notify.stage import Notify
from node.observe import logs
from node.results.stage import Results
from node.route.stage import Route
from node.run import catalogue, confinement
from node.run.catalogue import Catalogue
from node.run.stage import Run
from node.serve.lifeline import Orders, end_with
from node.store.journal import Journal
from node.store.layout import Spool
from node.wake import Stage, Wakes

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 20.0
"""For plugins that run when the node is stopped; the supervisor waits a little longer."""
_SWEEP_SECONDS = 5
_BETWEEN_WAKES = 0.2
"""Seconds between two looks at what receivers have brought: so it is indexed in batches, a sync for each."""
_LONGEST_ANSWER = 4096
_NICE = 5
"""How much the node process and its children stand back from the receivers: a modality never waits for the index."""


class App:
    """The stages of one node on one data folder."""

    def __init__(self, running: InForce, with_receivers: PutInForce = without_receivers) -> None:
        """Build everything; raises LedgerError where the ledger cannot be used."""
        configuration = running.configuration
        data = configuration.node.data
        clock, self.wakes = SystemClock(), Wakes()
        self.spool = Spool(data)
        self.ledger = Ledger(data / database.FILE)
        plugins = catalogue.load(configuration.plugins, data)
        self._failing = FailingStages(self.ledger, clock, data)
        confined = confinement.note(data)
        if confined.severity:
            log.warning("app.plugins-not-isolated", reason=confined.text)
        self._index = Index(self.ledger, self.spool, clock, self.wakes, configuration, HeaderReader())
        self._route = Route(
            self.ledger,
            clock,
            self.wakes,
            configuration.rules,
            plugins,
            configuration.node.zone,
            configuration.destinations,
        )
        self._run = Run(self.ledger, clock, self.wakes, self.spool, plugins, configuration.node.jobs_at_once)
        self._results = Results(self.ledger, self.spool, clock, self.wakes, configuration)
        self._notify = Notify(self.ledger, clock, configuration)
        self.reload = Reload(self.ledger, clock, running, plugins, self._use, with_receivers)
        self._workers = Workers(
            [
                Worker(Stage.INDEX, "index", self._index.run_once),
                Worker(Stage.ROUTE, "route", self._route.run_once),
                Worker(Stage.RUN, "run", self._run.run_once),
                Worker(Stage.RESULTS, "results", self._results.run_once),
                Worker(Stage.NOTIFY, "notify", self._notify.run_once),
                Worker(self.reload.bell, "reload", self.reload.run_once),
            ],
            self.wakes,
            failing=self._failing,
        )
        self._others = _others(configuration)
        self._outside = Workers(self._for_others(configuration, clock), self.wakes, failing=self._failing)
        # Timers are rows; this only makes sure that nobody sleeps through one, whatever happened to a wake-up.
        self._scheduler = BackgroundScheduler(timezone="UTC")
        self._scheduler.add_job(self.wakes.wake_all, "interval", seconds=_SWEEP_SECONDS, coalesce=True, max_instances=1)

    def _for_others(self, configuration: Configuration, clock: Clock) -> list[Worker]:
        """What has to do with others by their names and addresses: built again when the configuration changes."""
        stages: list[Worker] = []
        for name, destination in configuration.destinations.items():
            archive = DicomArchive(peer_of(destination, configuration.node.ae_title))
            outbox = Outbox(
                name, destination, archive, self.ledger, self.spool, clock, self.wakes, configuration.node.ae_title
            )
            stages.append(Worker(Stage.DELIVER, f"deliver-{name}", outbox.run_once, outbox.close))
        title = configuration.node.ae_title
        archives = {name: QueryRetrieve(peer_of(each, title)) for name, each in configuration.destinations.items()}
        fetching = Fetching(self.ledger, clock, self.wakes, archives, title)
        stages.append(Worker(Stage.FETCH, "fetch", fetching.run_once))
        return [*stages, *self._commitment(configuration, clock)]

    def _commitment(self, configuration: Configuration, clock: Clock) -> list[Worker]:
        """Storage commitment: who decides, who tells each AE that may ask, who asks each archive it goes through."""
        journal = Journal(self.spool.data)
        commit = Commit(self.ledger, self.spool, journal, clock, self.wakes, configuration)
        asking = {
            each.ae_title: each.storage_commitment
            for each in configuration.modalities.values()
            if each.storage_commitment is not None
        }
        stages = [("commit", commit.run_once)]
        for requester, settings in asking.items():
            stages.append((f"report-{requester}", Reporting(requester, settings, self.ledger, clock).run_once))
        for name, destination in configuration.destinations.items():
            through = {requester: each for requester, each in asking.items() if each.commit_through == name}
            if through:
                peer = peer_of(destination, configuration.node.ae_title)
                archive = Asking(name, destination, peer, through, self.ledger, self.spool, journal, clock, self.wakes)
                stages.append((f"commitment-of-{name}", archive.run_once))
        return [Worker(Stage.COMMIT, name, run_once) for name, run_once in stages]

    def _use(self, configuration: Configuration, plugins: Catalogue) -> None:
        """Plugins and people first: what the new rules decide has to find them."""
        logs.configure(configuration.node.logs.format, configuration.node.logs.level, process="node")
        self._notify.configuration = configuration
        self._results.configuration = configuration
        self._run.catalogue = plugins
        self._index.reconfigure(configuration)
        if _others(configuration) != self._others:
            before, self._others = self._outside, _others(configuration)
            others = self._for_others(configuration, SystemClock())
            self._outside = Workers(others, self.wakes, after=before, failing=self._failing)
            before.end()
            self._outside.start()
        self._route.destinations = configuration.destinations
        self._route.use(configuration.rules, plugins)

    def start(self) -> None:
        """Start a thread for each stage and destination."""
        self._workers.start()
        self._outside.start()
        self._scheduler.start()
        log.info("app.started", stages=[*self._workers.names, *self._outside.names])

    def stop(self) -> None:
        """Let what is under way end, within limits; everything else is in the ledger for the next start."""
        self._workers.end()
        self._outside.end()
        self._scheduler.shutdown(wait=False)
        self._run.stop(_DRAIN_SECONDS)
        self._index.close()
        self._results.close()
        self._workers.join(5.0)
        self._outside.join(5.0)
        self.ledger.close()
        log.info("app.stopped")


def _others(configuration: Configuration) -> tuple[object, ...]:
    """What `App._for_others` uses."""
    node = configuration.node
    return configuration.destinations, configuration.modalities, node.ae_title, node.durability


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


def _asking(descriptor: int) -> PutInForce:
    """Ask the supervisor, who keeps the receivers; it puts the configuration in force itself, or says why not."""
    supervisor = socket.socket(fileno=descriptor)

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


def main() -> int:
    """Run until SIGTERM, or until the supervisor is gone."""
    parser = argparse.ArgumentParser(prog="python -m node.app")
    parser.add_argument("--in-force", type=Path, required=True, help="the configuration to use")
    parser.add_argument("--wake", type=int, help="read end of the pipe on which receivers say that something came")
    parser.add_argument("--alive", type=int, help="read end of a pipe that ends with the supervisor")
    parser.add_argument("--ask", type=int, help="socket on which the supervisor is asked for other receivers")
    arguments = parser.parse_args()
    orders = Orders(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    running = in_force.read(arguments.in_force)
    configuration = running.configuration
    logs.configure(configuration.node.logs.format, configuration.node.logs.level, process="node")
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # who calls a peer says in one line what went wrong
    if arguments.alive is not None:
        end_with(arguments.alive)
    os.nice(_NICE)
    try:
        app = App(running, without_receivers if arguments.ask is None else _asking(arguments.ask))
    except NodeError as error:
        log.error("app.cannot-start", error=str(error))
        return 1
    if arguments.wake is not None:
        _listen_to_receivers(arguments.wake, app.wakes)
    app.start()
    while orders.next() == signal.SIGHUP:
        app.reload.ask()
    app.stop()
    return 0
