"""The node process as a whole: its stages, how they take up a configuration, and how others wake them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.app import process
from node.app.process import App
from node.app.reload import NotInForceError, Reload
from node.app.schedule import Schedule
from node.cli import main
from node.clock import SystemClock
from node.config import in_force, loading
from node.config.in_force import InForce
from node.config.models import Configuration
from node.config.sections import Party
from node.deliver.outbox import Outbox
from node.ledger import deliveries, outages
from node.ledger.delivery import DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.notify.stage import NotifyStage
from node.route.stage import RouteStage
from node.run.catalogue import Catalogue
from node.stage import Node, NodeStage
from tests.support import history
from tests.support.ports import refusing_port
from tests.support.sites.outbox_room import OutboxRoom
from tests.support.wait import until

CONFIG = """
node: {{data: data, time_zone: Asia/Seoul}}
destinations:
  pacs: {{ae_title: PACS, host: 127.0.0.1, port: {port}, identity_check: none, timeout: {timeout}}}
{more}modalities:
  ct: {{ae_title: CT1, storage_commitment: {{host: 127.0.0.1, port: {port}, commit_through: pacs}}}}
people:
  duty: {{email: {mail}}}
notify: {{mail: {{host: 127.0.0.1, sender: node@hospital.example}}}}
rules:
  - {{name: {rule}, when: {{Modality: CT}}, choose: {{take: one}}, run: lung-density, send: pacs, mode: pilot}}
"""
GIVEN_UP = "given up by a test"
OTHER = "  other: {ae_title: OTHER, host: 127.0.0.1, port: 104}\n"


class NodeOfATest:
    """A node process in this one: its threads, no receivers, and a sweep that never comes."""

    def __init__(self, folder: Path, port: int) -> None:
        self.config = folder / "config.yaml"
        self._port = port
        self.save()
        (folder / "data").mkdir()
        running = InForce.of(loading.read(self.config), SystemClock().now(), "a test")
        in_force.write(running)
        self.app = App(running)
        self.app.start()
        self.database = self.app.node.ledger.database

    def save(self, mail: str = "a@hospital.example", rule: str = "first", timeout: str = "5s", more: str = "") -> None:
        """Write the configuration."""
        text = CONFIG.format(port=self._port, mail=mail, rule=rule, timeout=timeout, more=more)
        self.config.write_text(text)

    def reload(self, event: EventKind) -> None:
        """As a SIGHUP does, until this has come of it."""
        before = len(history.of_kind(self.database, event))
        self.app.reload.ask()
        until(lambda: len(history.of_kind(self.database, event)) > before, what=str(event))

    def stage(self, name: str) -> Any:
        """One that runs."""
        return self.app._workers.stages[name]

    def used(self) -> tuple[str, str, float, str, set[str]]:
        """Person, rule and time-out that stages use, the rule that the next start would use, and outboxes."""
        kept = in_force.read(self.config.parent / "data" / in_force.FILE).configuration
        notify, route, outbox = self.stage("notify"), self.stage("route"), self.stage("deliver-pacs")
        return (
            str(notify._configuration.people["duty"].email),
            route._in_force[0].rules[0].name,
            outbox._next[0].timeout.total_seconds(),
            kept.rules[0].name,
            {name for name in self.app._workers.names if name.startswith("deliver-")},
        )


class NoSweep(NodeStage):
    """A sweep that never comes."""

    def __init__(self, node: Node, schedule: Schedule) -> None: ...

    def run_once(self) -> float:
        return 60.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeOfATest]:
    with pytest.MonkeyPatch.context() as patched, refusing_port() as port:
        patched.setattr(process, "Sweep", NoSweep)
        made = NodeOfATest(tmp_path_factory.mktemp("node"), port)
        yield made
        made.app.stop()


def test_every_stage_can_be_run_given_a_configuration_and_closed_and_reconfigured_in_no_other_way(
    node: NodeOfATest,
) -> None:
    """Its public methods are those of `NodeStage` (a reload can be asked for, too); no setting can be assigned."""
    protocol = {"run_once", "use", "close"}
    assert len(node.app._workers.stages) == 19
    for name, stage in node.app._workers.stages.items():
        assert NodeStage in type(stage).__mro__, name
        for method in protocol:
            wanted, found = (inspect.signature(getattr(each, method)) for each in (NodeStage, type(stage)))
            assert found == wanted, (name, method)
        public = {each for each, _ in inspect.getmembers(type(stage), callable) if not each.startswith("_")}
        assert public - protocol == ({"ask"} if isinstance(stage, Reload) else set()), name
        settings = {key for key, each in vars(stage).items() if isinstance(each, Configuration | Catalogue)}
        assert not {key for key in settings if not key.startswith("_")}, name


@pytest.mark.parametrize("refusing", [RouteStage, Outbox])
def test_where_one_stage_refuses_a_configuration_none_uses_it(
    node: NodeOfATest, refusing: type[NodeStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is refused like a wrong file, and names stage and sections; the next configuration is taken up by all."""
    before = node.used()
    use = refusing.use

    def refuse(self: NodeStage, configuration: Configuration) -> None:
        if configuration.rules[0].name == "refused":
            raise ValueError("Hong^Gildong")
        use(self, configuration)

    monkeypatch.setattr(refusing, "use", refuse)
    node.save("b@hospital.example", "refused", "6s", OTHER)
    node.reload(EventKind.RULES_REFUSED)
    assert node.used() == before
    said = str(history.of_kind(node.database, EventKind.RULES_REFUSED)[-1].detail["problems"])
    stage, section = {RouteStage: ("route", "rules"), Outbox: ("deliver-pacs", "destinations")}[refusing]
    assert f"the stage {stage} cannot use this (an error in the program (test_process.py" in said
    assert section in said
    assert "Hong" not in said
    node.save("c@hospital.example", f"taken-{stage}", "7s", OTHER)
    node.reload(EventKind.RULES_IN_FORCE)
    rule = f"taken-{stage}"
    assert node.used() == ("c@hospital.example", rule, 7.0, rule, {"deliver-pacs", "deliver-other"})
    node.save()
    node.reload(EventKind.RULES_IN_FORCE)
    assert node.used() == before


