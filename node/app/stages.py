"""Which stages a configuration needs: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from node.app.alerts import AlertSweep
from node.app.refused import RefusedCallerIntake
from node.app.schedule import Schedule
from node.app.stop_rules import STAGE as STOP_RULES
from node.app.stop_rules import StopRules
from node.app.workers import Worker
from node.audit import sending
from node.audit.sending import SyslogStage
from node.audit.stage import AuditStage
from node.commit.asking import CommitmentRequester
from node.commit.reporting import CommitmentReporter
from node.commit.stage import CommitStage, is_asked, requesters_of
from node.config.destinations import DicomDestination, dicom_destinations
from node.config.models import Configuration
from node.deliver.outbox import Outbox
from node.deliver.ways.dimse import peer_of
from node.dimse.retrieve_scu import QueryRetrieve
from node.fetch.deadlines import Deadlines
from node.fetch.stage import FetchStage
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.kit.commissioning import commission
from node.notify.stage import NotifyStage
from node.results.stage import ResultsStage
from node.retain.stage import RetainStage
from node.route.stage import RouteStage
from node.run.boxes.stage import BoxStage
from node.run.catalogue import Catalogues
from node.run.services.stage import ServiceStage
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from node.stage import Node, NodeStage
from node.store.journal import Journal
from node.wake import Stage


@dataclass(frozen=True)
class StageMaker:
    """How a stage is made that is there for one of the systems that the configuration names."""

    where: Stage
    make: Callable[[Configuration], NodeStage]

    def worker(self, name: str, configuration: Configuration) -> Worker:
        """The stage, ready to be run."""
        return Worker(name, self.make(configuration), self.where)


def of_the_node(
    node: Node, configuration: Configuration, catalogues: Catalogues, workers: WarmWorkers, schedule: Schedule
) -> list[Worker]:
    """Those that every node has. Plugins and people come first: what new rules decide has to find them."""
    # In work/, which the next start empties: what a trial leaves when the node is killed is gone then.
    trial = partial(commission, within=node.store.work)
    return [
        Worker("notify", NotifyStage(node, configuration), Stage.NOTIFY),
        Worker("results", ResultsStage(node, configuration), Stage.RESULTS),
        Worker("run", RunStage(node, configuration, catalogues.of, workers, trial), Stage.RUN),
        Worker("index", IndexStage(node, configuration, HeaderReader()), Stage.INDEX),
        Worker("route", RouteStage(node, configuration, catalogues.of), Stage.ROUTE),
        Worker("refused", RefusedCallerIntake(node, Journal(node.store.data))),
        Worker(STOP_RULES, StopRules(node, configuration)),
        Worker("alerts", AlertSweep(node, configuration)),
        Worker("retain", RetainStage(node, configuration, schedule), Stage.RETAIN),
        Worker("audit", AuditStage(node, configuration, schedule)),
    ]


def for_peers(node: Node, configuration: Configuration, catalogues: Catalogues) -> Mapping[str, StageMaker]:
    """Those for the systems that the node calls, by name: one that hangs holds up no other."""
    journal = Journal(node.store.data)
    found: dict[str, StageMaker] = {}
    for name in configuration.destinations:
        found[f"deliver-{name}"] = StageMaker(Stage.DELIVER, partial(Outbox, name, node))
    archives = dicom_destinations(configuration.destinations)
    for name in archives:
        found[f"fetch-{name}"] = StageMaker(Stage.FETCH, partial(FetchStage, name, node, archive_of=_query_retrieve))
    for name in configuration.boxes:
        make_box = partial(BoxStage, name, node, plugins_of=catalogues.of, archive_of=_query_retrieve)
        found[f"box-{name}"] = StageMaker(Stage.BOX, make_box)
    for name in configuration.services:
        make_service = partial(ServiceStage, name, node, plugins_of=catalogues.of)
        found[f"service-{name}"] = StageMaker(Stage.SERVICE, make_service)
    if configuration.audit.syslog is not None:
        found[sending.NAME] = StageMaker(Stage.AUDIT, partial(SyslogStage, node))
    found["deadlines"] = StageMaker(Stage.FETCH, partial(Deadlines, node))
    found["commit"] = StageMaker(Stage.COMMIT, partial(CommitStage, node, journal))
    requesters = requesters_of(configuration)
    for title in requesters:
        found[f"report-{title}"] = StageMaker(Stage.COMMIT, partial(CommitmentReporter, title, node))
    through = {each.commit_through for each in requesters.values()}
    for name in (name for name, each in archives.items() if name in through or is_asked(each)):
        make = partial(CommitmentRequester, name, node, journal, peer_of=peer_of)
        found[f"commitment-of-{name}"] = StageMaker(Stage.COMMIT, make)
    return found


def _query_retrieve(destination: DicomDestination, ae_title: str) -> QueryRetrieve:
    return QueryRetrieve(peer_of(destination, ae_title))