def test_where_receivers_refuse_a_configuration_no_stage_uses_it(
    node: NodeOfATest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receivers come last: what stages have taken up before is taken back."""
    before, running = node.used(), node.app._running

    def refuse(_: InForce) -> None:
        raise NotInForceError("port 104 is in use")

    monkeypatch.setattr(node.app, "_with_receivers", refuse)
    node.save("b@hospital.example", "refused", "6s", OTHER)
    wanted = running.taking_up(loading.read(node.config))
    with pytest.raises(NotInForceError, match="in use"):
        node.app.take_up(wanted, frozenset({Party.NODE, Party.PEERS, Party.RECEIVERS}))
    assert node.used() == before
    node.save()


def test_a_stage_that_cannot_go_back_ends_the_process(node: NodeOfATest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is started again with what is in force: no node works by half of one configuration and half of another."""
    ended: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, number: ended.append(number))
    use = NotifyStage.use

    def cannot_go_back(self: NotifyStage, configuration: Configuration) -> None:
        if configuration.rules[0].name == "first":
            raise OSError("gone")
        use(self, configuration)

    def refuse(_: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(NotifyStage, "use", cannot_go_back)
        patched.setattr(in_force, "write", refuse)
        node.save(rule="other")
        wanted = node.app._running.taking_up(loading.read(node.config))
        with pytest.raises(OSError, match="no space"):
            node.app.take_up(wanted, frozenset({Party.NODE}))
    assert len(ended) == 1
    node.save()
    node.stage("notify").use(node.app._running.configuration)


def test_a_retry_is_taken_up_at_once(node: NodeOfATest) -> None:
    """`pacsnode retry` wakes the node: nothing waits for the sweep, or for the minute that an outbox sleeps."""
    room = OutboxRoom(node.config.parent / "data", 1)
    uid = room.result("1.2.4", "1.2.4.9")
    with node.app.node.ledger.transaction() as database:
        (number,) = (each.id for each in deliveries.of_study(database, "1.2.4") if each.item == uid)
        deliveries.dead(database, SystemClock().now(), number, GIVEN_UP)
    with pytest.raises(SystemExit) as ended:
        main(["retry", str(number), "--config", str(node.config)])
    assert not ended.value.code

    def tried() -> bool:
        waits = deliveries.get(node.database, number).status is DeliveryStatus.WAITING
        return waits and outages.get(node.database, "pacs") is not None

    until(tried, 20, "the outbox to try it again")
